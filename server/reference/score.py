"""The function from pictures to the target's score that the packages explain, which counts its rows."""

from dataclasses import dataclass

import numpy as np

from server.explainers.perturbation import CHUNK, score_of
from server.types import Array, Model, Target


@dataclass
class ScoreFunction:
    """weights . outputs of `model`, and the rows that it took so far. A contrast is explained like a class: it is one
    output too. The model computes a chunk at a time, however many pictures a package sends, and the deadline may pass
    before any.
    """

    model: Model
    target: Target
    rows: int = 0

    def __call__(self, images: Array) -> Array:
        """(n,) float64 for images (n, H, W).

        Raises:
            OutOfTime: the request's budget has ended.
        """
        self.rows += len(images)
        chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
        return np.concatenate([score_of(self.model, chunk, self.target) for chunk in chunks])
