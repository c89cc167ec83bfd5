"""Lines that are no strokes: ruled and squared paper's, from edge to edge of a page, and those drawn around a digit."""

import cv2
import numpy as np

from server.images.components import Shape
from server.types import Array

LEAST_BOX = 24  # pixels on the shorter side
HOLLOW = 0.7  # of what a line around a digit encloses, at least: a zero's line is thicker
RECTANGULAR = 0.86  # of the smallest rectangle around it, at least
COVERED = 0.85  # of a box's outline, at least


def ruled_lines(mask: Array) -> Array | None:
    """Pixels (h, w) uint8 of mask (h, w) uint8 that lie on thin straight lines across the page, both ways, but where
    a stroke crosses; None where there are none."""
    if min(mask.shape) < 60:
        return None
    left, top, width, height = cv2.boundingRect(mask)
    across = _lines(mask) if _spans(left, width, mask.shape[1]) else None
    down = _lines(cv2.transpose(mask)) if _spans(top, height, mask.shape[0]) else None
    lines = [one for one in (across, None if down is None else cv2.transpose(down)) if one is not None]
    return None if not lines else lines[0] if len(lines) == 1 else np.asarray(cv2.bitwise_or(*lines))


def _ends(longest: int) -> int:
    """How many columns at each edge of a page so wide a line has to reach."""
    return max(2, longest // 16)


def _spans(start: int, length: int, longest: int) -> bool:
    """Whether what begins at `start` reaches both edges of a page so wide."""
    return start < _ends(longest) and start + length > longest - _ends(longest)


def _lines(mask: Array) -> Array | None:
    """Those from the left to the right edge."""
    height, width = mask.shape
    ends = _ends(width)
    for edge in (mask[:, :ends], mask[:, -ends:]):
        if cv2.countNonZero(cv2.reduce(np.ascontiguousarray(edge), 0, cv2.REDUCE_MAX)) < 0.5 * ends:
            return None
    lines = np.zeros_like(mask)
    slope = _slope(mask, np.linspace(-0.09, 0.09, 13))
    slope = _slope(mask, slope + np.linspace(-0.01, 0.01, 5))
    rows = _counts(mask, slope)
    above = np.concatenate([[0], (rows > 0.35 * width).astype(np.int8), [0]])
    starts, stops = np.flatnonzero(np.diff(above) == 1), np.flatnonzero(np.diff(above) == -1)
    drift = np.rint(slope * (np.arange(width) - width / 2)).astype(np.intp)
    columns = np.arange(width)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if stop - start > max(4, round(0.025 * height)):
            continue
        at = np.clip(np.arange(start - 2, stop + 2)[:, None] + drift, 0, height - 1)  # with a row on each side
        strip = mask[at, columns] > 0
        on_line, thin = strip[1:-1].any(0), strip[1:-1] & ~(strip[0] | strip[-1])
        if min(on_line[:ends].mean(), on_line[-ends:].mean(), thin.any(0).mean()) >= 0.5:
            lines[at[1:-1], np.broadcast_to(columns, thin.shape)] |= (thin * 255).astype(np.uint8)
    return lines if lines.any() else None


def _slope(mask: Array, slopes: Array) -> float:
    """Of the slopes the one along which the pixels of mask (h, w) gather most in lines."""
    tried: list[float] = slopes.tolist()
    return max(tried, key=lambda slope: float((_counts(mask, slope) ** 2).sum()))


def _counts(mask: Array, slope: float) -> Array:
    """How many pixels of mask (h, w) lie on each row (h,) when lines of that slope are levelled."""
    height, width = mask.shape
    level = np.array([[1, 0, 0], [-slope, 1, slope * width / 2]], np.float64)
    levelled = cv2.warpAffine(mask, level, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(cv2.reduce(levelled, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F).ravel() / 255)


def inside_of_box(shape: Shape) -> Array | None:
    """What a box that is drawn around a digit holds, (h, w) uint8: 255 there. None: the shape is no box with something
    in it."""
    group = shape.mask
    if min(group.shape) < LEAST_BOX or shape.area > 0.6 * shape.hull_area:
        return None
    if shape.hull_area < RECTANGULAR * shape.rectangle[0] * shape.rectangle[1]:
        return None
    if len(shape.hull) < 4:
        return None
    around = cv2.approxPolyN(shape.hull, 4, ensure_convex=True).reshape(-1, 1, 2).astype(np.float32)
    if not cv2.contourArea(around) <= 1.12 * shape.hull_area:
        return None
    corners, band = np.rint(around).astype(np.int32), max(3, round(0.08 * min(group.shape)))
    outline, rim = np.zeros_like(group), np.zeros_like(group)
    cv2.polylines(outline, [corners], True, 1, 1)
    near = cv2.dilate(group, np.ones((band, band), np.uint8))
    if cv2.countNonZero(cv2.bitwise_and(outline, near)) < COVERED * cv2.countNonZero(outline):
        return None
    cv2.polylines(rim, [corners], True, 1, band)
    line = cv2.countNonZero(cv2.bitwise_and(rim, group)) / cv2.arcLength(around, True)  # its width
    held = np.zeros_like(group)
    cv2.fillConvexPoly(held, corners, 255)
    cv2.polylines(held, [corners], True, 0, 2 * round(1.3 * line + 1) + 1)
    return held


def inside_of_ring(shape: Shape) -> Array | None:
    """What a line that is drawn all around a digit holds, (h, w) uint8: 255 there. None: there is no such line."""
    hole = shape.largest_hole
    if hole is None or cv2.contourArea(hole) < HOLLOW * shape.hull_area:
        return None
    held = np.zeros_like(shape.mask)
    cv2.drawContours(held, [hole], -1, 255, cv2.FILLED)
    return np.asarray(cv2.erode(held, np.ones((3, 3), np.uint8)))  # the hole's outline lies on the line
