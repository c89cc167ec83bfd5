"""Finds the openings of a digit: where the edge of its convex hull leaves the ink. Ink that is not there can be
evidence too: a closed top would make a 9 of a 4.
"""

import numpy as np

from server.types import Array

WIDE, DEEP = 0.35, 0.15  # of the ink's box: a smaller opening is a wave of the pen
MOST = 3


def lids(solid: Array, line: int) -> list[Array]:
    """The strokes that would close the openings of `solid` (H, W) bool, the widest first: each (H, W) bool, straight
    along the hull, and as wide as the ink is on average, whose medial line is `line` pixels long."""
    ink = np.argwhere(solid)
    side = int(np.ptp(ink, axis=0).max()) + 1
    corners = _hull(solid)
    edges = sorted(zip(corners, [*corners[1:], *corners[:1]], strict=True), key=lambda edge: -_length(*edge))
    pixels = np.indices(solid.shape).reshape(2, -1).T
    width = len(ink) / line
    found = []
    for one, other in edges:
        if _length(one, other) < WIDE * side:
            break
        middle = np.array(one) + np.linspace(0.25, 0.75, 5)[:, None] * np.subtract(other, one)
        depth = np.hypot(*(middle[:, None] - ink[None]).transpose(2, 0, 1)).min(axis=1).max()
        lid = _near_segment(pixels, np.array(one), np.array(other), width / 2).reshape(solid.shape)
        if depth >= DEEP * side and (lid & ~solid).any():
            found.append(lid)
    return found[:MOST]


def _hull(solid: Array) -> list[tuple[int, int]]:
    """The corners of the convex hull in order: Andrew's monotone chain over the first and last pixel of each row."""
    rows = np.nonzero(solid.any(axis=1))[0].tolist()
    firsts, lasts = solid.argmax(axis=1).tolist(), (solid.shape[1] - 1 - solid[:, ::-1].argmax(axis=1)).tolist()
    points = sorted({(row, column) for row in rows for column in (firsts[row], lasts[row])})
    return _chain(points)[:-1] + _chain(points[::-1])[:-1]


def _chain(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(one: tuple[int, int], then: tuple[int, int], last: tuple[int, int]) -> int:
    return (then[0] - one[0]) * (last[1] - one[1]) - (then[1] - one[1]) * (last[0] - one[0])


def _length(one: tuple[int, int], other: tuple[int, int]) -> float:
    return float(np.hypot(one[0] - other[0], one[1] - other[1]))


def _near_segment(pixels: Array, one: Array, other: Array, reach: float) -> Array:
    """Which of the pixels (k, 2) are within `reach` of the segment from `one` to `other`: (k,) bool."""
    along = other - one
    share = np.clip((pixels - one) @ along / (along @ along), 0, 1)
    return np.asarray(np.hypot(*(pixels - one - share[:, None] * along).T) <= reach)
