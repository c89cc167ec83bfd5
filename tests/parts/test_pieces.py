"""The parts of digits that are drawn here: what they are called, what each is worth, and what a map says of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from server.parts import Pieces
from server.types import Array, Attribution, Target
from tests.support.models.fakes import Linear
from tests.support.models.stores import card_28

TARGET = Target.of_class(3, tuple("0123456789"))
FIVE = [[(8, 5), (19, 5)], [(8, 5), (8, 12)], [(8, 12), (17, 12)], [(17, 12), (20, 16), (17, 21), (8, 22)]]


def drawn(*lines: Any, width: int = 2, loops: Any = ()) -> Array:
    """Lines through (x, y), and ellipses in boxes."""
    picture = Image.new("L", (28, 28))
    pen = ImageDraw.Draw(picture)
    for line in lines:
        pen.line(line, 255, width, joint="curve")
    for loop in loops:
        pen.ellipse(loop, outline=255, width=width)
    return np.asarray(picture, np.float32) / 255


def names(image: Array) -> set[tuple[Any, ...]]:
    return {(shape.kind, shape.place, shape.section) for shape in Pieces.of(image).shapes}


def test_a_plain_stroke_is_cut_into_three() -> None:
    upright = drawn([(14, 4), (14, 23)])
    assert names(upright) == {("stem", None, "upper"), ("stem", None, "middle"), ("stem", None, "lower")}
    assert names(upright.T) == {("bar", None, "left"), ("bar", None, "middle"), ("bar", None, "right")}


def test_strokes_are_cut_at_sharp_turns_and_named() -> None:
    seven = names(drawn([(7, 5), (20, 5), (6, 23)]))
    assert ("bar", "top", None) in seven and {kind for kind, *_ in seven} == {"bar", "slant", "gap"}
    five = names(drawn(*FIVE))
    assert {("bar", "top", None), ("stem", "upper left", None), ("bar", "centre", None)} <= five
    bow = drawn(loops=[(4, 4, 22, 23)])
    bow[:, :13] = 0
    assert {"curve", "gap"} <= {kind for kind, *_ in names(bow)}


def test_loops_have_sides_and_small_ones_are_whole() -> None:
    zero = names(drawn(loops=[(7, 4, 20, 23)]))
    assert zero == {("loop", None, side) for side in ("left", "right", "top", "bottom")}
    eight = names(drawn(loops=[(9, 3, 18, 13), (8, 13, 19, 24)]))
    assert {("loop", "top", "left"), ("loop", "top", "right"), ("loop", "bottom", "left")} <= eight
    six = names(drawn([(15, 2), (9, 8), (8, 16), (9, 20)], loops=[(8, 16, 16, 24)]))
    assert "loop" in {kind for kind, place, _ in six if place == "bottom"}


def test_an_open_top_is_a_gap() -> None:
    four = drawn([(7, 4), (7, 14), (20, 14)], [(16, 4), (16, 24)])
    assert ("gap", "top", None) in names(four)
    closed = np.maximum(four, drawn([(7, 4), (16, 4)]))
    assert "top" not in {place for kind, place, _ in names(closed) if kind == "gap"}


def test_parts_that_would_share_a_name_are_told_apart() -> None:
    two_bars = drawn([(6, 5), (21, 5)], [(6, 9), (21, 9)], [(6, 24), (21, 24)], width=1)
    assert {("bar", "top", "upper"), ("bar", "top", "lower"), ("bar", "bottom", None)} <= names(two_bars)


@pytest.mark.parametrize("shift", [(-4, -3), (3, 5)])
def test_places_are_those_of_the_ink_not_of_the_picture(shift: tuple[int, int]) -> None:
    five = drawn(*FIVE)
    assert names(np.roll(five, shift, (0, 1))) == names(five)


def test_what_is_no_drawing_is_cut_by_a_grid() -> None:
    noise = np.random.default_rng(0).random((28, 28))
    assert {shape.kind for shape in Pieces.of(noise).shapes} == {"ink"} and len(Pieces.of(noise).shapes) == 9
    assert {shape.kind for shape in Pieces.of(np.ones((28, 28))).shapes} == {"ink"}


def test_a_dot_and_an_empty_paper() -> None:
    dot = np.zeros((28, 28))
    dot[9:11, 20:22] = 1
    assert len(Pieces.of(dot).shapes) == 1
    assert Pieces.of(np.zeros((28, 28))).shapes == ()
    model = Linear(card_28())
    assert Pieces.of(np.zeros((28, 28))).tested(model, TARGET).parts(Attribution(dot, "logit", "exact", 1)) == ()
    assert model.rows == 0


def inky() -> st.SearchStrategy[Array]:
    def picture(seed: int, height: int, width: int, density: float, size: int) -> Array:
        coarse = np.random.default_rng(seed).random((height, width)) * (
            np.random.default_rng(seed + 1).random((height, width)) < density
        )
        return coarse.repeat(size, 0).repeat(size, 1)[: 28 * size].astype(np.float32)

    sides = st.integers(1, 28)
    return st.builds(picture, st.integers(0, 999), sides, sides, st.floats(0, 1), st.integers(1, 4))


@given(inky())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_picture_is_cut_and_every_pixel_of_ink_is_of_one_part(image: Array) -> None:
    pieces, again = Pieces.of(image), Pieces.of(image.copy())
    assert pieces.shapes == again.shapes
    inked = [shape for shape in pieces.shapes if shape.kind != "gap"]
    assert len(inked) <= 9 and bool(inked) == bool(image.any())
    if pieces.labels is not None:
        assert np.unique(pieces.labels[pieces.labels >= 0]).tolist() == list(range(len(inked)))
        assert ((pieces.labels >= 0) == (image >= 0.05 * image.max())).all()
        parts = pieces.parts(Attribution(image, "logit", "exact", 1))
        assert sum(part.supporting for part in parts) == pytest.approx(1, abs=0.01) or image.size < 9


def test_a_drop_is_the_mean_of_empty_paper_and_mean_background() -> None:
    """Of a linear model it is a sum over the part."""
    model, image = Linear(card_28()), drawn(*FIVE)
    pieces = Pieces.of(image)
    assert pieces.labels is not None
    tested = pieces.tested(model, TARGET)
    inked = [shape for shape in pieces.shapes if shape.kind != "gap"]
    assert tested.rows == model.rows == 1 + len(inked) + len(pieces.shapes)
    slope = model.directions()[3]
    removed = slope * (image - model.card.background.mean(axis=0) / 2)
    expected = [removed[pieces.labels == number].sum() for number in range(len(inked))]
    expected += [-(slope * (np.maximum(image, lid) - image)).sum() for lid in pieces.lids]
    assert tested.drops == pytest.approx(expected, abs=1e-4)
    parts = tested.parts(Attribution(image, "logit", "exact", 1))
    assert [part.drop for part in parts] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_values_of_segments_lie_on_their_ink_and_others_where_they_are() -> None:
    image = drawn([(14, 4), (14, 23)])
    halves = np.repeat(np.arange(2), 14)[:, None] + np.zeros((1, 28), int)
    on_ink = Pieces.of(image).parts(
        Attribution(np.where(halves, -1 / 392, 3 / 392), "logit", "exact", 1, segments=halves)
    )
    assert sum(part.supporting for part in on_ink) == pytest.approx(0.75)
    assert sum(part.opposing for part in on_ink) == pytest.approx(0.25)
    values = np.zeros((28, 28))
    values[13, 14], values[13, 16], values[13, 25] = 1, 2, 5  # on the stem, beside it, and far away
    for shares in ({}, {"segments": halves, "segment_values": np.array([8.0, 0.0]), "fine": True}):
        found = Attribution(values, "logit", "exact", 1, **shares)  # type: ignore[arg-type]
        assert sum(part.supporting for part in Pieces.of(image).parts(found)) == 3 / 8


def test_units_of_sampling_err_independently_and_the_pixels_of_one_together() -> None:
    image = drawn([(14, 4), (14, 23)])
    stderr = np.where(image > 0, 0.5, 0)
    (part, *_) = Pieces.of(image).parts(Attribution(image, "logit", "converged", 1, stderr=stderr))
    assert part.stderr == pytest.approx(part.supporting / 2)
    rows = np.arange(28)[:, None] + np.zeros((1, 28), int)
    (part, *_) = Pieces.of(image).parts(Attribution(image, "logit", "converged", 1, stderr=stderr, segments=rows))
    assert part.stderr is not None and part.stderr < part.supporting / 4
