"""Samples coalitions of n players, and maps their values v(S) linearly to Shapley values. Knows no images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from server.explainers.perturbation import Masks, all_masks, packed_masks
from server.explainers.sampling_error import widened
from server.types import Array

ENUMERABLE = 5000  # coalitions of one size; up to here they are listed and shuffled, beyond drawn until distinct
BATCH = 4096  # coalitions drawn at once, at most
CHUNK = 8192  # coalitions whose numbers are in memory at once
CACHED_BITS = 1 << 18  # bits of a sample that is cached for the next picture


def shapley_values(coalition_values: Array) -> Array:
    """Shapley values (n,) from the values v(S) (2^n,) of all coalitions in the order of `all_masks`: what player i adds
    to the coalitions of k others, weighed with 1 / (n C(n-1, k)).

    Coalitions without and with player i stand 2^i apart, so that no matrix (n, 2^n) is needed.
    """
    n = len(coalition_values).bit_length() - 1
    weights = np.array([1 / (n * comb(n - 1, k)) for k in range(n)])
    sizes = _sizes(n)
    values = np.empty(n)
    for player in range(n):
        without, joined = coalition_values.reshape(-1, 2, 1 << player).swapaxes(0, 1)
        values[player] = (weights[sizes.reshape(-1, 2, 1 << player)[:, 0]] * (joined - without)).sum()
    return values


@lru_cache(maxsize=8)
def _sizes(n: int) -> Array:
    """How many players each coalition of `all_masks` has, (2^n,)."""
    sizes: Array = all_masks(n).sum(axis=1, dtype=np.uint8)
    return sizes


@dataclass(frozen=True)
class Sample:
    """Coalitions in pairs: rows 2i and 2i + 1 of `masks` (2p, n) are complements; neither empty nor full."""

    masks: Masks
    weights: Array  # (2p,) of the regression
    inverse: Array  # (n, n), of its normal matrix: rank n - 1, the constant is no direction of its masks
    surprise: Array  # (p,) 1 - share of all pairs of that size that were drawn

    def values(self, coalition_values: Array, none: float, full: float) -> tuple[Array, Array]:
        """Shapley values (n,), which sum to full - none exactly, and the covariance (n, n) of their errors, from the
        values v(S) (2p,) of `masks` and those of the empty and the full coalition."""
        n = self.masks.shape[1]
        share = (full - none) / n
        excess = coalition_values - none - self.masks.sum(axis=1) * share
        sums = sum(centred.T @ (self.weights[part] * excess[part]) for part, centred in _chunks(self.masks))
        deviation = self.inverse @ sums
        deviation -= deviation.mean()  # is 0 but for rounding
        covariance = np.zeros((n, n))
        for part, centred in _chunks(self.masks):
            residuals = self.weights[part] * (excess[part] - centred @ deviation)
            pulls = (centred * residuals[:, None]).reshape(-1, 2, n).sum(axis=1) @ self.inverse  # (pairs, n)
            covariance += (pulls.T * self.surprise[part.start // 2 : part.stop // 2]) @ pulls
        degrees = max(1, len(self.surprise) - n + 1)
        return share + deviation, covariance * (len(self.surprise) / degrees * widened(degrees) ** 2)


def leverage_sample(n: int, pairs: int, seed: int) -> Sample:
    """`pairs` pairs of coalitions of n players, drawn by leverage scores without replacement: as many of every size as
    of every other, until a size is used up. A larger sample of the same seed begins, size by size, with the smaller.

    Musco & Witter, Provably Accurate Shapley Value Estimation via Leverage Score Sampling (2024), arXiv:2410.01917;
    pairs: Covert & Lee (2020), arXiv:2012.01536. Differs: the number drawn of each size is fixed instead of random.
    """
    return _cached_sample(n, pairs, seed) if 2 * pairs * n <= CACHED_BITS else _draw_sample(n, pairs, seed)


def _draw_sample(n: int, pairs: int, seed: int) -> Sample:
    sizes = range(1, n // 2 + 1)
    available = np.array([comb(n, k) // (2 if 2 * k == n else 1) for k in sizes], float)  # pairs of each size
    counts = _allocate(pairs, available, np.array([1.0 if 2 * k == n else 2.0 for k in sizes]))
    drawn = [_draw_of_size(n, k, int(count), seed) for k, count in zip(sizes, counts, strict=True)]
    smaller = np.concatenate(drawn)  # (p, n)
    masks = np.stack([smaller, ~smaller], axis=1).reshape(-1, n)
    size = np.repeat(list(sizes), counts)
    kernel = np.array([1 / (comb(n, k) * k * (n - k)) for k in sizes])
    weights = np.repeat(np.repeat(kernel * available / np.maximum(counts, 1), counts), 2)
    weights /= weights.max()
    normal = sum(centred.T @ (weights[part, None] * centred) for part, centred in _chunks(masks))
    inverse = np.linalg.pinv(normal, rcond=1e-12, hermitian=True)
    return Sample(masks, weights, inverse, 1 - (counts / available)[size - 1])


_cached_sample = lru_cache(maxsize=16)(_draw_sample)


def _chunks(masks: Masks) -> Iterator[tuple[slice, Array]]:
    """CHUNK rows at a time: their place, and the rows (.., n) less their means, so that each sums to 0."""
    for start in range(0, len(masks), CHUNK):
        part = slice(start, min(start + CHUNK, len(masks)))
        yield part, masks[part] - masks[part].mean(axis=1, keepdims=True)


def all_pairs(n: int) -> int:
    """How many pairs of coalitions there are that are neither empty nor full."""
    return int(2 ** (n - 1)) - 1


def _allocate(pairs: int, available: Array, shares: Array) -> Array:
    """Whole numbers of pairs for each size: in proportion to `shares`, but no more than there are."""
    counts = np.zeros(len(available))
    left = float(min(pairs, available.sum()))
    while left >= 1 and (open_ := counts < available).any():
        more = np.minimum(left * shares * open_ / (shares * open_).sum(), available - counts)
        counts, left = counts + more, left - more.sum()
    whole = np.floor(counts + 1e-9)
    order = np.argsort(whole - counts, kind="stable")
    whole[order[: round(min(pairs, available.sum()) - whole.sum())]] += 1
    return np.minimum(whole, available).astype(int)


def _draw_of_size(n: int, k: int, count: int, seed: int) -> Masks:
    """The first `count` of the coalitions of size k in the random order that `seed` gives, no two complements."""
    rng = np.random.default_rng((seed, n, k))
    half = 2 * k == n  # each coalition's complement is of the same size: keep those with player 0
    if comb(n, k) > ENUMERABLE:
        return _draw_until_distinct(n, k, count, rng, half)
    chosen = [c for c in combinations(range(n), k) if not half or c[0] == 0]
    masks = np.zeros((count, n), bool)
    for row, place in enumerate(rng.permutation(len(chosen))[:count]):
        masks[row, list(chosen[place])] = True
    return masks


def _draw_until_distinct(n: int, k: int, count: int, rng: np.random.Generator, half: bool) -> Masks:
    """Row after row from one stream: how many are drawn at once changes nothing but the time."""
    found = np.zeros((0, n), bool)
    while len(found) < count:
        drawn = rng.random((min(BATCH, 2 * count), n)).argsort(axis=1) < k
        if half:
            drawn[~drawn[:, 0]] ^= True
        found = np.concatenate([found, drawn])
        first = np.unique(packed_masks(found), return_index=True)[1]
        found = found[np.sort(first)]
    return found[:count]
