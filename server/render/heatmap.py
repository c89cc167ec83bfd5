"""Turns an explanation into a heatmap: the strength of each cell, and its pixels. With numpy alone.

A cell is one pixel of the model's image. Cells are never smoothed: what is shown is what was computed. Knows no file
format and no legend.
"""

from dataclasses import dataclass

import numpy as np

from server.render.backdrop import FADED, Backdrop, backdrop, cells
from server.render.colours import eight_bit, heat
from server.render.jsonable import finite
from server.types import Array, Explanation

PERCENTILE = 99.0  # of the non-zero strengths: one odd pixel in a hundred may not bleach the rest
OUTLIER = 1.25  # the largest strength sets the limit unless it is that much above the percentile
DARK, LIGHT = 0.13, 1.0  # the outline of the ink and its halo
OUTLINE, FINE, HALO = 0.85, 0.5, 0.75  # their opacities; the outline is fine where cells are small
MARK_FROM = 0.3  # cells at least this much against the target bear a minus, so that the sign survives a grey print
ROOMY = 9.0  # pixels that a cell or segment needs to be marked, and an outline to have a halo


@dataclass(frozen=True)
class Heatmap:
    """Levels, and the backdrop that they lie upon."""

    levels: Array  # (H, W) in [-1, 1] of `limit`
    signed: bool
    limit: float  # the value of level 1; 0 for a map that is zero everywhere
    largest: float  # the largest strength, beyond `limit` when clipped
    segments: Array | None  # (H, W) int
    ink: Array  # (H, W) bool
    backdrop: Backdrop

    @property
    def clipped(self) -> bool:
        return self.largest > self.limit


@dataclass(frozen=True)
class Mark:
    """A minus at the centre (x, y) of a cell or segment, in pixels of the map."""

    x: float
    y: float
    half_width: float


def heatmap(explanation: Explanation, signed: bool | None = None, limit: float | None = None) -> Heatmap:
    """`signed` and `limit` stand for what the explanation says by itself: its method's sign, its largest strength.

    Raises ValueError when there is a value that is not finite.
    """
    attribution = explanation.attribution
    painted = finite(attribution.painted, "values")
    signed = explanation.explainer.signed if signed is None else signed
    segments = None if attribution.fine else attribution.segments
    ink = explanation.digit.pixels >= 0.5
    return heatmap_of(painted, signed, limit, segments, ink, backdrop(explanation))


def heatmap_of(
    painted: Array, signed: bool, limit: float | None, segments: Array | None, ink: Array, below: Backdrop
) -> Heatmap:
    """Of finite values (H, W); without a `limit`, up to their largest strength."""
    limit = limit_of(painted, signed) if limit is None else limit
    levels = np.zeros_like(painted) if limit == 0 else np.clip(painted / limit, -1 if signed else 0, 1)
    return Heatmap(levels, signed, limit, float(_strengths(painted, signed).max()), segments, ink, below)


def paint(heatmap: Heatmap) -> Array:
    """The map (h, w, 3) uint8: grey picture, heat, borders of segments, outline of the ink."""
    below = heatmap.backdrop
    cell = cells(below.matrix, below.grey.shape, heatmap.levels.shape)
    seen = cell >= 0
    colour, opacity = heat(np.append(heatmap.levels.ravel(), 0), heatmap.signed)  # cell -1 reads the appended zero
    cover = opacity.astype(np.float32)[cell]
    grey = np.where(seen, below.grey, below.grey + FADED * (1 - below.grey))
    picture = (grey * (1 - cover))[..., None] + (opacity[:, None] * colour).astype(np.float32)[cell]
    if heatmap.segments is not None:
        _shade(picture, _borders(np.append(heatmap.segments.ravel(), -1)[cell]), 0.35, 0.5)
    ink = np.append(heatmap.ink.ravel(), False)[cell]
    if below.cell >= ROOMY:
        _shade(picture, _rim(~ink), LIGHT, HALO)
    _shade(picture, _rim(ink), DARK, OUTLINE if below.cell >= ROOMY else FINE)
    if not seen.all():
        _shade(picture, _rim(seen), 0.5, 0.8)
    return eight_bit(picture)


def marks(heatmap: Heatmap) -> list[Mark]:
    """The minus signs that say "against" where there is room for them. None on an unsigned map."""
    if not heatmap.signed:
        return []
    against = heatmap.levels <= -MARK_FROM
    if heatmap.segments is None:
        return [_mark(heatmap, at, 1.0) for at in np.argwhere(against)] if heatmap.backdrop.cell >= ROOMY else []
    areas = [np.argwhere(heatmap.segments == segment) for segment in np.unique(heatmap.segments[against])]
    # The pixel nearest to the middle: the middle itself may lie outside of a crescent
    middles = [area[np.abs(area - area.mean(axis=0)).sum(axis=1).argmin()] for area in areas]
    sides = [len(area) ** 0.5 for area in areas]
    placed = zip(middles, sides, strict=True)
    return [_mark(heatmap, at, side) for at, side in placed if side * heatmap.backdrop.cell >= ROOMY]


def _mark(heatmap: Heatmap, at: Array, side: float) -> Mark:
    """A minus on the cell (row, column), sized for an area of side x side cells."""
    x, y = heatmap.backdrop.point(float(at[1]) + 0.5, float(at[0]) + 0.5)
    return Mark(x, y, min(0.2 * side, 1.0) * heatmap.backdrop.cell)


def _strengths(painted: Array, signed: bool) -> Array:
    return np.abs(painted) if signed else np.maximum(painted, 0)


def limit_of(painted: Array, signed: bool) -> float:
    """The largest strength of a map, or of several (..., H, W) that share a scale, or the percentile where the largest
    is an outlier; 0 where all are 0.

    Equal strengths count once, so that a segment has one voice however large it is. The percentile is one of the
    strengths, not a mixture: of fewer than a hundred it is the largest.
    """
    strengths = _strengths(painted, signed)
    present = np.unique(strengths[strengths > 0])
    if not present.size:
        return 0.0
    usual = float(np.percentile(present, PERCENTILE, method="higher"))
    return usual if present[-1] > OUTLIER * usual else float(present[-1])


def _borders(regions: Array) -> Array:
    """Pixels whose right or lower neighbour is in another region: a line one pixel wide. (h, w) bool."""
    border = np.zeros(regions.shape, bool)
    border[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    border[:-1] |= regions[:-1] != regions[1:]
    return border


def _rim(inside: Array) -> Array:
    """Pixels of `inside` with a neighbour outside; the map's own edge is no rim. (h, w) bool."""
    framed = np.pad(inside, 1, mode="edge")
    enclosed = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return np.asarray(inside & ~enclosed)


def _shade(picture: Array, where: Array, grey: float, opacity: float) -> None:
    """Draw a grey over some pixels of picture (h, w, 3), in place."""
    picture[where] += opacity * (grey - picture[where])
