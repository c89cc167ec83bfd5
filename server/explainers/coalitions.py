"""Which coalitions of n players are asked, and the linear maps from their worths to Shapley values. Knows no images."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from server.explainers.perturbation import Masks, all_masks
from server.types import Array

ENUMERABLE = 5000  # coalitions of one size; up to here they are listed and shuffled, beyond drawn until distinct


@lru_cache(maxsize=8)
def shapley_matrix(n: int) -> Array:
    """P (n, 2^n) float64 with phi = P v: the Shapley values of n players from the worths v of all coalitions, in the
    order of `all_masks`. A coalition of k weighs 1 / (n C(n-1, k-1)) for its members, -1 / (n C(n-1, k)) for the rest.
    """
    masks = all_masks(n)
    sizes = masks.sum(axis=1)
    member = np.array([0.0] + [1 / (n * comb(n - 1, k - 1)) for k in range(1, n + 1)])[sizes]
    other = np.array([1 / (n * comb(n - 1, k)) for k in range(n)] + [0.0])[sizes]
    matrix: Array = np.where(masks.T, member, -other)
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True)
class Sample:
    """Coalitions in pairs: rows 2i and 2i + 1 of `masks` (2p, n) are complements; neither empty nor full."""

    masks: Masks
    matrix: Array  # (n, 2p): phi - (v(all) - v(none)) / n = matrix @ excess
    surprise: Array  # (p,) 1 - share of the pairs of that size that were drawn: 0 where all were

    def values(self, worths: Array, none: float, full: float) -> tuple[Array, Array]:
        """Shapley values (n,), which sum to full - none exactly, and their standard errors (n,), from the worths (2p,)
        of `masks` and those of the empty and the full coalition."""
        n = self.masks.shape[1]
        share = (full - none) / n
        excess = worths - none - self.masks.sum(axis=1) * share
        deviation = self.matrix @ excess
        deviation -= deviation.mean()  # is 0 but for rounding
        residuals = excess - self.masks @ deviation
        each = (self.matrix * residuals).reshape(n, -1, 2).sum(axis=2)  # (n, p): what each pair pulls
        degrees = max(1, len(self.surprise) - n + 1)
        variance = (each**2 * self.surprise).sum(axis=1) * len(self.surprise) / degrees
        return share + deviation, np.sqrt(variance)


@lru_cache(maxsize=16)
def leverage_sample(n: int, pairs: int, seed: int) -> Sample:
    """`pairs` pairs of coalitions of n players, drawn by leverage scores without replacement: as many of every size as
    of every other, until a size is used up. A larger sample of the same seed begins, size by size, with the smaller.

    Musco & Witter, Provably Accurate Shapley Value Estimation via Leverage Score Sampling (2024), arXiv:2410.01917;
    pairs: Covert & Lee (2020), arXiv:2012.01536. Differs: the number drawn of each size is fixed instead of random.
    """
    sizes = range(1, n // 2 + 1)
    there = np.array([comb(n, k) // (2 if 2 * k == n else 1) for k in sizes], float)  # pairs of each size
    counts = _shared_out(pairs, there, np.array([1.0 if 2 * k == n else 2.0 for k in sizes]))
    drawn = [_draw(n, k, int(count), seed) for k, count in zip(sizes, counts, strict=True)]
    smaller = np.concatenate(drawn)  # (p, n)
    masks = np.stack([smaller, ~smaller], axis=1).reshape(-1, n)
    size = np.repeat(list(sizes), counts)
    kernel = np.array([1 / (comb(n, k) * k * (n - k)) for k in sizes])
    weights = np.repeat(np.repeat(kernel * there / np.maximum(counts, 1), counts), 2)
    centred = masks - masks.sum(axis=1, keepdims=True) / n  # rows sum to 0, and so do the values that they can give
    root = np.sqrt(weights / weights.max())[:, None]
    matrix = np.linalg.pinv(root * centred, rcond=1e-9) * root.T  # rank n - 1: the constant is no direction of theirs
    return Sample(masks, matrix, 1 - (counts / there)[size - 1])


def all_pairs(n: int) -> int:
    """How many pairs of coalitions there are that are neither empty nor full."""
    return int(2 ** (n - 1)) - 1


def _shared_out(pairs: int, there: Array, shares: Array) -> Array:
    """Whole numbers of pairs for each size: in proportion to `shares`, but no more than there are."""
    counts = np.zeros(len(there))
    left = float(min(pairs, there.sum()))
    while left >= 1 and (open_ := counts < there).any():
        more = np.minimum(left * shares * open_ / (shares * open_).sum(), there - counts)
        counts, left = counts + more, left - more.sum()
    whole = np.floor(counts + 1e-9)
    order = np.argsort(whole - counts, kind="stable")
    whole[order[: round(min(pairs, there.sum()) - whole.sum())]] += 1
    return np.minimum(whole, there).astype(int)


def _draw(n: int, k: int, count: int, seed: int) -> Masks:
    """The first `count` of the coalitions of size k in the random order that `seed` gives, no two complements."""
    rng = np.random.default_rng((seed, n, k))
    half = 2 * k == n  # each coalition's complement is of the same size: keep those with player 0
    if comb(n, k) <= ENUMERABLE:
        chosen = [c for c in combinations(range(n), k) if not half or c[0] == 0]
        chosen = [chosen[i] for i in rng.permutation(len(chosen))[:count]]
    else:
        distinct: dict[tuple[int, ...], None] = {}
        while len(distinct) < count:
            c = tuple(sorted(rng.choice(n, k, replace=False).tolist()))
            if half and c[0] != 0:
                c = tuple(sorted(set(range(n)) - set(c)))
            distinct[c] = None
        chosen = list(distinct)
    masks = np.zeros((len(chosen), n), bool)
    for row, members in enumerate(chosen):
        masks[row, list(members)] = True
    return masks
