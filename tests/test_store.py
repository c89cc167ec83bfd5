"""What counts as a version, which one answers, and that a broken one is left out and told in the log."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import NotReady, UnknownModel
from server.models.card import BACKGROUND, CARD, TWIN, BrokenVersion, read_card
from server.models.store import Store
from server.types import ModelCard
from tests.answers import errors_in
from tests.fakes import Fake
from tests.stores import CLASSES, TOLD, linear, sha256, write_labels, write_version


def versions(root: Path) -> list[str]:
    families = Store(root, linear).families
    return list(families["fake"].versions) if "fake" in families else []


def test_a_card_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    folder = write_version(tmp_path, "fake", "12", in_distribution={"threshold": 4.5})
    card = read_card(folder)
    assert (card.name, card.version, card.architecture) == ("fake", "12", "fake")
    assert card.digest == "sha256:" + sha256(folder / CARD)
    assert card.classes == tuple(str(k) for k in range(CLASSES))
    assert (card.image.height, card.image.width) == (28, 28)
    assert (card.temperature, card.energy_threshold) == (2.0, 4.5)
    assert (card.metrics, card.training) == (TOLD["metrics"], TOLD["training"])
    with np.load(folder / BACKGROUND) as stored:
        assert np.array_equal(card.background, stored["centroids"])


def append(name: str | Path) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.write(b"x")

    return change


def replaced_card(text: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / CARD).write_bytes(text)


def changed_card(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**stored, **fields}))

    return change


def without(field: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / CARD).read_text())
        del stored[field]
        (folder / CARD).write_text(json.dumps(stored))

    return change


def background(content: bytes | np.ndarray) -> Callable[[Path], None]:
    """Another background, with its right hash in the card."""

    def change(folder: Path) -> None:
        if isinstance(content, bytes):
            (folder / BACKGROUND).write_bytes(content)
        else:
            np.savez(folder / BACKGROUND, centroids=content)
        stored = json.loads((folder / CARD).read_text())
        changed_card(files={**stored["files"], BACKGROUND.as_posix(): sha256(folder / BACKGROUND)})(folder)

    return change


BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a tampered graph": (append("saved_model.pb"), "saved_model.pb has SHA-256"),
    "a tampered twin": (append(TWIN), "model.tflite has SHA-256"),
    "a tampered background": (append(BACKGROUND), "background.npz has SHA-256"),
    "a missing file": (lambda folder: (folder / "saved_model.pb").unlink(), "saved_model.pb"),
    "no card": (lambda folder: (folder / CARD).unlink(), "model_card.json"),
    "a card that breaks off": (replaced_card(b'{"format": 1'), "JSONDecodeError"),
    "a card that is not text": (replaced_card(b'{"format": "\xff"}'), "UnicodeDecodeError"),
    "a card of another kind": (replaced_card(b"[1]"), "AttributeError"),
    "another format": (changed_card(format=2), "format 2; expected 1"),
    "no format": (without("format"), "format None; expected 1"),
    "no classes": (without("classes"), "'classes'"),
    "no temperature": (without("temperature"), "'temperature'"),
    "a threshold that is no number": (changed_card(in_distribution={"threshold": "high"}), "'high'"),
    "files that are a list": (changed_card(files=["saved_model.pb"]), "model_card.json"),
    "the card of another version": (changed_card(version="9"), "that of fake version 9"),
    "the card of another model": (changed_card(name="plain"), "that of plain version 3"),
    "a background of another shape": (background(np.zeros((28, 28))), "(28, 28)"),
    "a background with NaN": (background(np.full((2, 28, 28), np.nan)), "expected finite"),
    "a background that is text": (background(b"hello"), "model_card.json"),
    "an empty background": (background(b""), "can not be used"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_version_is_left_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for version in ("1", "2", "3"):
        write_version(tmp_path, "fake", version)
    breaks, words = BREAKS[name]
    breaks(tmp_path / "fake" / "3")
    assert versions(tmp_path) == ["1", "2"]
    (record,) = errors_in(caplog)
    assert str(tmp_path / "fake" / "3") in record.getMessage()
    assert words in record.getMessage()


def test_whoever_reads_a_broken_card_is_told(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    append("saved_model.pb")(folder)
    with pytest.raises(BrokenVersion, match=r"saved_model\.pb"):
        read_card(folder)


def test_a_twin_that_does_not_load_harms_no_other_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)

    def partly(path: Path, card: ModelCard) -> Fake:
        if card.version == "2":
            raise ValueError("not a flatbuffer")
        return linear(path, card)

    store = Store(tmp_path, partly)
    with store.handle("fake", "1") as served:
        assert served.lane("predict").card.version == "1"
    assert any("not a flatbuffer" in record.getMessage() or record.exc_info for record in errors_in(caplog))


def test_only_whole_numbers_without_a_dot_are_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_version(tmp_path, "fake", "1")
    for name in (".2.77.aside", "2.aside", "aside", "-3", "v4", ".5"):
        shutil.copytree(folder, tmp_path / "fake" / name)
    shutil.copytree(tmp_path / "fake", tmp_path / ".fake.aside")
    (tmp_path / "fake" / "6").write_text("a file")
    (tmp_path / "README.md").write_text("a file")
    (tmp_path / "nothing").mkdir()
    store = Store(tmp_path, linear)
    assert {name: list(family.versions) for name, family in store.families.items()} == {"fake": ["1"]}
    assert not errors_in(caplog)


def test_the_latest_is_the_greatest_number(tmp_path: Path) -> None:
    for version in ("9", "10", "2"):
        write_version(tmp_path, "fake", version)
    assert versions(tmp_path) == ["2", "9", "10"]
    with Store(tmp_path, linear).handle("fake") as served:
        assert served.card.version == served.lane("predict").card.version == "10"


@pytest.mark.parametrize(
    ("text", "labels", "default"),
    [
        ('{"stable": 1}', {"stable": "1"}, "1"),
        ('{"stable": "1"}', {"stable": "1"}, "1"),
        ('{"canary": 1}', {"canary": "1"}, "2"),
        ('{"stable": 7}', {"stable": "7"}, "2"),
        (None, {}, "2"),
    ],
)
def test_the_default_is_the_stable_label_where_it_points_at_a_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, labels: dict[str, str], default: str
) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    if text is not None:
        (tmp_path / "fake" / "labels.json").write_text(text)
    store = Store(tmp_path, linear)
    assert store.families["fake"].labels == labels
    with store.handle("fake") as served:
        assert served.card.version == default
    assert not errors_in(caplog)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"stable": null}',
        '{"stable": [1]}',
        '{"stable": "latest"}',
        '{"stable": 1e999}',
        '{"stable": 1.5}',
        '{"stable": true}',
    ],
)
def test_broken_labels_are_told_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    (tmp_path / "fake" / "labels.json").write_text(text)
    store = Store(tmp_path, linear)
    with store.handle("fake") as served:
        assert served.card.version == "2"
    (record,) = errors_in(caplog)
    assert str(tmp_path / "fake" / "labels.json") in record.getMessage()


def test_numbers_and_labels_lead_to_a_version_and_others_are_told_what_there_is(tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    write_labels(tmp_path, {"canary": 1, "gone": 7})
    store = Store(tmp_path, linear)
    for asked, version in ((None, "2"), ("1", "1"), ("2", "2"), ("canary", "1")):
        with store.handle("fake", asked) as served:
            assert served.card.version == version
    for asked in ("3", "stable", "gone", "", "01"):
        with pytest.raises(UnknownModel, match=f"'{asked}'.*1, 2, canary"), store.handle("fake", asked):
            pass
    with pytest.raises(UnknownModel, match=r"'other'.*fake"), store.handle("other"):
        pass


def test_the_twin_predicts_and_the_savedmodel_does_the_rest(tmp_path: Path) -> None:
    write_version(tmp_path)
    store = Store(tmp_path, linear)
    with store.handle("fake") as served:
        twin = served.lane("predict")
        with pytest.raises(NotReady, match="loading"):
            served.lane("explain")
        store.load_full(linear)
        full = served.lane("explain")
        assert served.lane("predict") is twin and full is not twin


def test_what_the_savedmodel_can_do_counts_more_than_its_card(tmp_path: Path) -> None:
    write_version(tmp_path)
    store = Store(tmp_path, linear)
    with store.handle("fake") as served:
        assert "attention" in served.verbs
        store.load_full(lambda folder, card: Fake(card, frozenset({"forward"})))
        assert served.verbs == {"forward"}
