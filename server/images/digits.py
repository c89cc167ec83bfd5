"""A page's ink -> the components that form its main digit, and how much these look like a digit."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from server.images.components import Box, Components, Shape, components
from server.images.ink import Ink
from server.images.lines import inside_of_box, inside_of_ring, ruled_lines
from server.types import Array

POOR = 0.05  # quality below which it is no digit
LONE = 0.99  # of a page's ink: then there is nothing else on it
MOST_HOLES = 5  # of a digit, those of blots and crossings included; squared paper has dozens
CANDIDATES = 8  # of the heaviest components, which are looked at closely
PARTS = 60  # of a digit, at most
CUT_BY_SHEET, CUT_BY_FRAME, CUT_BESIDE = 0.4, 0.55, 0.59  # what is left of the quality of what an edge cuts


@dataclass(frozen=True)
class Found:
    """One digit of a page: the `shape` of its pixels in the box. `lines` (h, w) uint8 of the page were taken away;
    `others` as large stand beside it; `quality` in [0, 1]: how much it looks like a digit that stands by itself; `cut`:
    it touches the page's edge; `boxed`: it is in a box."""

    box: Box
    shape: Shape
    lines: Array | None
    others: int
    quality: float
    cut: bool
    boxed: bool = False

    @property
    def mask(self) -> Array:
        """(h, w) uint8: 1 for its pixels in the box, else 0."""
        return self.shape.mask

    @property
    def longest(self) -> int:
        return int(max(self.mask.shape))

    @property
    def pen(self) -> float:
        """Mean width of its strokes in pixels."""
        return self.shape.pen[0]


def find_digit(ink: Ink, inside: Array | None, lines: Array | None) -> Found | None:
    """The main digit of a page, of which only `inside` (h, w) counts, without its ruled `lines` (h, w). None: there are
    only specks."""
    mask = _above(ink.amount, ink.threshold)
    if lines is not None:
        kept = cv2.bitwise_and(mask, cv2.bitwise_not(lines))
        if cv2.countNonZero(kept) < 0.1 * cv2.countNonZero(lines):  # the only stroke of a tightly cut 1, not a line
            lines = None
        else:
            mask = kept
    found = _main(mask, lines, ink, inside)
    if found is None or found.cut:
        return found
    box, ring = inside_of_box(found.shape), inside_of_ring(found.shape)
    if box is None and ring is None:
        return found
    top, left, bottom, right = found.box
    within, held = np.zeros_like(mask), np.zeros_like(mask)
    within[top:bottom, left:right] = ring if box is None else box
    held[top:bottom, left:right] = cv2.bitwise_and(mask[top:bottom, left:right], within[top:bottom, left:right])
    boxed = _main(held, lines, ink, None if box is not None else within)
    if boxed is None or boxed.longest < 0.2 * found.longest:
        return found
    if box is None and (boxed.cut or boxed.longest > 0.7 * found.longest):  # a zero, or one with a stroke through it
        return found
    return replace(boxed, boxed=True)


def lines_on(ink: Ink) -> Array | None:
    """The ruled lines (h, w) uint8 of a page, which are often fainter than its ink; None: there are none."""
    return ruled_lines(_above(ink.amount, ink.threshold if ink.is_darker else max(0.15 * ink.level, 3 * ink.noise)))


def _above(amount: Array, level: float) -> Array:
    return np.asarray(cv2.threshold(amount, level, 255, cv2.THRESH_BINARY)[1])


def _main(mask: Array, lines: Array | None, ink: Ink, inside: Array | None) -> Found | None:
    """The digit in mask (h, w) uint8 that is the heaviest by its strokes."""
    parts = components(mask, inside)
    if parts is None:
        return None
    _drop_faint(parts, ink)
    main = _heaviest(parts, max(mask.shape))
    if main is None:
        return None
    if lines is not None:  # what is left of them is too thin for this pen
        pen = Shape(parts.mask([main])[0]).pen[0]
        rests = parts.areas < 0.4 * pen * parts.sides
        rests[main] = False
        parts.areas[rests] = 0
    members, others = _members(main, parts)
    group, box = parts.mask(members)
    cut = bool(parts.contact[members].any())
    shape = Shape(group)
    quality = _quality(shape, box, parts, members, mask)
    if quality > POOR:
        quality *= _openness(shape) * _simplicity(shape)
    if cut and inside is not None:  # nobody writes over a sheet's edge: it is a shadow's
        quality *= CUT_BY_SHEET
    elif cut and ink.uneven:
        quality *= CUT_BY_FRAME
    elif cut and parts.areas[members].sum() < LONE * parts.areas.sum():  # rather a tablecloth's pattern
        quality *= CUT_BESIDE
    return Found(box, shape, lines, others, quality, cut)


