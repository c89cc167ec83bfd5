"""What a map puts into an order: its own segments, or single pixels. Those without ink change nothing when they are
removed, and most maps give them all the same 0, so they are left out: else ties would decide every curve.
"""

from dataclasses import dataclass

import numpy as np

from server.explainers.perturbation import MaskedOutputs, Masks
from server.types import Array, Attribution, Model, Target

CONTROLS = 20  # random orders


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
        if segments is None or values is None:
            segments, values = np.arange(image.size).reshape(image.shape), attribution.values.ravel()
        masked = MaskedOutputs(model, image, segments, np.zeros_like(image))
        ink = np.bincount(segments.ravel(), image.ravel().astype(np.float64))
        return Cells(masked, target, values[masked.seen], ink[masked.seen])

    def scores(self, kept: Masks) -> Array:
        """The target's score (m,) of the image with only the cells that each mask (m, n) keeps."""
        masks = np.ones((len(kept), self.masked.cells), bool)
        masks[:, self.masked.seen] = kept
        return self.target.score(self.masked.outputs(masks))

    def order(self, values: Array, rng: np.random.Generator) -> Array:
        """The cells (n,) by `values` (n,), largest first, equal ones in random order."""
        shuffled = rng.permutation(len(values))
        found: Array = shuffled[np.argsort(-values[shuffled], kind="stable")]
        return found

    def controls(self, rng: np.random.Generator) -> Array:
        """The map's own values given to the wrong cells, (CONTROLS, n)."""
        return rng.permuted(np.tile(self.values, (CONTROLS, 1)), axis=1)
