"""Says what a part looks like (kind) and where it lies in the digit (place), from its line. Knows no words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.parts.strokes import Stroke
from server.types import PLACES, Array, Box, Kind, Place, Section

STRAIGHT = 0.2  # spread across a line, of that along it
LEVEL = 25  # degrees from the level, or from the upright
DOT = 0.12  # of the digit's box
SPANS = 0.75  # of the box: what is that long lies neither left nor right, neither above nor below
NARROW = 0.45  # of the box's longer side: narrower digits have no left and no right
MIDDLE = 0.36, 0.64  # of the box
SLANTED = 0.41  # of one of two offsets: the other is worth words, as in a rose of eight winds


@dataclass(frozen=True)
class Shape:
    """What can be said of a part without a model: see Part."""

    kind: Kind
    place: Place | None
    section: Section | None
    box: Box


def shape_of(area: Array, solid: Array, stroke: Stroke | None = None) -> Shape:
    """The shape of the pixels in `area` (H, W) bool, which are those of a stroke or of none, in a digit that the pen
    drew where `solid` (H, W) bool says."""
    pixels, drawn = np.argwhere(area), np.argwhere(solid)
    (top, left), (bottom, right) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    box, first, sides = (top, left, bottom - top + 1, right - left + 1), drawn.min(axis=0), np.ptp(drawn, axis=0) + 1
    if stroke is None:
        return Shape("ink", _place(pixels, first, sides), None, box)
    line = np.array(stroke.shape)
    place = _place(line, first, sides)
    if stroke.section is not None and place == "centre":  # the middle of a stem in the middle says nothing more
        place = None
    return Shape(_kind(line, stroke.is_loop, int(sides.max())), place, stroke.section, box)


def gap_of(lid: Array, solid: Array) -> Shape:
    """The shape of the opening that a stroke of the pixels in `lid` (H, W) bool would close. Its place is a direction:
    openings lie at the digit's border, however long they are."""
    drawn, pixels = np.argwhere(solid), np.argwhere(lid & ~solid)
    offset = (pixels.mean(axis=0) - drawn.min(axis=0)) / np.maximum(np.ptp(drawn, axis=0), 1) - 0.5
    down, right = (1 + np.sign(offset) * (np.abs(offset) > SLANTED * np.abs(offset).max())).astype(int).tolist()
    return replace(shape_of(lid & ~solid, solid), kind="gap", place=PLACES[3 * down + right])


def distinct(shapes: Sequence[Shape]) -> list[Shape]:
    """The same shapes, where two that would have one name become sections of it: its upper and lower, or left and right
    one."""
    found = list(shapes)
    for number, shape in enumerate(shapes):
        names = [(other.kind, other.place, other.section) for other in shapes]
        if shape.section is None and names.count(names[number]) == 2:
            twin = next(i for i, name in enumerate(names) if i != number and name == names[number])
            down, right = np.subtract(_middle(shape.box), _middle(shapes[twin].box)).tolist()
            upright: Section = "upper" if down < 0 else "lower"
            level: Section = "left" if right < 0 else "right"
            found[number] = replace(shape, section=upright if abs(down) >= abs(right) else level)
    return found


def _middle(box: Box) -> tuple[float, float]:
    row, column, height, width = box
    return row + height / 2, column + width / 2


def _kind(points: Array, is_loop: bool, side: int) -> Kind:
    """What a line of points (k, 2) is, in a digit whose box is `side` long."""
    if is_loop:
        return "loop"
    if max(np.ptp(points, axis=0)) < DOT * side:
        return "dot"
    variances, axes = np.linalg.eigh(np.cov(points.T))
    if variances[0] > STRAIGHT**2 * variances[1]:
        return "curve"
    down, right = np.abs(axes[:, 1])
    angle = np.degrees(np.arctan2(down, right))
    return "bar" if angle < LEVEL else "stem" if angle > 90 - LEVEL else "slant"


def _place(points: Array, first: Array, sides: Array) -> Place | None:
    """Where points (k, 2) lie in a box of `sides` (2,) from `first` (2,) on; None for all over it."""
    spans = (np.ptp(points, axis=0) + 1) / sides > SPANS
    spans |= sides < NARROW * sides.max()
    if spans.all():
        return None
    middle = ((points.min(axis=0) + points.max(axis=0)) / 2 + points.mean(axis=0) + 1) / 2
    down, right = (int(third) for third in np.where(spans, 1, np.digitize((middle - first) / sides, MIDDLE)))
    return PLACES[3 * down + right]
