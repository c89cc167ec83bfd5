"""What every library is asked: the same digits, classes, background and cells, in one file that each of them reads.

Must need nothing but numpy: it is imported in the virtual environments of the other libraries too.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """n digits with the model's own answers, against which all libraries are judged."""

    images: Array  # (n, H, W) float32 in [0, 1]
    targets: Array  # (n,) int, the predicted class, which is explained
    background: Array  # (m, H, W) float32
    segments: Array  # (n, H, W) int, superpixels for LIME
    cells: Array  # (H, W) int, the grid for Shapley values
    logits: Array  # (n, K) of the images
    slopes: Array  # (n, H, W), d(target's logit) / d(image)
    scores: Array  # (n,) float64, the target's logit
    black: Array  # (n,) float64, the same of empty paper
    typical: Array  # (n,) float64, its mean over the background

    def save(self, path: Path) -> None:
        np.savez(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @staticmethod
    def load(path: Path) -> "Case":
        with np.load(path) as stored:
            return Case(**{name: stored[name] for name in stored})


def per_segment(values: Array, segments: Array) -> Array:
    """One value for each segment (n,), from a map (H, W) that gives every pixel the value of its segment."""
    first = np.unique(segments, return_index=True)[1]
    found: Array = values.reshape(-1)[first]
    return found
