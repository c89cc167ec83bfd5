"""Statistics of grey levels from a histogram: for pictures of 8 bits exact, and faster than sorting."""

from functools import cached_property

import cv2
import numpy as np

from server.types import Array

SAMPLED = 120  # pixels on the shorter side from which on every third row suffices
LEVELS = np.arange(256)


def histogram(grey: Array, mask: Array | None = None) -> "Histogram":
    """Of grey (h, w) uint8, where `mask` (h, w) uint8 is not 0."""
    if min(grey.shape) > SAMPLED:
        grey = np.ascontiguousarray(grey[::3])
        mask = None if mask is None else np.ascontiguousarray(mask[::3])
    return Histogram(cv2.calcHist([grey], [0], mask, [256], [0, 256]).ravel().astype(np.float64))


class Histogram:
    """How often each of 256 levels occurs: counts (256,)."""

    def __init__(self, counts: Array) -> None:
        self.counts = counts

    @cached_property
    def _cumulated(self) -> Array:
        return np.cumsum(self.counts)

    @property
    def total(self) -> float:
        return float(self._cumulated[-1])

    def above(self, level: float) -> "Histogram":
        """Of the levels above `level` alone."""
        return Histogram(np.where(level < LEVELS, self.counts, 0))

    def mapped(self, table: Array) -> "Histogram":
        """Of the picture whose levels are replaced by those of table (256,)."""
        return Histogram(np.bincount(table, self.counts, 256))

    def quantile(self, share: float) -> int:
        """The lowest level that at least `share` of the pixels do not exceed; 0 where there are none."""
        total = self.total
        return min(255, int(np.searchsorted(self._cumulated, share * total))) if total else 0

    def median(self) -> int:
        return self.quantile(0.5)

    def share_above(self, level: float) -> float:
        return float(self.counts[int(level) + 1 :].sum()) / max(1.0, self.total)

    def spread(self, middle: int, share: float = 0.5) -> int:
        """The least distance from `middle` that at least `share` of the pixels keep, in levels."""
        near = np.bincount(np.abs(LEVELS - middle), self.counts)
        cumulated = np.cumsum(near)
        return int(np.searchsorted(cumulated, share * cumulated[-1])) if cumulated[-1] else 0

    def parting(self) -> int:
        """The level that parts the dark from the light best, itself dark: the one between whose sides the variance is
        largest (Otsu 1979, 10.1109/TSMC.1979.4310076)."""
        below, total = self._cumulated, self.total
        sums = np.cumsum(self.counts * LEVELS)
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (sums[-1] * below / total - sums) ** 2 / (below * (total - below))
        return int(np.argmax(np.nan_to_num(between, nan=0, posinf=0)))
