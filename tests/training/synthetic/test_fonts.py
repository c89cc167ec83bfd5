"""Letters from font files: one that Pillow has is read here, and a stand-in for npm packs it."""

import hashlib
import io
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import ImageFont

from tests.support.models.nets import twin
from training.errors import DataError
from training.synthetic import font_digits, font_letters, fonts


@pytest.fixture
def font(tmp_path: Path) -> Path:
    loaded = ImageFont.load_default(20)
    assert isinstance(loaded, ImageFont.FreeTypeFont) and isinstance(loaded.path, io.BytesIO)
    path = tmp_path / "plain.ttf"
    path.write_bytes(loaded.path.getvalue())
    return path


def test_digits_are_as_a_net_of_mnist_reads_them(font: Path) -> None:
    drawn = font_digits([font], 100, seed=1)
    assert drawn.images.shape == (100, 28, 28) and drawn.images.dtype == np.float32
    assert drawn.images.min() == 0 and drawn.images.max() <= 1
    assert set(drawn.names) == {f"{digit} plain" for digit in range(10)}
    assert (np.asarray(twin("cnn").forward(drawn.images)).argmax(axis=1) == drawn.labels).mean() > 0.8


def test_letters_have_no_label_and_are_none_that_look_like_digits(font: Path) -> None:
    drawn = font_letters([font], 200, seed=1)
    assert (drawn.labels == -1).all()
    assert {name.split()[1] for name in drawn.names} == set(fonts.LETTERS)


def test_pictures_follow_from_seed_and_index(font: Path) -> None:
    assert_array_equal(font_digits([font], 10, seed=2).images, font_digits([font], 20, seed=2).images[:10])


def test_what_is_no_font_is_said(tmp_path: Path) -> None:
    path = tmp_path / "letter.ttf"
    path.write_text("no font")
    with pytest.raises(DataError, match=r"letter\.ttf: cannot be read as a font .* expected TTF, OTF, WOFF"):
        font_digits([path], 1, seed=0)


# Fetching.


def stand_in(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executable called npm, the only one on the path."""
    npm = folder / "npm"
    npm.write_text(f"#!{sys.executable}\nimport pathlib, shutil, sys\n{body}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def packing(tmp_path: Path, font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm has one package, with this font in it."""
    archive = tmp_path / f"fontsource-scrawl-{fonts.VERSION}.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(font, "package/files/scrawl-latin-400-normal.woff")
    body = f"assert sys.argv[1] == 'pack' and sys.argv[-1] == '@fontsource/scrawl@{fonts.VERSION}'\n"
    body += f"shutil.copy({str(archive)!r}, sys.argv[sys.argv.index('--pack-destination') + 1])"
    stand_in(tmp_path, body, monkeypatch)


def test_fonts_are_fetched_once(tmp_path: Path, font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packing(tmp_path, font, monkeypatch)
    wanted = {"scrawl": hashlib.sha256(font.read_bytes()).hexdigest()}
    (path,) = fonts.fetched(tmp_path / "kept", wanted)
    assert path.read_bytes() == font.read_bytes()
    assert font_digits([path], 3, seed=1).names[0].endswith(" scrawl")
    monkeypatch.setenv("PATH", "")
    assert fonts.fetched(tmp_path / "kept", wanted) == [path]


def test_another_file_than_the_known_one_is_refused(
    tmp_path: Path, font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing(tmp_path, font, monkeypatch)
    with pytest.raises(DataError, match=r"scrawl\.woff: SHA-256 is [0-9a-f]{64}; expected 0{64}"):
        fonts.fetched(tmp_path / "kept", {"scrawl": "0" * 64})


def test_without_npm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("npm") is None
    with pytest.raises(DataError, match="npm is not installed; install it, or give font files"):
        fonts.fetched(tmp_path / "kept", fonts.HELD_OUT_FONTS)


def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "sys.exit('404: no such package')", monkeypatch)
    with pytest.raises(DataError, match=r"npm pack failed \(404: no such package\)"):
        fonts.fetched(tmp_path / "kept", fonts.HELD_OUT_FONTS)


def test_fonts_held_out_are_others_than_trained_ones() -> None:
    assert len(fonts.TRAINED_FONTS) >= 12 and len(fonts.HELD_OUT_FONTS) >= 4
    assert not set(fonts.TRAINED_FONTS) & set(fonts.HELD_OUT_FONTS)
    assert len({*fonts.TRAINED_FONTS.values(), *fonts.HELD_OUT_FONTS.values()}) == 27
