"""mu-fidelity: whether the score falls as much as the map says when random sets of cells are removed."""

import math

import numpy as np

from server.explainers.perturbation import packed_masks
from server.quality.cells import SEED, Cells
from server.quality.controls import measured
from server.types import Array, Measure

SUBSETS = 100
SHARE = 0.3  # of the cells that a set removes
FEWEST = 3  # cells


def mu_fidelity(cells: Cells) -> Measure:
    """corr over random sets S of a fixed size of sum_{i in S} a_i and f(x) - f(x without S); in [-1, 1], higher is
    better, 0 for a map that knows nothing. Random controls are the map's own values given to the wrong cells.

    Bhatt et al., Evaluating and Aggregating Feature-based Model Explanations (2020), arXiv:2005.00631, definition 3:
    Pearson's correlation and sets of one size. Quantus does so too; xplique ranks (Spearman) and lets the size vary.
    """
    n = len(cells.values)
    if n < FEWEST:
        return Measure("mu_fidelity", None, None, None, "higher", None)
    sets = _sets(n, np.random.default_rng(SEED))
    drops = cells.scores(np.ones((1, n), bool)) - cells.scores(~sets)
    maps = np.stack([cells.values, cells.ink, *cells.values[cells.controls()]])
    found, ink, *random = _correlations(maps, sets, drops)
    return measured("mu_fidelity", float(found), float(ink), np.array(random), "higher")


def _sets(n: int, rng: np.random.Generator) -> Array:
    """Distinct sets (m, n) of SHARE of n cells: SUBSETS of them, or as many as there are."""
    size = max(1, round(SHARE * n))
    wanted = min(SUBSETS, math.comb(n, size))
    sets = np.empty((0, n), bool)
    while len(sets) < wanted:
        drawn = rng.random((4 * SUBSETS, n)).argsort(axis=1) < size
        _, first = np.unique(packed_masks(np.concatenate([sets, drawn])), return_index=True)
        sets = np.concatenate([sets, drawn])[np.sort(first)][:wanted]
    return sets


def _correlations(values: Array, sets: Array, drops: Array) -> Array:
    """Pearson's correlation (r,) of the maps (r, n) with the drops (m,) over the sets (m, n); 0 where either does not
    vary."""
    expected = values @ sets.T
    expected = expected - expected.mean(axis=1, keepdims=True)
    actual = drops - drops.mean()
    scale = np.sqrt((expected**2).sum(axis=1) * (actual**2).sum())
    found: Array = (expected @ actual) / np.where(scale > 1e-12, scale, np.inf)
    return found
