"""Expected gradients: integrated gradients averaged over a background of baselines; the gradient form of SHAP."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.explainers.perturbation import not_met, score_of
from server.explainers.sampling_error import widened
from server.options import option
from server.types import Array, Attribution, Model, Target, Verb

LEAST = 2  # rounds
GOLDEN = (5**0.5 - 1) / 2  # steps shifted by it again and again fill [0, 1] evenly, however often


@dataclass(frozen=True)
class ExpectedGradients:
    """a = mean over baselines b and t in [0, 1] of (x - b) * d(target) / dx at b + t (x - b).

    Every background image is used equally. The first round takes its steps t stratified (one in each of m equal
    intervals) and antithetic (t and 1 - t), which needs several times fewer gradients than drawing both at random for
    the same error; from round to round every baseline's step moves on by the golden ratio. What the values along one
    path should sum to is known, score - f(b), so each path is corrected by what it misses: the values of every round
    sum to score - base_value to rounding. There are two rounds at least, whose difference on each path gives the
    standard errors (time for one alone buys values without them); they go on until the values before that correction
    sum to it within `tolerance`. Cost: 2 m gradients a round for a background of m, and m + 1 forwards.
    """

    name: ClassVar[str] = "expected_gradients"
    revision: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "Each pixel's share of the difference between the image and typical digits (gradient SHAP)."
    )
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = "Erion et al., Learning Explainable Models Using Attribution Priors (2019), arXiv:1906.10670"

    n_samples: int = option(1000, "gradients at most; two rounds over the background images are always done", 2, 20000)
    tolerance: float = option(
        0.02, "how far values may miss score - base_value before they are corrected, relative to it", 1e-6, 1.0
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        background = model.card.background
        bases = score_of(model, background, target)  # (m,)
        score = float(score_of(model, image[None], target)[0])
        base = float(bases.mean())
        count = len(background)
        rng = np.random.default_rng(seed)
        steps = (rng.permutation(count) + rng.random(count)) / count
        total, squares, missed = np.zeros(background.shape), np.zeros(background.shape), 0.0
        for done in itertools.count(1):
            paths = _paths(model, background, image, target, steps)
            steps = (steps + GOLDEN) % 1
            misses = paths.sum(axis=(1, 2)) - (score - bases)
            paths = _corrected(paths, misses, image - background)
            total, squares, missed = total + paths, squares + paths**2, missed + float(misses.mean())
            enough = done >= LEAST
            values, allowed = total.mean(axis=0) / done, self.tolerance * abs(score - base)
            converged = enough and abs(missed / done) <= allowed
            ended = converged or (enough and 2 * count * (done + 1) > self.n_samples)
            yield Attribution(
                values, "logit", "converged" if ended else "partial", 1 + count * (1 + 2 * done),
                score=score, base_value=base, convergence_delta=float(values.sum() - (score - base)),
                uncorrected_delta=missed / done, stderr=_stderr(total, squares, done) if enough else None,
                error_parts=(paths - total / done).reshape(count, -1) if enough else None,
                stop="limit" if ended and not converged else None,
                warnings=not_met(missed / done, allowed, "before correction; raise n_samples") if ended else (),
            )  # fmt: skip
            if ended:
                return


def _paths(model: Model, background: Array, image: Array, target: Target, steps: Array) -> Array:
    """The values (m, H, W) along the path from each baseline: the mean of two antithetic points, at `steps` and
    1 - `steps` (m,)."""
    count, changes = len(background), image.astype(np.float64) - background
    points = np.empty((2, *background.shape), np.float32)
    for half, at in zip(points, (steps, 1 - steps), strict=True):
        half[:] = background + at[:, None, None] * changes
    weights = np.repeat(target.weights[None], 2 * count, axis=0)
    slopes = model.gradient(points.reshape(-1, *image.shape), weights).reshape(points.shape)
    mean: Array = changes * slopes.mean(axis=0, dtype=np.float64)
    return mean


def _corrected(paths: Array, misses: Array, changes: Array) -> Array:
    """The values (m, H, W) along paths that change the image by `changes`, each made to sum to what it should: the
    smallest change of its mean slopes, in L2, by which it does. Pixels without a slope on any path keep their 0: the
    model does not see them.
    """
    squares = (paths != 0).any(axis=0) * changes.astype(np.float64) ** 2
    sizes = squares.sum(axis=(1, 2))
    each = np.divide(misses, sizes, out=np.zeros_like(misses), where=sizes > 0)  # (m,); a path to itself misses nothing
    corrected: Array = paths - each[:, None, None] * squares
    return corrected


def _stderr(total: Array, squares: Array, rounds: int) -> Array:
    """Standard error (H, W) of the mean over paths and rounds, from the sums (m, H, W) over rounds: what the rounds on
    each path differ by, from path to path independent, and few paths may differ by most. From two rounds on the error
    falls with the number of rounds, not with its root, because steps fill [0, 1] evenly; it is on the careful side."""
    paths = len(total)
    differences = np.maximum(squares - total**2 / rounds, 0)
    energies = differences.sum(axis=(1, 2))
    effective = energies.sum() ** 2 / (energies**2).sum() if energies.any() else 1
    variance = differences.sum(axis=0) / (rounds * (rounds - 1) * paths**2) * (LEAST / rounds)
    error: Array = np.sqrt(variance) * widened(effective * (rounds - 1))
    return error
