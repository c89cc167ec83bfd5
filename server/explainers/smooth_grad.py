"""SmoothGrad, SquareGrad and VarGrad: the mean, mean square and variance of slopes at noisy copies of the image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from server.explainers.perturbation import score_of
from server.explainers.sampling_error import effective_draws, stderr_of_mean, stderr_of_strength
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

PAIRS = 32  # at once: noise and its opposite
UNEVEN = 8  # times fewer pairs that matter than were drawn: worth a warning


@dataclass(frozen=True)
class SmoothGrad:
    """a = mean of d(target) / dx at x + e, with e normal of standard deviation `sigma`.

    Noise comes in pairs e and -e, whose linear effects on the slope cancel: less error for the same cost. Standard
    errors are those of the mean over pairs; where few pairs make the map, as they do for a probability near 1, whose
    slope is nearly 0 at most copies, a warning says so. Cost: n_samples gradients, one forward. Do not trust it to name
    causes: it is the slope of a blurred model.
    """

    name: ClassVar[str] = "smooth_grad"
    revision: ClassVar[int] = 2
    summary: ClassVar[str] = "The mean slope at noisy copies of the image: saliency without its speckle."
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Smilkov et al., SmoothGrad: removing noise by adding noise (2017), arXiv:1706.03825"

    n_samples: int = option(50, "noisy copies; an odd number is rounded up, because they come in pairs", 4, 2000)
    sigma: float = option(0.2, "standard deviation of the noise; ink is 1", 0.001, 2.0)

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, means, _ in _slopes(self, model, image, target, seed):
            yield _with_error(found, means.mean(axis=0), stderr_of_mean(means), means)


@dataclass(frozen=True)
class SquareGrad(SmoothGrad):
    """a = mean of (d(target) / dx)^2 at x + e: how strong slopes are, whichever way. Otherwise as SmoothGrad."""

    name: ClassVar[str] = "square_grad"
    revision: ClassVar[int] = 2
    summary: ClassVar[str] = "The mean squared slope at noisy copies of the image: where it is sensitive, either way."
    signed: ClassVar[bool] = False
    paper: ClassVar[str] = "Hooker et al., A Benchmark for Interpretability Methods (2019), arXiv:1806.10758"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, _, squares in _slopes(self, model, image, target, seed):
            strengths = squares.mean(axis=0)
            stderr = stderr_of_strength(strengths, stderr_of_mean(squares))
            yield replace(_with_error(found, strengths, stderr, squares), unit="score")


@dataclass(frozen=True)
class VarGrad(SmoothGrad):
    """a = variance of d(target) / dx at x + e: where the slope depends on the noise. Otherwise as SmoothGrad."""

    name: ClassVar[str] = "var_grad"
    revision: ClassVar[int] = 2
    summary: ClassVar[str] = "The variance of the slope at noisy copies of the image: where pixels interact."
    signed: ClassVar[bool] = False
    paper: ClassVar[str] = "Adebayo et al., Local Explanation Methods for Deep Networks (2018), arXiv:1810.03307"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, means, squares in _slopes(self, model, image, target, seed):
            mean = means.mean(axis=0)
            noise = means.var(axis=0) / (len(means) - 1)  # of the mean, whose square is that much too large on average
            variance = np.maximum(squares.mean(axis=0) - mean**2 + noise, 0)
            influences = squares - 2 * mean * means  # of each pair on the variance: the delta method
            stderr = stderr_of_strength(variance, stderr_of_mean(influences))
            yield replace(_with_error(found, variance, stderr, influences), unit="score")


def _with_error(found: Attribution, values: Array, stderr: Array, draws: Array) -> Attribution:
    """`found` with these values, whose errors are those of the mean of draws (p, H, W)."""
    effective = effective_draws(draws)
    rough = (
        f"about {effective:.0f} of {len(draws)} pairs of noisy copies make nearly all of this map, so its standard "
        "errors are rough; raise n_samples, or use output=logit",
    ) * (effective < len(draws) / UNEVEN)
    parts = (draws - draws.mean(axis=0)).reshape(len(draws), -1)
    return replace(found, values=values, stderr=stderr, error_parts=parts, warnings=rough)


def _slopes(
    options: SmoothGrad, model: Model, image: Array, target: Target, seed: int
) -> Iterator[tuple[Attribution, Array, Array]]:
    """After every PAIRS pairs an attribution that lacks its values, and of all pairs so far (p, H, W) the mean of both
    slopes and the mean of their squares."""
    score = float(score_of(model, image[None], target)[0])
    rng = np.random.default_rng(seed)
    wanted = (options.n_samples + 1) // 2
    means, squares = np.empty((2, wanted, *image.shape))
    for start in range(0, wanted, PAIRS):
        done = min(start + PAIRS, wanted)
        noise = rng.normal(0, options.sigma, (done - start, *image.shape))
        noisy = np.concatenate([image + noise, image - noise]).astype(np.float32)
        weights = np.repeat(target.weights[None], len(noisy), axis=0)
        slopes = model.gradient(noisy, weights).astype(np.float64).reshape(2, *noise.shape)
        means[start:done], squares[start:done] = slopes.mean(axis=0), (slopes**2).mean(axis=0)
        state: State = "converged" if done == wanted else "partial"
        found = Attribution(means[0], "logit_per_ink", state, rows=1 + 2 * done, score=score)
        yield found, means[:done], squares[:done]
