"""Components of ink -> digits: what a stroke is, what belongs together, and how sure that is."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from server.images.ink import Ink
from server.images.lines import inside_of_box, ruled_lines
from server.images.tones import histogram
from server.types import Array

MOST_COMPONENTS = 400  # more are texture
MOST_HOLES = 5
CANDIDATES = 8  # of the heaviest components, which are looked at closely


@dataclass(frozen=True)
class Found:
    """One digit of a page: `mask` (h, w) uint8, 1 for its pixels in the box (top, left, bottom, right); `quality` in
    [0, 1]: how much it looks like a digit that stands by itself."""

    box: tuple[int, int, int, int]
    mask: Array
    lines: Array | None
    others: int
    quality: float
    pen: float
    cut: bool  # it touches the page's edge
    boxed: bool = False  # a box was drawn around it


@dataclass(frozen=True)
class _Components:
    labels: Array  # (h, w) int32
    boxes: Array  # (n, 4) top, left, bottom, right
    areas: Array  # (n,) pixels; 0 for what is dropped
    contact: Array  # (n,) share of the page's edge that it touches

    @property
    def sides(self) -> Array:
        return np.maximum(self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1])


def find_digit(ink: Ink, inside: Array | None) -> Found | None:
    """The main digit of a page. None: there are only specks."""
    mask = _above(ink.amount, ink.threshold)
    lines = ruled_lines(_above(ink.amount, max(0.15 * ink.level, 3 * ink.noise)))  # often fainter than ink
    if lines is not None:
        kept = cv2.bitwise_and(mask, cv2.bitwise_not(lines))
        if cv2.countNonZero(kept) < 0.1 * cv2.countNonZero(lines):  # the only stroke of a tightly cut 1, not a line
            lines = None
        else:
            mask = kept
    doubtful = inside is not None or ink.uneven
    found = _digit(mask, lines, ink, inside, doubtful)
    within = None if found is None or found.cut else inside_of_box(found.mask)
    if found is None or within is None:
        return found
    top, left, bottom, right = found.box
    held = np.zeros_like(mask)
    held[top:bottom, left:right] = cv2.bitwise_and(mask[top:bottom, left:right], within)
    boxed = _digit(held, lines, ink, inside, False)
    if boxed is None or _side(boxed.box) < 0.2 * _side(found.box):
        return found
    return replace(boxed, boxed=True)


def _digit(mask: Array, lines: Array | None, ink: Ink, inside: Array | None, doubtful: bool) -> Found | None:
    components = _components(mask, ink, inside)
    return None if components is None else _best(components, mask, lines, ink, doubtful, inside is not None)


def _side(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _above(amount: Array, level: float) -> Array:
    return np.asarray(cv2.threshold(amount, level, 255, cv2.THRESH_BINARY)[1])


def _components(mask: Array, ink: Ink, inside: Array | None) -> _Components | None:
    """None: no component is as dark as ink."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if n > MOST_COMPONENTS:
        labels, stats, n = _largest(labels, stats)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    strong = _above(ink.amount, max(0.5 * ink.level, 5 * ink.noise))
    areas[np.bincount(labels[strong > 0], minlength=n) == 0] = 0  # a shadow, a stain
    if not areas.any():
        return None
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    boxes = np.stack([top, left, top + stats[:, cv2.CC_STAT_HEIGHT], left + stats[:, cv2.CC_STAT_WIDTH]], axis=1)
    return _Components(labels, boxes, areas, _contact(labels, inside, n))


def _largest(labels: Array, stats: Array) -> tuple[Array, Array, int]:
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_COMPONENTS] + 1
    renumbered = np.zeros(len(stats), np.int32)
    renumbered[order] = np.arange(1, len(order) + 1)
    return renumbered[labels], np.concatenate([stats[:1], stats[order]]), len(order) + 1


