"""Pieces: one digit cut into parts. Tests what taking each away costs (ablation), and locates the evidence of a map.

What is taken away shows empty paper once and the mean of the background images once; a part's drop is the mean of both,
as neither alone is what "nothing there" looks like to a net. An opening is closed with a stroke instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.explainers.perturbation import baseline_of
from server.parts.gaps import lids
from server.parts.shapes import Shape, distinct, gap_of, shape_of
from server.parts.strokes import Stroke, cut, nearest
from server.types import Array, Attribution, Model, Part, Target

FAINT, SOLID = 0.05, 0.4  # of the darkest pixel: ink begins here, and here what the pen drew without fading edges
NEAR = 0.1  # of the ink's box, 2 pixels of 20: what a map says beside a part, it says of the part


@dataclass(frozen=True)
class Pieces:
    """The parts of one digit (H, W), and what each is worth."""

    image: Array
    shapes: tuple[Shape, ...] = ()  # n: pieces of ink, then openings
    labels: Array | None = None  # (H, W) int: the piece of each pixel with ink, -1 for paper; None without ink
    regions: Array | None = None  # (H, W) int: the part that a pixel is of, near, or in the lid of; n for the rest
    lids: tuple[Array, ...] = ()  # (H, W) bool each: the strokes that would close the openings
    drops: Array | None = None  # (n,), of the target's score without each; None before the test
    rows: int = 0  # images put through the model

    @staticmethod
    def of(image: Array) -> "Pieces":
        """The parts of `image` (H, W): none of empty paper."""
        if not image.any():
            return Pieces(image)
        ink, solid = (image >= share * image.max() for share in (FAINT, SOLID))
        labels, strokes = cut(ink, solid)
        count = int(labels.max()) + 1
        drawn: Sequence[Stroke | None] = strokes or [None] * count
        inked = [shape_of(labels == number, solid, stroke) for number, stroke in enumerate(drawn)]
        closing = tuple(lids(solid, sum(len(stroke.points) for stroke in strokes))) if strokes else ()
        openings = [gap_of(lid, solid) for lid in closing]
        near = NEAR * (max(int(np.ptp(along)) for along in np.nonzero(solid)) + 1)
        regions = np.where(ink, labels, nearest(~ink, np.argwhere(ink), labels[ink], near))
        for number, lid in enumerate(closing, count):
            regions[lid & (regions < 0)] = number
        regions[regions < 0] = count + len(closing)
        return Pieces(image, (*distinct(inked), *openings), labels, regions, closing)

    def tested(self, model: Model, target: Target) -> "Pieces":
        """The same after the test: two rows for each piece of ink, one for each opening, and one.

        Raises what the model raises.
        """
        if self.labels is None:
            return self
        count = len(self.shapes) - len(self.lids)
        removed = self.labels == np.arange(count)[:, None, None]
        without = [np.where(removed, baseline_of(name, model.card), self.image) for name in ("black", "mean")]
        closed = [np.maximum(self.image, lid)[None] for lid in self.lids]
        rows = np.concatenate([self.image[None], *without, *closed], dtype=np.float32)
        score, *scores = target.score(model.forward(rows)).tolist()
        means = np.reshape(scores[: 2 * count], (2, count)).mean(axis=0)
        return replace(self, drops=score - np.append(means, scores[2 * count :]), rows=len(rows))

    def parts(self, attribution: Attribution) -> tuple[Part, ...]:
        """The parts with their shares of the map's evidence; the costliest first, once they are tested."""
        if self.regions is None:
            return ()
        values, stderr, units, regions = self._located(attribution)
        total = float(np.abs(values).sum()) or 1.0
        count = len(self.shapes) + 1  # the last is what lies on paper far from all
        with np.errstate(invalid="ignore"):  # values that are not finite are refused where they are shown
            sums = [np.bincount(regions, np.maximum(sign * values, 0), count) / total for sign in (1, -1)]
        each = np.bincount(regions * (units.max() + 1) + units, stderr, count * (units.max() + 1)).reshape(count, -1)
        errors = np.sqrt((each**2).sum(axis=1)) / total  # units err independently, the pixels of one together
        parts = [
            Part(
                shape.kind, shape.place, shape.section, None if self.drops is None else float(self.drops[number]),
                shape.box, float(sums[0][number]), float(sums[1][number]),
                None if attribution.stderr is None else float(errors[number]),
            )
            for number, shape in enumerate(self.shapes)
        ]  # fmt: skip
        return tuple(sorted(parts, key=lambda part: -(part.drop or 0)))

    def _located(self, attribution: Attribution) -> tuple[Array, Array, Array, Array]:
        """Of each pixel, all (H W,): its value, its standard error, its unit of sampling, and the part that it is of.

        A value for a whole segment is put to the ink in it: spread over its paper too, it would lie where nothing is.
        What has no ink is on paper, near as it may be."""
        assert self.labels is not None and self.regions is not None
        errors = np.zeros_like(attribution.values) if attribution.stderr is None else attribution.stderr
        values, stderr = (of.ravel().astype(np.float64) for of in (attribution.values, errors))
        one = np.zeros(values.shape, int)
        units = one if attribution.segments is None else attribution.segments.ravel()
        if attribution.segments is None or attribution.fine:
            return values, stderr, units, self.regions.ravel()
        ink = self.image.ravel().astype(np.float64)
        inked = np.bincount(units, ink)[units]
        shares = np.where(inked > 0, ink / np.maximum(inked, 1e-9), 1 / np.bincount(units)[units])
        regions = np.where(self.labels < 0, len(self.shapes), self.labels).ravel()
        return np.bincount(units, values)[units] * shares, np.bincount(units, stderr)[units] * shares, units, regions
