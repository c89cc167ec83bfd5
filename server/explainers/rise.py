"""RISE: how much higher the target's output is when a pixel is visible, over random soft masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from server.explainers.perturbation import baselines_of, blended_scores, score_of
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

CHUNK = 256  # masks between two attributions
GROUPS = 32  # of masks, by which it is seen how errors of pixels go together
BALANCED = 0.5  # share of the cells kept where masks are the rows of an orthogonal array
BITS = 7  # of the order of the smallest array: with its opposites it has CHUNK rows


@dataclass(frozen=True)
class Rise:
    """a_j = sum_i m_ij (f_i - mean f) / sum_i m_ij, for random masks m_i and the outputs f_i of the masked images.

    Masks are coarse random grids, enlarged linearly, each shifted by its own fraction of a cell, as in the paper.
    Differs from it: the mean output is subtracted, so that 0 means "makes no difference" and the sign says which way.
    And with keep=0.5 the grids of a round are the rows of an orthogonal array and their opposites, in random order and
    with random signs: each by itself is as in the paper, but any two cells are kept together in a quarter of them
    (exactly, in a full round with grid <= 10), so that cells disturb each other less and the noise falls by a quarter
    (Plackett & Burman 1946, doi:10.1093/biomet/33.4.305). How much, for this image, is seen from the second full round
    on in how far rounds differ; before, `stderr` takes masks for independent and errs on the careful side, by a third.
    Cost: n_samples forwards for each baseline. Neighbouring pixels share their masks: do not read single pixels out.
    """

    name: ClassVar[str] = "rise"
    revision: ClassVar[int] = 5
    summary: ClassVar[str] = "How much higher the output is when a pixel is visible, over random soft masks."
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Petsiuk et al., RISE: Randomized Input Sampling for Explanation (2018), arXiv:1806.07421"

    n_samples: int = option(1000, "random masks", 50, 8000)
    grid: int = option(7, "cells a side of the coarse masks", 2, 14)
    keep: float = option(0.5, "share of the cells that a mask keeps", 0.05, 0.95)
    baseline: Literal["typical", "black", "mean"] = option(
        "typical",
        "what shows where a mask hides: typical digits, faint and strong by turns; empty paper (black); or the mean of "
        "the background images",
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        baselines = baselines_of(self.baseline, model.card, image)
        score = float(score_of(model, image[None], target)[0])
        outputs = np.empty(0)
        sums = np.zeros((6, *image.shape))
        groups = np.zeros((2, GROUPS, image.size + 1))
        rounds: list[tuple[Array, Array]] = []  # the map of each full round by itself, and its standard error
        while len(outputs) < self.n_samples:
            count = min(CHUNK, self.n_samples - len(outputs))
            masks = random_masks(image.shape, self.grid, self.keep, seed, len(outputs), count)
            new = blended_scores(model, image, target, masks, baselines)
            outputs = np.concatenate([outputs, new])
            added = _sums(masks, new)
            sums += added
            groups += _by_group(masks, new)
            if count == CHUNK:
                rounds.append(_map(added, new))
            values, stderr = _map(sums, outputs)
            if self.keep == BALANCED and len(rounds) > 1:
                stderr *= _evenness(*np.array(rounds).swapaxes(0, 1))
            state: State = "converged" if len(outputs) == self.n_samples else "partial"
            yield Attribution(
                values, "logit", state, rows=1 + len(baselines) * len(outputs), score=score, stderr=stderr,
                error_parts=_error_parts(groups),
            )  # fmt: skip


def _evenness(maps: Array, errors: Array) -> float:
    """By how much the maps (r, H, W) of rounds differ less than the standard errors (r, H, W) that each would have if
    its masks were independent: one factor for all pixels, of which few rounds say too little each."""
    allowed = float((errors**2).mean())
    return min(1.0, float((maps.var(axis=0, ddof=1).mean() / allowed) ** 0.5)) if allowed > 0 else 1.0


def _sums(masks: Array, outputs: Array) -> Array:
    """(6, H, W): the sums over masks m and outputs f of m, m f, m f^2, m^2, m^2 f and m^2 f^2."""
    powers = np.stack([np.ones_like(outputs), outputs, outputs**2])  # (3, m)
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    return np.concatenate([powers @ flat, powers @ flat**2]).reshape(-1, *masks.shape[1:])


def _by_group(masks: Array, outputs: Array) -> Array:
    """(2, g, H W + 1): the sums of m and of m f over the masks of each group, with a 1 after each mask's pixels."""
    flat = np.column_stack([masks.reshape(len(masks), -1), np.ones(len(masks), np.float32)])
    members = np.arange(len(masks)) // 2 % GROUPS == np.arange(GROUPS)[:, None]  # with opposites together
    sums: Array = np.concatenate([members, members * outputs]).astype(np.float32) @ flat
    return sums.reshape(2, GROUPS, -1)


