"""What a net has learned, drawn: the figures' contents against what they must be, and the page as a whole."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from server.types import Array
from tests.support.models.nets import folder
from training.commands import main
from training.visualise import PARTS, embedding, layers, maps, mistakes, preferred, reliability
from training.visualise.figures import Figure
from training.visualise.page import Section, page


def test_the_table_of_confusion_counts_truths_by_row() -> None:
    found = reliability.counts(3, predicted=np.array([0, 1, 1, 2]), labels=np.array([0, 1, 2, 2]))
    assert found.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_the_surest_mistakes_lead_and_what_is_right_is_none() -> None:
    logits = np.array([[9.0, 0], [2, 0], [0, 1], [5, 0]])
    assert mistakes.ordered(logits, np.array([0, 1, 0, 1])).tolist() == [3, 1, 2]


def test_what_is_alike_lies_together() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.eye(3) * 9, 20, axis=0)
    points = embedding.placed((groups + random.normal(0, 0.5, groups.shape)).astype(np.float32), seed=0)
    centres = points.reshape(3, 20, 2).mean(axis=1)
    within = np.linalg.norm(points.reshape(3, 20, 2) - centres[:, None], axis=2).mean()
    between = min(float(np.linalg.norm(centres[i] - centres[j])) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > 2 * within


def test_a_class_wants_to_see_ink_where_its_slope_is_positive() -> None:
    weights = np.zeros((1, 12, 12))
    weights[0, 3:9, 3:9] = 1
    weights[0, :2] = -1
    found = preferred.maximised(lambda images: np.broadcast_to(weights, images.shape), (1, 12, 12), seed=0)[0]
    assert found[4:8, 4:8].min() > 0.9 and found[:1].max() < 0.1 and found[11].max() < 0.1
    again = preferred.maximised(lambda images: np.broadcast_to(weights, images.shape), (1, 12, 12), seed=0)[0]
    assert np.array_equal(found, again)


def test_maps_that_are_alike_form_groups() -> None:
    random = np.random.default_rng(1)
    kinds = np.zeros((3, 28, 28))
    kinds[0, :14], kinds[1, 14:], kinds[2, :, :7] = 1, 1, 1
    drawn = np.concatenate([kinds[[0]].repeat(9, 0), kinds[[1]].repeat(6, 0), kinds[[2]].repeat(3, 0)])
    found = maps.grouped(drawn + random.normal(0, 0.1, drawn.shape), seed=0)
    assert [members.tolist() for members in found] == [[*range(9)], [*range(9, 15)], [*range(15, 18)]]


@pytest.mark.parametrize(
    ("shape", "drawn", "second"),
    [
        ((7, 7, 3), [(7, 7)] * 3, 3),
        ((28, 4), [(4, 28)], 4),
        ((4, 28), [(4, 28)], 1),
        ((10,), [(3, 4)], 1),
    ],
)
def test_outputs_of_layers_are_pictures(shape: tuple[int, ...], drawn: list[tuple[int, int]], second: int) -> None:
    found = layers.pictures_of(np.arange(np.prod(shape), dtype=float).reshape(shape))
    assert [one.shape for one in found] == drawn
    assert found[0].ravel()[1] == second


def test_the_page_escapes_what_it_is_told_and_needs_nothing_from_elsewhere() -> None:
    text = page("<b>", "a & b", [Section("One part", "x < y", [Figure("one", b"png", 'say "so"')])])
    assert "<b>" not in text and "x &lt; y" in text and 'alt="say &quot;so&quot;"' in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)


def pixels(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_a_version_is_drawn_whole(name: str, tmp_path: Path) -> None:
    arguments = ["visualise", str(folder(name)), "--data", "digits", "--digits", "60", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and str(tmp_path / "out" / "index.html") in result.output
    text = unescape((tmp_path / "out" / "index.html").read_text())
    assert all(part.title in text for part in PARTS)
    files = sorted((tmp_path / "out").glob("*.png"))
    assert len(files) == text.count("<img") >= 7
    assert all(pixels(path).std() > 1 for path in files)


def test_what_is_no_version_is_said_in_a_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["visualise", str(tmp_path), "--data", "digits", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "cannot be opened" in result.output
    assert not (tmp_path / "out").exists()
