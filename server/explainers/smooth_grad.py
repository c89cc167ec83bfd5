"""SmoothGrad, SquareGrad and VarGrad: the mean, mean square and variance of slopes at noisy copies of the image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from server.explainers.perturbation import score_of
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

PAIRS = 32  # at once: noise and its opposite


@dataclass(frozen=True)
class SmoothGrad:
    """a = mean of d(target) / dx at x + e, with e normal of standard deviation `sigma`.

    Noise comes in pairs e and -e, whose linear effects on the slope cancel: less error for the same cost. Cost:
    n_samples gradients, one forward. Do not trust it to name causes: it is the slope of a blurred model.
    """

    name: ClassVar[str] = "smooth_grad"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "The mean slope at noisy copies of the image: saliency without its speckle."
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Smilkov et al., SmoothGrad: removing noise by adding noise (2017), arXiv:1706.03825"

    n_samples: int = option(50, "noisy copies; an odd number is rounded up, because they come in pairs", 4, 2000)
    sigma: float = option(0.2, "standard deviation of the noise; ink is 1", 0.001, 2.0)

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, moments in _moments(self, model, image, target, seed):
            yield replace(found, values=moments.mean, stderr=np.sqrt(moments.variance_of_pairs / moments.pairs))


@dataclass(frozen=True)
class SquareGrad(SmoothGrad):
    """a = mean of (d(target) / dx)^2 at x + e: how strong slopes are, whichever way. Otherwise as SmoothGrad."""

    name: ClassVar[str] = "square_grad"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "The mean squared slope at noisy copies of the image: where it is sensitive, either way."
    signed: ClassVar[bool] = False
    paper: ClassVar[str] = "Hooker et al., A Benchmark for Interpretability Methods (2019), arXiv:1806.10758"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, moments in _moments(self, model, image, target, seed):
            yield replace(found, values=moments.square, unit="score")


@dataclass(frozen=True)
class VarGrad(SmoothGrad):
    """a = variance of d(target) / dx at x + e: where the slope depends on the noise. Otherwise as SmoothGrad."""

    name: ClassVar[str] = "var_grad"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "The variance of the slope at noisy copies of the image: where pixels interact."
    signed: ClassVar[bool] = False
    paper: ClassVar[str] = "Adebayo et al., Local Explanation Methods for Deep Networks (2018), arXiv:1810.03307"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found, moments in _moments(self, model, image, target, seed):
            yield replace(found, values=np.maximum(moments.square - moments.mean**2, 0), unit="score")


@dataclass(frozen=True)
class _Moments:
    """Of the slopes so far: their mean and mean square (H, W), and the variance (H, W) of the means of pairs."""

    pairs: int
    mean: Array
    square: Array
    variance_of_pairs: Array


def _moments(
    options: SmoothGrad, model: Model, image: Array, target: Target, seed: int
) -> Iterator[tuple[Attribution, _Moments]]:
    """After every PAIRS pairs the moments so far, and an attribution that lacks its values."""
    score = float(score_of(model, image[None], target)[0])
    rng = np.random.default_rng(seed)
    wanted = (options.n_samples + 1) // 2
    done, total, squares, pair_squares = 0, *(np.zeros(image.shape) for _ in range(3))
    while done < wanted:
        count = min(PAIRS, wanted - done)
        noise = rng.normal(0, options.sigma, (count, *image.shape))
        noisy = np.concatenate([image + noise, image - noise]).astype(np.float32)
        weights = np.repeat(target.weights[None], 2 * count, axis=0)
        slopes = model.gradient(noisy, weights).astype(np.float64).reshape(2, count, *image.shape)
        means = slopes.mean(axis=0)
        done += count
        total, squares = total + means.sum(axis=0), squares + (slopes**2).mean(axis=0).sum(axis=0)
        pair_squares = pair_squares + (means**2).sum(axis=0)
        mean = total / done
        variance = np.maximum(pair_squares - done * mean**2, 0) / max(done - 1, 1)
        state: State = "converged" if done == wanted else "partial"
        found = Attribution(mean, "logit_per_ink", state, rows=1 + 2 * done, score=score)
        yield found, _Moments(done, mean, squares / done, variance)
