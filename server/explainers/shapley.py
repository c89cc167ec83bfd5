"""Shapley values of the cells of an image: exact by enumeration, or by weighted sampling where that is too dear."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from server.explainers.coalitions import all_pairs, leverage_sample, shapley_values
from server.explainers.perturbation import MaskedScores, Masks, all_masks, baselines_of, spread
from server.explainers.segmentation import grid, segment
from server.explainers.within_cells import shared, slopes_by_rank
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

FIRST = 128  # rows before the first answer; before the next, four times as many
GROWTH = 4
PATHS = 4  # baselines at most whose slopes share a cell's value among its pixels
PAIRS = 2  # of coalitions for each cell, at least: fitted to fewer, values say nothing, and nor do their errors


@dataclass(frozen=True)
class Shapley:
    """phi_i = mean over all orders of the cells of what cell i adds to those before it; a missing cell shows the
    baseline.

    Cells that equal the baseline add nothing in any order and are left out. With n others, all 2^n coalitions are
    evaluated when `max_rows` allows: no sampling error. Else KernelSHAP on pairs of coalitions drawn by leverage
    scores, two pairs a cell at least, with standard errors; where `max_rows` does not allow that for all background
    images, fewer of them are taken, and a warning says so. The values sum to score - base_value either way. With empty
    paper as the baseline, ink that is missing cannot be evidence: what is missing shows typical digits, faint and
    strong by turns, for which all 9 cells of a 3 x 3 grid are players, 1,024 rows. Covering cells makes pictures that
    no pen drew: the values say what the net does with them, and depend on the baseline. Within a cell, what single
    pixels get are shares by slope and no Shapley values of their own.
    """

    name: ClassVar[str] = "shapley"
    revision: ClassVar[int] = 3
    summary: ClassVar[str] = (
        "The fair share of each cell in the score, shared among its pixels by slopes; by default exact, and always "
        "sums to it."
    )
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = (
        "Shapley, A Value for n-Person Games (1953), doi:10.1515/9781400881970-018; "
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions (2017), arXiv:1705.07874"
    )

    segmentation: Literal["grid", "quickshift", "slic"] = option("grid", "what the players are: cells or superpixels")
    grid: int = option(3, "cells a side of the grid", 2, 7)
    baseline: Literal["typical", "black", "mean", "blur", "background"] = option(
        "typical",
        "what a missing cell shows: typical digits, faint and strong by turns (a quarter and five quarters of the mean "
        "of the background images); empty paper (black); that mean; the image blurred; or the background images by "
        "turns",
    )
    within: Literal["slopes", "even"] = option(
        "slopes", "how a cell's value is shared among its pixels: by the slopes there, or evenly; sums are the same"
    )
    max_rows: int = option(
        8192,
        "pictures of coalitions at most; beyond, they are sampled. Slopes within cells take 56 more for each baseline, "
        "of 4 at most",
        256,
        65536,
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        if self.segmentation == "grid":
            segments = grid(image.shape, (self.grid, self.grid))
        else:
            segments = segment(image, self.segmentation, 1.0, 16)
        candidates = baselines_of(self.baseline, model.card, image)
        least = 2 * PAIRS * (int(segments.max()) + 1) + 2
        limit = max(1, self.max_rows // least)
        baselines = candidates[np.linspace(0, len(candidates), min(limit, len(candidates)), endpoint=False).astype(int)]
        game = _CellGame(model, image, target, segments, baselines)
        n = len(game.players)
        limited = f"max_rows allows {len(baselines)} of {len(candidates)} baselines"
        warnings = (limited,) * (len(baselines) < len(candidates))
        ends = np.array([[False] * n, [True] * n])
        stages = _stages(n, self.max_rows // len(baselines), FIRST // len(baselines))
        for pairs in stages:
            covariance = None
            if pairs == all_pairs(n):
                coalition_values = game.coalition_values(all_masks(n))
                empty, full = coalition_values[0], coalition_values[-1]
                phi = shapley_values(coalition_values)
            else:
                sample = leverage_sample(n, pairs, seed)
                coalition_values = game.coalition_values(np.concatenate([ends, sample.masks]))
                empty, full = coalition_values[0], coalition_values[1]
                phi, covariance = sample.values(coalition_values[2:], empty, full)
            state: State = "exact" if covariance is None else "converged" if pairs == stages[-1] else "partial"
            found = replace(game.attribution(phi, covariance, empty, full, state), warnings=warnings)
            if pairs == stages[-1] and self.within == "slopes":
                found = _fine(found, model, image, target, baselines)
            yield found


def _fine(found: Attribution, model: Model, image: Array, target: Target, baselines: Array) -> Attribution:
    """The attribution with each cell's value shared among its pixels by slopes."""
    if "gradient" not in model.verbs:
        why = "this model gives no slopes, so that each cell's value is shared evenly among its pixels"
        return replace(found, warnings=(*found.warnings, why))
    some = baselines[np.linspace(0, len(baselines), min(len(baselines), PATHS), endpoint=False).astype(int)]
    pixels, rows = slopes_by_rank(model, image, target, some)
    assert found.segments is not None and found.segment_values is not None
    values = shared(found.segment_values, found.segments, pixels)
    return replace(found, values=values, rows=found.rows + rows, fine=True)


def _stages(n: int, limit: int, first: int) -> list[int]:
    """How many pairs of coalitions are evaluated before each attribution; `limit` and `first` count coalitions."""
    last = min(all_pairs(n), limit // 2 - 1)
    stages, pairs = [], max(first // 2, PAIRS * n)
    while GROWTH * pairs <= last * 2:
        stages.append(pairs)
        pairs *= GROWTH
    return [*stages, last]


class _CellGame:
    """The cells of one image as players."""

    def __init__(self, model: Model, image: Array, target: Target, segments: Array, baselines: Array) -> None:
        self.segments = segments
        self.masked = MaskedScores(model, image, target, segments, baselines)
        self.players = self.masked.seen

    def coalition_values(self, coalitions: Masks) -> Array:
        """The target's score (m,) with the cells of each coalition (m, n) as they are and the others as the baseline;
        the mean over baselines."""
        masks = np.zeros((len(coalitions), self.masked.cells), bool)
        masks[:, self.players] = coalitions
        return self.masked.scores(masks)

    def attribution(self, phi: Array, covariance: Array | None, empty: float, full: float, state: State) -> Attribution:
        """The values (n,) of the players, with the covariance (n, n) of their errors, as an attribution of the image;
        cells that are no players get 0."""
        values = np.zeros(self.masked.cells)
        values[self.players] = phi
        stderr = parts = None
        if covariance is not None:
            errors, parts = np.zeros_like(values), np.zeros((len(phi), len(values)))
            errors[self.players] = np.sqrt(covariance.diagonal())
            sizes, directions = np.linalg.eigh(covariance)
            parts[:, self.players] = (directions * np.sqrt(sizes.clip(min=0))).T
            stderr = spread(errors, self.segments)
        return Attribution(
            spread(values, self.segments), "logit", state, self.masked.rows,
            segments=self.segments, segment_values=values, score=float(full), base_value=float(empty),
            convergence_delta=float(values.sum() - (full - empty)),
            stderr=stderr, error_parts=parts,
        )  # fmt: skip