def _error_parts(groups: Array) -> Array:
    """What each group adds to the error of each pixel's value, (g, H W); its sum is 0."""
    totals, sums = groups.sum(axis=1)
    off: Array = (groups[1] - groups[0] * (sums / totals)) / totals
    return off[:, :-1] - off[:, -1:]


def _map(sums: Array, outputs: Array) -> tuple[Array, Array]:
    """The weighted means of the outputs (m,) less their plain mean, and the standard error of that difference; both
    (H, W): the root of the sum over masks of (m (f - level) / sum m - (f - mean) / count)^2, multiplied out."""
    total, first, second, square0, square1, square2 = sums
    count, mean = len(outputs), float(outputs.mean())
    level = first / total
    squared = (square2 - 2 * level * square1 + level**2 * square0) / total**2
    both = (second - (level + mean) * first + level * mean * total) / (total * count)
    return level - mean, np.sqrt(np.maximum(squared - 2 * both + outputs.var() / count, 0))


@lru_cache(maxsize=8)
def random_masks(shape: tuple[int, ...], cells: int, keep: float, seed: int, start: int, count: int) -> Array:
    """Masks start .. start + count of the stream that `seed` begins, (count, H, W) float32 in [0, 1]."""
    rng = np.random.default_rng((seed, start))
    coarse = _coarse(rng, count, (cells + 1) ** 2, keep).reshape(count, cells + 1, cells + 1).astype(np.float32)
    weights = [_enlarging(side, cells, rng.random(count)) for side in shape]  # (count, side, cells + 1) each
    masks: Array = np.einsum("mhi,mij,mwj->mhw", weights[0], coarse, weights[1], optimize=True).astype(np.float32)
    masks.flags.writeable = False
    return masks


def _coarse(rng: np.random.Generator, count: int, places: int, keep: float) -> Array:
    """Which places of the coarse grid each mask keeps, (count, places) bool."""
    if keep != BALANCED:
        return rng.random((count, places)) < keep
    order = 1 << max(BITS, places.bit_length())  # rows and columns of the array, its first column being constant
    columns = 1 + rng.permutation(order - 1)[:places]
    rows = rng.permutation(order)[: (count + 1) // 2]
    half = (np.bitwise_count(rows[:, None] & columns) % 2 == 1) ^ (rng.random(places) < 0.5)
    both: Array = np.stack([half, ~half], axis=1).reshape(-1, places)[:count]
    return both


def _enlarging(side: int, cells: int, shifts: Array) -> Array:
    """What each coarse value gives to each pixel of a side, for each shift in cells: (m, side, cells + 1)."""
    places = (np.arange(side) + 0.5) * cells / side + shifts[:, None] * 0.999 - 0.5
    places = np.clip(places, 0, cells)
    weights: Array = np.maximum(1 - np.abs(places[:, :, None] - np.arange(cells + 1)), 0)
    return weights
