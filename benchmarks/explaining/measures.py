"""What is told of an explanation beside its time: how far its values miss the score, and how much they change with the
seed. And the row of the table that follows from all bursts of one method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.case import Array
from benchmarks.peers.protocol import Burst


@dataclass(frozen=True)
class Row:
    """One method of one library, over all images and seeds; None where a figure is not defined."""

    method: str  # ours, to which it is compared
    library: str
    name: str
    ms: float  # median
    low: float  # quartiles
    high: float
    cpu_ms: float  # median, of all cores together
    rows: float  # median
    gap: float | None = None  # median, a share of score - base
    noise: float | None = None  # median over images
    times: float | None = None  # its ms / ours
    cpu_times: float | None = None  # its cpu_ms / ours
    difference: float | None = None  # largest, from our values for the same image and seed
    error: str | None = None  # why it could not be asked

    @staticmethod
    def failed(method: str, library: str, name: str, error: str) -> "Row":
        nan = float("nan")
        return Row(method, library, name, nan, nan, nan, nan, nan, error=error)


def gap(values: Array, score: float, base: float) -> float:
    """|sum of values - (score - base)| / |score - base|."""
    return float(abs(values.sum() - (score - base)) / abs(score - base))


def seed_noise(values: Array) -> float:
    """Of values (s, n) for s seeds: the root mean square over n of their standard deviation over seeds, as a share of
    the mean |value|; 0 where all values are 0."""
    size = np.abs(values).mean()
    return float(np.sqrt(values.var(axis=0, ddof=1).mean()) / size) if size else 0.0


def values_of(bursts: Sequence[Burst], image: int) -> Array:
    """(s, n) of one image, a row for each burst."""
    return np.array([one.values[image] for one in bursts])


def _around(values: Array, centred: bool) -> Array:
    return values - values.mean(axis=1, keepdims=True) if centred else values


def largest_difference(ours: Sequence[Burst], theirs: Sequence[Burst]) -> float:
    """Over all images, seeds and values."""
    images = range(len(ours[0].values))
    return max(float(np.abs(values_of(ours, one) - values_of(theirs, one)).max()) for one in images)


def summary(
    method: str,
    library: str,
    name: str,
    bursts: Sequence[Burst],
    expected: tuple[Array, Array] | None,
    centred: bool = False,
) -> Row:
    """The row of one method from its bursts, one for each seed. `expected`: score and base (n,) of each image, where
    values should sum to their difference. `centred`: seed noise is that of values less their mean."""
    images = range(len(bursts[0].values))
    low, middle, high = np.percentile([ms for one in bursts for ms in one.ms], [25, 50, 75])
    gaps = None
    if expected is not None:
        scores, bases = expected
        gaps = [gap(row, scores[i], bases[i]) for i in images for row in values_of(bursts, i)]
    return Row(
        method, library, name, float(middle), float(low), float(high),
        cpu_ms=float(np.median([ms for one in bursts for ms in one.cpu_ms])),
        rows=float(np.median([rows for one in bursts for rows in one.rows])),
        gap=None if gaps is None else float(np.median(gaps)),
        noise=float(np.median([seed_noise(_around(values_of(bursts, i), centred)) for i in images]))
        if len(bursts) > 1
        else None,
    )  # fmt: skip