def _contact(labels: Array, inside: Array | None, n: int) -> Array:
    if inside is None:
        edge = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    else:
        shrunk = cv2.erode(inside, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        edge = labels[(inside > 0) & (shrunk == 0)]
    return np.bincount(edge, minlength=n) / max(1, edge.size)


def _best(parts: _Components, mask: Array, lines: Array | None, ink: Ink, doubtful: bool, inside: bool) -> Found | None:
    height, width = mask.shape
    sides = parts.sides
    # What the edge cuts is rather a finger or a shadow; what lies along the edge is the table, not a digit.
    weight = parts.areas * np.where(parts.contact > 0, 0.3, 1) * np.where(parts.contact > 0.2, 0.05, 1)
    weight[sides < max(5, 0.02 * max(height, width))] = 0
    best: tuple[float, int, float, float] | None = None
    for i in np.argsort(-weight, kind="stable")[:CANDIDATES].tolist():
        if weight[i] <= 0:
            break
        pen, widest = _pen(parts, i)
        score = weight[i] * _strokeness(widest, sides[i])
        if best is None or score > best[0]:
            best = (score, i, pen, widest)
    if best is None:
        return None
    _, main, pen, widest = best
    rests = (parts.areas < 0.4 * pen * sides) & (lines is not None)  # of ruled lines: too thin for this pen
    areas = np.where(rests, 0, parts.areas)
    areas[main] = parts.areas[main]
    members, others = _members(main, areas, parts.boxes, parts.contact > 0)
    box = parts.boxes[members]
    top, left, bottom, right = *box[:, :2].min(0).tolist(), *box[:, 2:].max(0).tolist()
    part = parts.labels[top:bottom, left:right]
    chosen = np.zeros(len(parts.areas), np.uint8)
    chosen[members] = 1
    group = chosen[part]
    if len(members) > 1:
        widest = pen_width(group)[1]
    quality = _quality(parts, members, group, (top, left, bottom, right), mask, widest)
    quality *= _crispness(ink, group, (top, left, bottom, right)) * _simplicity(group)
    cut = bool(parts.contact[members].any())
    if doubtful and cut:  # nobody writes over a sheet's edge: it is a shadow's
        quality *= 0.4 if inside else 0.55
    return Found((top, left, bottom, right), group, lines, others, quality, pen, cut)


def _pen(parts: _Components, i: int) -> tuple[float, float]:
    """Mean and greatest width of a component's strokes in pixels: a bar's pixels lie a quarter of its width from its
    edge on average."""
    top, left, bottom, right = parts.boxes[i].tolist()
    part = (parts.labels[top:bottom, left:right] == i).astype(np.uint8)
    return pen_width(part)


def pen_width(part: Array) -> tuple[float, float]:
    distance = cv2.distanceTransform(cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    return 4 * float(distance.sum()) / max(1, int(np.count_nonzero(part))), 2 * float(distance.max())


def _strokeness(widest: float, longest: float) -> float:
    """1 for strokes, 0 for what is as wide as it is long."""
    return float(np.clip((0.66 - (widest - 1) / max(longest, 1)) / 0.28, 0.02, 1))


def _quality(
    parts: _Components, members: list[int], group: Array, box: tuple[int, int, int, int], mask: Array, widest: float
) -> float:
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    strokes = _strokeness(widest, max(height, width)) * _openness(group)
    contact = float(np.clip(1.15 - parts.contact[members].sum() / 0.3, 0.02, 1))
    margin = max(2, round(0.15 * max(height, width)))
    around = mask[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    inked = cv2.countNonZero(np.ascontiguousarray(around)) - np.count_nonzero(group)
    quiet = float(np.clip(1.1 - 2.5 * inked / max(1, around.size), 0.05, 1))
    free = np.where(parts.contact > 0, 0, parts.areas)
    alone = parts.areas[members].sum() / max(1.0, free.sum() + parts.areas[members].sum() - free[members].sum())
    return strokes * contact * quiet * min(1.0, 0.35 + float(alone))


def _members(main: int, areas: Array, extents: Array, is_edge: Array) -> tuple[list[int], int]:
    """Labels that belong to component `main`, and how many other large ones do not.

    Digits stand side by side, parts of one rather above each other: there, and for small parts, the gap may be wider.
    """
    order = np.argsort(-areas, kind="stable")[:60]
    candidates = [int(i) for i in order if areas[i] >= max(2, 0.01 * areas[main]) and i != main]
    large = {i for i in candidates if areas[i] >= 0.3 * areas[main] and not is_edge[i]}
    members, box, before = [main], extents[main].astype(float), 0
    while len(members) > before:
        before = len(members)
        for i in candidates:
            other, longest = extents[i], max(box[2:] - box[:2])
            shared = min(other[3], box[3]) - max(other[1], box[1])
            above = shared > 0.5 * min(other[3] - other[1], box[3] - box[1])
            # A flat piece is no digit by itself; it belongs to what is above or below.
            flat = above and min(_steepness(other), _steepness(box)) < 0.6
            reach = (
                0.45
                if flat and not is_edge[i]
                else 0.25
                if above and not is_edge[i]
                else 0.08
                if i in large or is_edge[i]
                else 0.2
            )
            gap = np.hypot(*np.maximum(0, np.maximum(other[:2] - box[2:], box[:2] - other[2:])))
            if i not in members and gap <= reach * longest and max(other[2:] - other[:2]) <= 1.2 * longest:
                members.append(i)
            if i in members and i in large:
                box = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
    return members, len(large - set(members))


def _steepness(box: Array) -> float:
    """Height over width of a box (top, left, bottom, right)."""
    return float((box[2] - box[0]) / max(1, box[3] - box[1]))


def _openness(group: Array) -> float:
    """1 for strokes and bars, less for what fills its hull, such as a sheet with something on it."""
    points = cv2.findNonZero(group)
    hull = cv2.convexHull(points)
    (_, sides, _) = cv2.minAreaRect(hull)
    if max(sides) > 2.2 * max(1.0, min(sides)):
        return 1.0
    filled = len(points) / max(1.0, cv2.contourArea(hull) + max(sides))
    return float(np.clip((0.95 - filled) / 0.15, 0.1, 1))


def _crispness(ink: Ink, group: Array, box: tuple[int, int, int, int]) -> float:
    """1 where ink begins within a few pixels, less for glare and stains."""
    top, left, bottom, right = box
    above, before = min(1, top), min(1, left)  # with a pixel around it, where the page has one
    amount = ink.amount[top - above : bottom + 1, left - before : right + 1]
    below, behind = amount.shape[0] - above - group.shape[0], amount.shape[1] - before - group.shape[1]
    wide = cv2.copyMakeBorder(group, above, below, before, behind, cv2.BORDER_CONSTANT)
    kernel = np.ones((3, 3), np.uint8)
    steps = cv2.subtract(cv2.dilate(amount, kernel), cv2.erode(amount, kernel))
    rim = cv2.subtract(wide, cv2.erode(wide, kernel))
    usual = histogram(steps, rim).median() / max(ink.level, 1)
    return float(np.clip((usual - 0.04) / 0.12, 0.05, 1))


def _simplicity(group: Array) -> float:
    """1 for digits, which have two or three holes at most, less for squared paper and texture."""
    contours, hierarchy = cv2.findContours(group, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = [one for one, of in zip(contours, hierarchy[0], strict=True) if of[3] >= 0]
    if len(holes) <= MOST_HOLES:
        return 1.0
    large = sum(cv2.contourArea(one) > 0.001 * group.size for one in holes)
    return 1.0 if large <= MOST_HOLES else MOST_HOLES / large / 2
