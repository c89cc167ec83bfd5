"""How a map is read: where it is strongest, and how much of it lies on a known cause."""

import numpy as np
from scipy import ndimage

from server.types import Array, Attribution

WINDOW = 3  # pixels a side: a place on a map of single pixels
MARGIN = np.ones((3, 3), bool)  # a cause reaches one pixel further: its edge is part of it


def reach(cause: Array) -> Array:
    """The pixels (H, W) bool that count as the cause, those next to it included."""
    found: Array = ndimage.binary_dilation(cause, MARGIN)
    return found


def names(attribution: Attribution, cause: Array, seed: int) -> bool:
    """Whether the strongest place touches the cause (H, W): of a map of segments its strongest segment, else the
    WINDOW x WINDOW pixels with the largest sum. Of equal places chance chooses."""
    places, strengths = _places(attribution, cause)
    strongest = np.flatnonzero(strengths >= strengths.max() - 1e-12)
    return bool(places[np.random.default_rng(seed).choice(strongest)])


def chance(attribution: Attribution, cause: Array) -> float:
    """The share of all places that touch the cause: how often a map that knows nothing would name it."""
    return float(_places(attribution, cause)[0].mean())


def _places(attribution: Attribution, cause: Array) -> tuple[Array, Array]:
    """Which places touch the cause, and their strengths, each (n,)."""
    wide = reach(cause)
    segments, values = attribution.segments, attribution.segment_values
    if segments is not None and values is not None:
        return np.bincount(segments.ravel(), wide.ravel(), minlength=len(values)) > 0, values.astype(np.float64)
    inside = (slice(1, -1),) * 2
    sums = ndimage.uniform_filter(attribution.values.astype(np.float64), WINDOW)[inside]
    return ndimage.binary_dilation(wide, np.ones((WINDOW, WINDOW)))[inside].ravel(), sums.ravel()


def auroc(attribution: Attribution, cause: Array) -> float:
    """The probability that a pixel of the cause is painted more strongly than another, ties counting half."""
    painted, inside = attribution.painted.ravel(), cause.ravel()
    _, group, counts = np.unique(painted, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts + 1) / 2)[group]  # from 0, equal ones at their mean
    hits = int(inside.sum())
    return float((rank[inside].mean() - (hits - 1) / 2) / (len(rank) - hits))


def share(attribution: Attribution, cause: Array) -> float:
    """The part of the map's positive sum that lies on the cause; 0 where nothing is positive."""
    positive = np.maximum(attribution.painted, 0)
    total = float(positive.sum())
    return float(positive[reach(cause)].sum()) / total if total > 0 else 0.0


def pixel_order(strengths: Array, seed: int) -> Array:
    """The pixels (H W,) by strength (H, W), largest first, equal ones in random order."""
    shuffled = np.random.default_rng(seed).permutation(strengths.size)
    order: Array = shuffled[np.argsort(-strengths.ravel()[shuffled], kind="stable")]
    return order
