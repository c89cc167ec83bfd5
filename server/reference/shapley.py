"""Shapley values by the shap package: KernelExplainer and ExactExplainer over cells, PartitionExplainer over pixels."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from server.errors import MethodNotPossible
from server.explainers.perturbation import CHUNK, baselines_of, spread
from server.explainers.segmentation import grid, segment
from server.options import option
from server.reference.exclusive import seeded_global_rng
from server.reference.score import ScoreFunction
from server.types import Array, Attribution, Model, State, Target, Verb

logging.getLogger("shap").setLevel(logging.WARNING)  # KernelExplainer tells its intermediate results

PackageResult = tuple[Array, float, State]  # values, base value, and whether anything was left out or sampled

MOST_EXACT = 16  # players: the package's own limit is 100,000 evaluations


@dataclass(frozen=True)
class ShapleyPackage:
    """KernelExplainer (without its selection of ten features: l1_reg=False) or ExactExplainer, whose features are
    cells: 1 shows the image, 0 the baseline, and the zero vector is the background. Or PartitionExplainer over
    maskers.Image, whose features are pixels, halved again and again until `max_evals` are spent: Owen values.

    The values always sum to score - base_value. Cost in forwards, beside three or four: `kernel` at most n_samples and
    two a cell, which is all coalitions for up to 11 cells that differ from the baseline, and no sampling error;
    `exact` 2^n; `partition` max_evals. Compiling the package's loops costs seconds at a process's first `partition` or
    `exact`.
    """

    name: ClassVar[str] = "shapley"
    revision: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("shap",)
    summary: ClassVar[str] = (
        "KernelExplainer, ExactExplainer (over the same cells) or PartitionExplainer (over pixels) of the shap package."
    )
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = (
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions (2017), arXiv:1705.07874; "
        "package shap, github.com/shap/shap"
    )

    explainer: Literal["kernel", "partition", "exact"] = option("kernel", "which of the package's explainers")
    segmentation: Literal["grid", "quickshift", "slic"] = option(
        "grid", "of kernel and exact: what the players are, cells or superpixels"
    )
    grid: int = option(4, "of kernel and exact: cells a side of the grid", 2, 7)
    baseline: Literal["black", "mean", "blur"] = option(
        "black",
        "what a missing cell or pixel shows: empty paper, the mean of the background images, or the image blurred",
    )
    n_samples: int = option(2048, "of kernel: coalitions at most, beside two for each cell", 128, 8192)
    max_evals: int = option(500, "of partition: masks at most", 16, 20000)

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        baseline = baselines_of(self.baseline, model.card, image)[0]
        score = ScoreFunction(model, target)
        segments = segment_values = None
        with seeded_global_rng(seed):
            full = float(score(image[None])[0])
            if self.explainer == "partition":
                values, base, state = _partition(score, image, baseline, self.max_evals)
            else:
                segments = self._cells(image)
                game = _CellFeatures(score, image, baseline, segments)
                segment_values, base, state = game.exact() if self.explainer == "exact" else game.kernel(self.n_samples)
                values = spread(segment_values, segments)
        yield Attribution(
            values, "logit", state, score.rows, segments=segments, segment_values=segment_values,
            score=full, base_value=base, convergence_delta=float(values.sum()) - (full - base),
        )  # fmt: skip

    def _cells(self, image: Array) -> Array:
        if self.segmentation == "grid":
            return grid(image.shape, (self.grid, self.grid))
        return segment(image, self.segmentation, 1.0, 16)


@dataclass(frozen=True)
class _CellFeatures:
    """The n cells of an image as the package's features."""

    score: ScoreFunction
    image: Array
    baseline: Array
    segments: Array

    @property
    def players(self) -> Array:
        """(n,) 1 for cells that differ from the baseline. The package itself leaves out the others: they equal its
        background."""
        players = np.zeros(int(self.segments.max()) + 1)
        players[np.unique(self.segments[self.image != self.baseline])] = 1
        return players

    def coalition_values(self, kept: Array) -> Array:
        """The score (m,) of the pictures that show the cells where a row of `kept` (m, n) is 1."""
        return self.score(np.where((kept > 0)[:, self.segments], self.image, self.baseline))

    def kernel(self, n_samples: int) -> PackageResult:
        import shap

        players = self.players
        count = int(players.sum())
        limit = n_samples + 2 * count  # with 2048, the package's own choice
        explainer = shap.KernelExplainer(self.coalition_values, np.zeros((1, len(players))))
        values = explainer.shap_values(players, nsamples=limit, l1_reg=False)
        return values, float(explainer.expected_value), "exact" if 2**count - 2 <= limit else "converged"

    def exact(self) -> PackageResult:
        players = self.players
        if (count := int(players.sum())) > MOST_EXACT:
            raise MethodNotPossible(
                f"explainer=exact takes at most {MOST_EXACT} cells that differ from the baseline and this picture has "
                f"{count}; use a smaller grid, or explainer=kernel"
            )
        import shap

        explainer = shap.explainers.Exact(self.coalition_values, np.zeros((1, len(players))))
        found = explainer(players[None], batch_size=CHUNK, silent=True)  # more than its 10 at once, to the same end
        return found.values[0], float(found.base_values[0]), "exact"


def _partition(score: ScoreFunction, image: Array, baseline: Array, max_evals: int) -> PackageResult:
    """The values are those of pixels, (H, W)."""
    import shap

    masker = shap.maskers.Image(baseline[..., None])  # without a third axis it fails
    explainer = shap.explainers.Partition(lambda pictures: score(pictures[..., 0]), masker)
    found = explainer(image[None, ..., None], max_evals=max_evals, silent=True)
    return found.values[0, ..., 0], float(found.base_values[0]), "converged"
