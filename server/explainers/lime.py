"""LIME: a weighted linear model of what happens when superpixels are painted over."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from server.errors import TooManySegments
from server.explainers.perturbation import MaskedScores, Masks, all_masks, baselines_of, packed_masks, spread
from server.explainers.sampling_error import widened
from server.explainers.segmentation import Segmentation, segment, superpixels
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

KERNEL_WIDTH = 0.25
RIDGE = 1.0
MOST_EXACT = 12  # superpixels, 4,096 masks
FEW_SEGMENTS = 4
POOR_FIT = 0.5  # local R2
UNDETERMINED = "the sampled masks do not tell all superpixels apart, so the ridge penalty decides; raise n_samples"
GLANCE = (
    100  # samples before the first attribution, where all are more than eight times as many; then four times as many
)
CACHED_SIZE = 1 << 16  # masks x cells of a regression that is kept for the next picture


@dataclass(frozen=True)
class Lime:
    """coefficients b of the ridge regression of target(z) on which superpixels z keeps, weighted by closeness to the
    image.

    With `baseline=colours` it gives what lime 0.2.0.1 gives for the same segments and seed
    (`LimeImageExplainer(random_state=seed)`), to rounding, but evaluates each distinct mask once and solves in closed
    form. The package's own segmentation (`compat`) cuts most digits into one or two superpixels, and its mean colours
    leave a gap in the ink what it was. By default cells of a grid are dropped for a faint and for a strong typical
    digit, and the mean of both scores is fitted: missing ink can be evidence then. Sampled masks change with the seed,
    and `stderr` says how far; the fixed ridge penalty pulls coefficients to 0, the more the fewer the samples, and
    `bias_max` says how far. `exact` is the limit for ever more samples: all 2^n masks count alike and the penalty
    vanishes. Cost: at most n_samples forwards (2^n when exact) for each baseline. `local_r2` says how well a linear
    model fits at all.
    """

    name: ClassVar[str] = "lime"
    revision: ClassVar[int] = 4
    summary: ClassVar[str] = (
        "A linear model of what happens when superpixels are painted over, as the lime package fits it."
    )
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Ribeiro et al., Why Should I Trust You? (2016), doi:10.1145/2939672.2939778, arXiv:1602.04938"
    )

    n_samples: int = option(1000, "sampled masks, the unmasked image included", 10, 20000)
    segmentation: Segmentation = option("grid", "how the image is cut; always into at least 5 segments")
    kernel_size: float = option(1.0, "of quickshift: pixels; larger gives fewer superpixels", 1.0, 6.0)
    n_segments: int = option(16, "of slic and grid: about how many segments", 5, 49)
    baseline: Literal["typical", "black", "mean", "colours"] = option(
        "typical",
        "what a dropped segment shows: typical digits, faint and strong by turns; empty paper (black); the mean of the "
        "background images; or its mean colour, as in the lime package",
    )
    exact: bool = option(False, "all 2^n masks: the limit for ever more n_samples; for up to 12 segments")
    compat: bool = option(
        False,
        "the lime package's own segmentation, which gives most digits one or two superpixels, and its mean colours; "
        "segmentation, kernel_size, n_segments and baseline then have no say",
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        segments = (
            superpixels(image, 4.0)
            if self.compat
            else segment(image, self.segmentation, self.kernel_size, self.n_segments)
        )
        if self.compat or self.baseline == "colours":
            dropped = mean_colours(image, segments)[None]
        else:
            dropped = baselines_of(self.baseline, model.card, image)
        masked = MaskedScores(model, image, target, segments, dropped)
        n = int(segments.max()) + 1
        for masks, last in self._samples(n, seed):
            scores = masked.scores(masks.masks)
            score = float(scores[masks.masks.all(axis=1)][0])  # of the image as it is, which is among them
            fit = Ridge.of(masks).fit(scores)
            exact = self.exact and last
            state: State = "partial" if not last else "exact" if exact else "converged"
            yield Attribution(
                spread(fit.coefficients, segments), "logit", state, masked.rows,
                segments=segments, segment_values=fit.coefficients, score=score, base_value=fit.intercept,
                convergence_delta=float(fit.coefficients.sum() + fit.intercept - score), local_r2=fit.r2,
                stderr=None if exact else spread(fit.stderr, segments), bias_max=fit.bias_max,
                error_parts=None if exact else fit.error_parts,
                warnings=(*cautions(n, fit.r2), *(UNDETERMINED,) * (fit.bias_max is None)),
            )  # fmt: skip

    def _samples(self, n: int, seed: int) -> Iterator[tuple["WeightedMasks", bool]]:
        """Ever more masks, each sample beginning with the one before, and whether they are the last."""
        if self.exact and n > MOST_EXACT:
            raise TooManySegments(
                f"exact=true takes at most {MOST_EXACT} segments and this picture has {n}; "
                "use a larger kernel_size, fewer n_segments, or exact=false"
            )
        size, limit = GLANCE, 2**n if self.exact else min(2**n, self.n_samples)
        while 8 * size < limit:
            yield sampled_masks(n, size, seed), False
            size *= 4
        yield all_weighted_masks(n) if self.exact else sampled_masks(n, self.n_samples, seed), True


@dataclass(frozen=True, eq=False)
class WeightedMasks:
    """Distinct masks (m, n), how often each counts (m,), and the ridge penalty beside them."""

    masks: Masks
    counts: Array
    penalty: float = RIDGE


@lru_cache(maxsize=16)
def sampled_masks(n: int, n_samples: int, seed: int) -> WeightedMasks:
    """The masks that lime 0.2.0.1 draws for n superpixels, equal ones put together."""
    random = np.random.RandomState(seed)
    random.randint(0, 1000)  # lime draws its segmentation seed here, and quickshift then ignores it
    drawn = random.randint(0, 2, n_samples * n).reshape(n_samples, n).astype(bool)
    drawn[0] = True
    _, first, counts = np.unique(packed_masks(drawn), return_index=True, return_counts=True)
    return WeightedMasks(drawn[first], counts)


def mean_colours(image: Array, segments: Array) -> Array:
    """The image (H, W) with every superpixel in its mean colour: what a dropped superpixel shows."""
    # lime takes this mean in the image's own float32, and in the same order of pixels
    means = np.array(
        [image[segments == segment_number].mean() for segment_number in range(segments.max() + 1)], np.float32
    )
    painted: Array = means[segments]
    return painted


@lru_cache(maxsize=16)
def all_weighted_masks(n: int) -> WeightedMasks:
    """All 2^n masks alike, as in a sample without end, beside which the penalty is nothing."""
    masks = all_masks(n)
    return WeightedMasks(masks, np.ones(len(masks)), penalty=0.0)


@dataclass(frozen=True)
class LinearFit:
    """A linear model of the scores."""

    coefficients: Array  # (n,)
    intercept: float
    r2: float  # weighted, as scikit-learn's `score`
    stderr: Array  # (n,), of the coefficients over other draws of the masks
    error_parts: Array  # (m, n), what each mask adds to their errors
    bias_max: float | None  # how far a coefficient is from that without the penalty; None if the masks leave that open


@dataclass(frozen=True)
class Ridge:
    """The weighted ridge regression on masks that the lime package sets up, as one linear map of the scores: the same
    for every image and class."""

    masks: Masks  # (m, n)
    counts: Array  # (m,)
    weights: Array  # (m,), those of all draws of a mask together
    matrix: Array  # P (n, m): coefficients = P (scores - their weighted mean)
    bias: Array | None  # P less what it is without the penalty; None where the masks do not determine that

    @staticmethod
    def of(masks: WeightedMasks) -> "Ridge":
        """A mask that keeps k of n cells weighs exp(-d^2 / width^2)^(1/2) with the cosine distance d = 1 -
        sqrt(k / n)."""
        small = masks.masks.size <= CACHED_SIZE
        return _cached_ridge(masks) if small else _ridge(masks)

    def fit(self, scores: Array) -> LinearFit:
        """Fit scores (m,). The standard errors are the sandwich estimate sum_i p_i^2 r_i^2 over all draws i, with r the
        residuals, for the degrees of freedom that the fit leaves: the draws less the trace of the hat matrix."""
        share = self.weights / self.weights.sum()
        y = scores - share @ scores
        coefficients = self.matrix @ y
        intercept = float(share @ scores - share @ self.masks @ coefficients)
        residuals = scores - intercept - self.masks @ coefficients
        total = self.weights @ y**2
        r2 = 1 - float(self.weights @ residuals**2 / total) if total > 0 else 1.0
        draws = float(self.counts.sum())
        degrees = max(draws - 1 - float((self.matrix * (self.masks - share @ self.masks).T).sum()), 1.0)
        error_parts = (self.matrix * residuals / np.sqrt(self.counts)).T
        stderr = np.sqrt((error_parts**2).sum(axis=0) * draws / degrees) * widened(degrees)
        bias_max = None if self.bias is None else float(np.abs(self.bias @ y).max())
        return LinearFit(coefficients, intercept, r2, stderr, error_parts, bias_max)


def _ridge(masks: WeightedMasks) -> Ridge:
    n = masks.masks.shape[1]
    kept = masks.masks.sum(axis=1)
    weights = masks.counts * np.exp(-(((1 - np.sqrt(kept / n)) / KERNEL_WIDTH) ** 2) / 2)
    x = masks.masks - weights @ masks.masks / weights.sum()
    weighted = (x * weights[:, None]).T
    normal = weighted @ x
    matrix = np.linalg.solve(normal + masks.penalty * np.eye(n), weighted)
    determined = np.linalg.matrix_rank(normal, hermitian=True) == n
    bias = matrix - np.linalg.solve(normal, weighted) if determined else None
    return Ridge(masks.masks, masks.counts, weights, matrix, bias)


_cached_ridge = lru_cache(maxsize=16)(_ridge)


def cautions(n: int, r2: float) -> tuple[str, ...]:
    """Warnings about a fit over n superpixels with this local R2."""
    few_segments = (
        f"only {n} superpixel{'s' * (n > 1)}: there is little to rank; leave compat and kernel_size at their defaults"
    )
    poor_fit = f"a linear model explains only {r2:.0%} of the variance around this image: do not trust single values"
    return (few_segments,) * (n < FEW_SEGMENTS) + (poor_fit,) * (r2 < POOR_FIT)
