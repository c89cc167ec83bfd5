"""What a map puts into an order: its own segments, or single pixels. Those without ink change nothing when they are
removed, and most maps give them all the same 0, so they are left out: else ties would decide every curve.
"""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from server.explainers.perturbation import MaskedOutputs, Masks
from server.types import Array, Attribution, Model, Target

ENUMERABLE = 5  # cells; so few have at most 120 orders, which are all controls: then the share beaten is exact
CONTROLS = 99  # random orders of more cells: a map that is better than 98 % of all orders then passes in 19 of 20
# pictures; with 19 controls it would in 13
TIE_BREAKS = 10  # random orders over which a map with equal values is averaged
SEED = 1


@dataclass(frozen=True)
class Cells:
    """The n cells with ink of one image; a cell that is removed becomes empty paper."""

    masked: MaskedOutputs
    target: Target
    values: Array  # (n,) what the map says of them
    ink: Array  # (n,) how much they have

    @staticmethod
    def of(model: Model, image: Array, target: Target, attribution: Attribution) -> "Cells":
        values = attribution.segment_values
        segments = attribution.segments
        if attribution.fine or segments is None or values is None:
            segments, values = np.arange(image.size).reshape(image.shape), attribution.values.ravel()
        masked = MaskedOutputs(model, image, segments, np.zeros_like(image))
        ink = np.bincount(segments.ravel(), image.ravel().astype(np.float64))
        return Cells(masked, target, values[masked.seen], ink[masked.seen])

    def scores(self, kept: Masks) -> Array:
        """The target's score (m,) of the image with only the cells that each mask (m, n) keeps."""
        masks = np.ones((len(kept), self.masked.cells), bool)
        masks[:, self.masked.seen] = kept
        return self.target.score(self.masked.outputs(masks))

    def orders(self, values: Array) -> Array:
        """The orders (m, n) of the cells by `values` (n,), largest first: one, or where values are equal all that there
        are of few cells, and TIE_BREAKS random ones of many."""
        if len(values) <= ENUMERABLE:
            every = self.controls()
            return every[(np.diff(values[every], axis=1) <= 0).all(axis=1)]
        shuffled = _shuffled(len(values), 1 if len(np.unique(values)) == len(values) else TIE_BREAKS)
        ranks = np.argsort(-values[shuffled], axis=1, kind="stable")
        return np.take_along_axis(shuffled, ranks, axis=1)

    def controls(self) -> Array:
        """All orders of few cells, or CONTROLS random ones of many, (r, n)."""
        return all_orders(len(self.values)) if len(self.values) <= ENUMERABLE else _shuffled(len(self.values), CONTROLS)


@lru_cache(maxsize=ENUMERABLE + 1)
def all_orders(n: int) -> Array:
    """(n!, n)"""
    found = np.array(list(itertools.permutations(range(n))), int)
    found.flags.writeable = False
    return found


def _shuffled(n: int, count: int) -> Array:
    """`count` random orders (count, n), the same each time."""
    return np.random.default_rng(SEED).permuted(np.tile(np.arange(n), (count, 1)), axis=1)
