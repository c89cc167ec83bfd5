"""LIME: a weighted linear model of what happens when superpixels are painted over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.errors import MethodNotPossible
from server.explainers.perturbation import Masks, all_masks, masked_scores, spread
from server.explainers.segmentation import Segmentation, segment, superpixels
from server.options import option
from server.types import Array, Attribution, Model, Target, Verb

KERNEL_WIDTH = 0.25
RIDGE = 1.0
MOST_EXACT = 12  # superpixels, 4,096 masks
FEW_SEGMENTS = 4
POOR_FIT = 0.5  # local R2


@dataclass(frozen=True)
class Lime:
    """coefficients b of the ridge regression of target(z) on which superpixels z keeps, weighted by closeness to the
    image.

    Gives what lime 0.2.0.1 gives for the same segments and seed (`LimeImageExplainer(random_state=seed)`), to rounding,
    but evaluates each distinct mask once and solves in closed form. The package's own segmentation (`compat`) cuts most
    digits into one or two superpixels, so the default is finer. Sampled masks change with the seed; `exact` takes all
    2^n masks, each as often as n_samples would draw it on average. Cost: at most n_samples forwards (2^n when exact),
    usually 64 to 512. `local_r2` says how well a linear model fits at all.
    """

    name: ClassVar[str] = "lime"
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
    segmentation: Segmentation = option("quickshift", "how the image is cut; always into at least 5 segments")
    kernel_size: float = option(1.0, "of quickshift: pixels; larger gives fewer superpixels", 1.0, 6.0)
    n_segments: int = option(16, "of slic and grid: about how many segments", 5, 49)
    exact: bool = option(False, "all 2^n masks instead of sampled ones, for up to 12 segments")
    compat: bool = option(False, "the lime package's own segmentation, which gives most digits one or two superpixels")

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        segments = (
            superpixels(image, 4.0)
            if self.compat
            else segment(image, self.segmentation, self.kernel_size, self.n_segments)
        )
        masks, counts = self._masks(int(segments.max()) + 1, seed)
        outputs, rows = masked_scores(model, image, segments, masks, painted_over(image, segments))
        fit = Ridge.of(masks, counts, target.score(outputs))
        score = float(target.score(outputs[masks.all(axis=1)][:1])[0])
        yield Attribution(
            spread(fit.coefficients, segments), "logit", "exact" if self.exact else "converged", rows,
            segments=segments, segment_values=fit.coefficients, score=score, base_value=fit.intercept,
            convergence_delta=float(fit.coefficients.sum() + fit.intercept - score), local_r2=fit.r2,
            stderr=None if self.exact else spread(fit.stderr, segments),
            warnings=cautions(len(fit.coefficients), fit.r2),
        )  # fmt: skip

    def _masks(self, n: int, seed: int) -> tuple[Masks, Array]:
        """The masks (m, n) and how often each counts (m,)."""
        if self.exact:
            if n > MOST_EXACT:
                raise MethodNotPossible(
                    f"exact=true takes at most {MOST_EXACT} segments and this picture has {n}; "
                    "use a larger kernel_size, fewer n_segments, or exact=false"
                )
            masks = all_masks(n)
            counts = np.full(len(masks), (self.n_samples - 1) / len(masks))
            counts[-1] += 1  # the unmasked image, which every sample begins with
            return masks, counts
        random = np.random.RandomState(seed)
        random.randint(0, 1000)  # lime draws its segmentation seed here, and quickshift then ignores it
        masks = random.randint(0, 2, self.n_samples * n).reshape(self.n_samples, n).astype(bool)
        masks[0] = True
        return masks, np.ones(len(masks))


def painted_over(image: Array, segments: Array) -> Array:
    """The image (H, W) with every superpixel painted in its mean: what a dropped superpixel shows."""
    # lime takes this mean in the image's own float32, and in the same order of pixels
    means = np.array([image[segments == label].mean() for label in range(segments.max() + 1)], np.float32)
    painted: Array = means[segments]
    return painted


@dataclass(frozen=True)
class Ridge:
    """A weighted ridge regression on masks, as the lime package sets it up."""

    coefficients: Array  # (n,)
    intercept: float
    r2: float  # weighted, as scikit-learn's `score`
    stderr: Array  # (n,), of the coefficients over other draws of the masks

    @staticmethod
    def of(masks: Array, counts: Array, scores: Array) -> "Ridge":
        """Fit scores (m,) on masks (m, n) that count `counts` (m,) times; a mask that keeps k of n cells weighs
        exp(-d^2 / width^2)^(1/2) with the cosine distance d = 1 - sqrt(k / n).

        The standard errors are the sandwich estimate sum_i p_i^2 r_i^2, with b = P scores and r the residuals.
        """
        n = masks.shape[1]
        kept = masks.sum(axis=1)
        weights = counts * np.exp(-(((1 - np.sqrt(kept / n)) / KERNEL_WIDTH) ** 2) / 2)
        share = weights / weights.sum()
        x = masks - share @ masks
        y = scores - share @ scores
        weighted = x * weights[:, None]
        p = np.linalg.solve(weighted.T @ x + RIDGE * np.eye(n), weighted.T)  # (n, m)
        coefficients = p @ y
        residuals = y - x @ coefficients
        total = weights @ y**2
        r2 = 1 - float(weights @ residuals**2 / total) if total > 0 else 1.0
        intercept = float(share @ (scores - masks @ coefficients))
        return Ridge(coefficients, intercept, r2, np.sqrt(p**2 @ residuals**2))


def cautions(n: int, r2: float) -> tuple[str, ...]:
    """What to be told of a fit over n superpixels with this local R2."""
    few = f"only {n} superpixel{'s' * (n > 1)}: there is little to rank; leave compat and kernel_size at their defaults"
    poor = f"a linear model explains only {r2:.0%} of the variance around this image: do not trust single values"
    return (few,) * (n < FEW_SEGMENTS) + (poor,) * (r2 < POOR_FIT)
