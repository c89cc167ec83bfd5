"""Shapley values of a grid of cells, exact by enumeration."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import ClassVar, Literal

import numpy as np

from server.explainers.options import option
from server.explainers.perturbation import all_masks, baseline_of, masked_scores, spread
from server.explainers.segmentation import grid
from server.types import Array, Attribution, Model, Target, Verb

CELLS = 4  # a side: 16 cells, at worst 65,536 rows


@lru_cache(maxsize=4)
def shapley_matrix(n: int) -> Array:
    """P (n, 2^n) float64 with phi = P v: the Shapley values of n players from the values v of all coalitions, in
    the order of `all_masks`. A coalition of k weighs 1 / (n C(n-1, k-1)) for its members and -1 / (n C(n-1, k)) for the
    others.
    """
    masks = all_masks(n)
    sizes = masks.sum(axis=1)
    member = np.array([0.0] + [1 / (n * comb(n - 1, k - 1)) for k in range(1, n + 1)])[sizes]
    other = np.array([1 / (n * comb(n - 1, k)) for k in range(n)] + [0.0])[sizes]
    matrix: Array = np.where(masks.T, member, -other)
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True)
class Shapley:
    """phi_i = mean over all orders of the cells of what cell i adds when its turn comes; a cell that is not in shows
    the baseline.

    Nothing is sampled: all 2^n coalitions of the n cells that differ from the baseline are evaluated (a cell that
    equals it adds nothing in any order, so its value is exactly 0). The values sum to score - base_value. Cost: 2^n
    forwards; on black paper n is 9 for the median digit and at most 16. Covering cells makes pictures that no pen drew:
    the values say what the net does with them.
    """

    name: ClassVar[str] = "shapley"
    summary: ClassVar[str] = "The fair share of each cell of a 4 x 4 grid in the score, exact; the values sum to it."
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = (
        "Shapley, A Value for n-Person Games (1953), doi:10.1515/9781400881970-018; "
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions (2017), arXiv:1705.07874"
    )

    baseline: Literal["black", "mean"] = option("black", "what a missing cell shows: empty paper, or a mean digit")

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        baseline = baseline_of(self.baseline, model.card)
        segments = grid(image.shape, (CELLS, CELLS))
        players = np.unique(segments[image != baseline])
        coalitions = np.zeros((1 << len(players), CELLS * CELLS), bool)
        coalitions[:, players] = all_masks(len(players))
        outputs, rows = masked_scores(model, image, segments, coalitions, baseline)
        worth = target.score(outputs)
        phi = np.zeros(CELLS * CELLS)
        if len(players):
            phi[players] = shapley_matrix(len(players)) @ worth
        gap = float(phi.sum() - (worth[-1] - worth[0]))
        yield Attribution(
            spread(phi, segments), "logit", "exact", rows,
            segments=segments, segment_values=phi,
            score=float(worth[-1]), base_value=float(worth[0]), convergence_delta=gap,
        )  # fmt: skip
