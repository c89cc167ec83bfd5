"""Statistics of grey levels from a histogram: for pictures of 8 bits exact, and faster than sorting."""

import cv2
import numpy as np

from server.types import Array

SAMPLED = 120  # pixels on the shorter side from which on every third row suffices
LEVELS = np.arange(256.0)


def histogram(grey: Array, mask: Array | None = None) -> "Histogram":
    """Of grey (h, w) uint8, where `mask` (h, w) uint8 is not 0."""
    if min(grey.shape) > SAMPLED:
        grey = np.ascontiguousarray(grey[::3])
        mask = None if mask is None else np.ascontiguousarray(mask[::3])
    return Histogram(cv2.calcHist([grey], [0], mask, [256], [0, 256]).ravel().astype(np.float64))


class Histogram:
    """How often each of 256 levels occurs: counts (256,) float64."""

    def __init__(self, counts: Array) -> None:
        self.counts = counts
        self._cumulated = counts.cumsum()

    @property
    def total(self) -> float:
        return float(self._cumulated[-1])

    def above(self, level: float) -> "Histogram":
        """Of the levels above `level` alone."""
        counts = self.counts.copy()
        counts[: int(level) + 1] = 0
        return Histogram(counts)

    def mapped(self, table: Array) -> "Histogram":
        """Of the picture whose levels are replaced by those of table (256,)."""
        return Histogram(np.bincount(table, self.counts, 256))

    def quantile(self, share: float) -> int:
        """The lowest level that at least `share` of the pixels do not exceed; 0 where there are none."""
        total = self.total
        return min(255, int(self._cumulated.searchsorted(share * total))) if total else 0

    def median(self) -> int:
        return self.quantile(0.5)

    def share_above(self, level: float) -> float:
        return (self.total - float(self._cumulated[int(level)])) / max(1.0, self.total)

    def share_near(self, middle: int, distance: float) -> float:
        """Of the levels that lie at most so far from `middle`."""
        first, last = max(0, middle - int(distance)), min(255, middle + int(distance))
        below = float(self._cumulated[first - 1]) if first else 0.0
        return (float(self._cumulated[last]) - below) / max(1.0, self.total)

    def parting(self) -> int:
        """The level that parts the dark from the light best, itself dark: the one between whose sides the variance is
        largest (Otsu 1979, 10.1109/TSMC.1979.4310076)."""
        below, total = self._cumulated, self.total
        sums = (self.counts * LEVELS).cumsum()
        between, sides = sums[-1] / max(1.0, total) * below - sums, below * (total - below)
        between *= between
        return int(np.divide(between, sides, out=np.zeros(256), where=sides > 0).argmax())