def _drop_faint(parts: Components, ink: Ink) -> None:
    """Components without a pixel as dark as ink are shadows and stains."""
    height, width = parts.labels.shape
    amount = ink.amount[parts.top : parts.top + height, parts.left : parts.left + width]
    strong = np.zeros(len(parts.areas), bool)
    strong[parts.labels[amount > max(0.5 * ink.level, 5 * ink.noise)]] = True
    parts.areas[~strong] = 0


def _heaviest(parts: Components, longest: int) -> int | None:
    """The component that a digit is built around; None: only specks of a page so long remain."""
    # What the edge cuts is rather a finger or a shadow; what lies along the edge is the table, not a digit.
    weight = np.sqrt(parts.areas) * parts.sides
    if parts.contact.any():
        weight *= np.where(parts.contact > 0, 0.12, 1) * np.where(parts.contact > 0.2, 0.05, 1)
    weight[parts.sides < max(5, 0.02 * longest)] = 0
    heavy: list[int] = [i for i in (-weight).argsort(kind="stable")[:CANDIDATES].tolist() if weight[i] > 0]
    if len(heavy) < 2:
        return heavy[0] if heavy else None
    return max(heavy, key=lambda i: weight[i] * _slenderness(Shape(parts.mask([i])[0])))


def _quality(shape: Shape, box: Box, parts: Components, members: list[int], mask: Array) -> float:
    """How much a group of components stands by itself, and is made of strokes."""
    top, left, bottom, right = box
    own = parts.areas[members].sum()
    whole = parts.areas * np.where(parts.contact > 0, 0.3, 1)  # less for what an edge cuts
    own_share = float(own / max(1.0, whole.sum() - whole[members].sum() + own))
    fills = bottom - top >= 0.9 * mask.shape[0] and right - left >= 0.9 * mask.shape[1]
    # What is cut out tightly touches all edges, and there is nothing else.
    usual = 0.6 if fills and own_share > 0.9 else 0.3
    contact = _between(0.02, 1.15 - float(parts.contact[members].sum()) / usual)
    return _slenderness(shape) * contact * min(1.0, 0.35 + own_share)


def _slenderness(shape: Shape) -> float:
    """1 for strokes, 0 for what is as wide as it is long."""
    return _between(0.02, (0.66 - (shape.pen[1] - 1) / max(shape.mask.shape)) / 0.28)


def _openness(shape: Shape) -> float:
    """1 for strokes and bars, less for what fills its hull, such as a sheet with something on it."""
    shorter, longer = shape.rectangle
    if longer > 2.2 * max(1.0, shorter):
        return 1.0
    filled = shape.area / max(1.0, shape.hull_area + longer)
    return _between(0.1, (0.94 - filled) / 0.15)


def _simplicity(shape: Shape) -> float:
    """1 for digits, less for squared paper and texture, which have many holes."""
    holes = shape.holes(0.001 * shape.mask.size)
    return 1.0 if holes <= MOST_HOLES else 0.5 * MOST_HOLES / holes


def _between(least: float, value: float) -> float:
    """A part of a quality, which is 1 at most."""
    return max(least, min(1.0, value))


def _members(main: int, parts: Components) -> tuple[list[int], int]:
    """Labels that belong to component `main`, and how many other large ones do not.

    Digits stand side by side, parts of one rather above each other: there, and for small parts, the gap may be wider.
    """
    areas, is_edge = parts.areas, parts.contact > 0
    order = (-areas).argsort(kind="stable")[:PARTS].tolist()
    candidates = [i for i in order if areas[i] >= max(2, 0.01 * areas[main]) and i != main]
    large = {i for i in candidates if areas[i] >= 0.3 * areas[main] and not is_edge[i]}
    members, box, before = [main], parts.boxes[main].tolist(), 0
    while len(members) > before:
        before = len(members)
        for i in candidates:
            other = parts.boxes[i].tolist()
            if i not in members and _belongs(other, box, bool(is_edge[i]), i in large):
                members.append(i)
                if i in large:
                    box = [*map(min, box[:2], other[:2]), *map(max, box[2:], other[2:])]
    return members, len(large - set(members))


def _belongs(other: list[int], box: list[int], at_edge: bool, large: bool) -> bool:
    """Whether what has the box `other` is a part of the digit that has the other one so far."""
    longest = max(box[2] - box[0], box[3] - box[1])
    shared = min(other[3], box[3]) - max(other[1], box[1])
    above = shared > 0.5 * min(other[3] - other[1], box[3] - box[1])
    flat = min(_steepness(other), _steepness(box)) < 0.6  # no digit by itself: a bar of what is above or below
    reach = 0.08 if at_edge else (0.45 if flat else 0.25) if above else 0.08 if large else 0.2
    down, across = (max(0, other[i] - box[i + 2], box[i] - other[i + 2]) for i in (0, 1))
    small = max(other[2] - other[0], other[3] - other[1]) <= 1.2 * longest
    return small and float(np.hypot(down, across)) <= reach * longest


def _steepness(box: list[int]) -> float:
    """Height over width."""
    return (box[2] - box[0]) / max(1, box[3] - box[1])
