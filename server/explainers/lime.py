"""LIME: a weighted linear model of what happens when superpixels are painted over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from skimage.color import gray2rgb
from skimage.segmentation import quickshift

from server.explainers.options import option
from server.explainers.perturbation import masked_scores, spread
from server.types import Array, Attribution, Model, Target, Verb

KERNEL_WIDTH = 0.25
RIDGE = 1.0
FEW_SEGMENTS = 4
POOR_FIT = 0.5  # local R2


@dataclass(frozen=True)
class Lime:
    """coefficients b of the ridge regression of target(z) on which superpixels z keeps, weighted by closeness to the
    image.

    Gives what lime 0.2.0.1 gives for the same segments and seed (`LimeImageExplainer(random_state=seed)`), to rounding,
    but evaluates each distinct mask once and solves in closed form. One default differs: quickshift with `kernel_size`
    1, because the package's 4 cuts most digits into one or two superpixels. Cost: at most n_samples forwards, usually
    64 to 512. The map changes with the seed; `local_r2` says how well a linear model fits at all.
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
    kernel_size: float = option(
        1.0, "width of quickshift's density kernel, in pixels; larger gives fewer superpixels", 1.0, 6.0
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        random = np.random.RandomState(seed)
        random.randint(0, 1000)  # lime draws its segmentation seed here, and quickshift then ignores it
        segments = superpixels(image, self.kernel_size)
        masks = _sampled(random, self.n_samples, int(segments.max()) + 1)
        outputs, rows = masked_scores(model, image, segments, masks, painted_over(image, segments))
        fit = Ridge.of(masks, target.score(outputs))
        score = float(target.score(outputs[:1])[0])
        yield Attribution(
            spread(fit.coefficients, segments), "logit", "converged", rows,
            segments=segments, segment_values=fit.coefficients, score=score, base_value=fit.intercept,
            convergence_delta=float(fit.coefficients.sum() + fit.intercept - score), local_r2=fit.r2,
            warnings=_warnings(len(fit.coefficients), fit.r2),
        )  # fmt: skip


def superpixels(image: Array, kernel_size: float) -> Array:
    """Labels (H, W), 0 .. n-1, of quickshift with the lime package's other arguments."""
    labels = quickshift(gray2rgb(image), kernel_size=kernel_size, max_dist=200, ratio=0.2)
    return np.unique(labels, return_inverse=True)[1].reshape(image.shape)


def painted_over(image: Array, segments: Array) -> Array:
    """The image (H, W) with every superpixel painted in its mean: what a dropped superpixel shows."""
    # lime takes this mean in the image's own float32, and in the same order of pixels
    means = np.array([image[segments == label].mean() for label in range(segments.max() + 1)], np.float32)
    painted: Array = means[segments]
    return painted


def _sampled(random: np.random.RandomState, samples: int, n: int) -> Array:
    masks = random.randint(0, 2, samples * n).reshape(samples, n).astype(bool)
    masks[0] = True
    return masks


@dataclass(frozen=True)
class Ridge:
    """A weighted ridge regression on masks, as the lime package sets it up."""

    coefficients: Array  # (n,)
    intercept: float
    r2: float  # weighted, as scikit-learn's `score`

    @staticmethod
    def of(masks: Array, scores: Array) -> "Ridge":
        """Fit scores (m,) on masks (m, n); a mask that keeps k of n cells weighs exp(-d^2 / width^2)^(1/2) with the
        cosine distance d = 1 - sqrt(k / n)."""
        n = masks.shape[1]
        kept = masks.sum(axis=1)
        weights = np.exp(-(((1 - np.sqrt(kept / n)) / KERNEL_WIDTH) ** 2) / 2)
        share = weights / weights.sum()
        x = masks - share @ masks
        y = scores - share @ scores
        weighted = x * weights[:, None]
        coefficients = np.linalg.solve(weighted.T @ x + RIDGE * np.eye(n), weighted.T @ y)
        residual = y - x @ coefficients
        total = weights @ y**2
        r2 = 1 - float(weights @ residual**2 / total) if total > 0 else 1.0
        return Ridge(coefficients, float(share @ (scores - masks @ coefficients)), r2)


def _warnings(n: int, r2: float) -> tuple[str, ...]:
    few = f"only {n} superpixels: there is little to rank; use a smaller kernel_size"
    poor = f"a linear model explains only {r2:.0%} of the variance around this image: do not trust single values"
    return (few,) * (n < FEW_SEGMENTS) + (poor,) * (r2 < POOR_FIT)
