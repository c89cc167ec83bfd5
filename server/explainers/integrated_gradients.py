"""Integrated gradients: slopes summed along the straight path from a baseline to the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from server.explainers.perturbation import baselines_of, not_met, score_of
from server.options import option
from server.types import Array, Attribution, Model, Target, Verb

MOST_STEPS = 512
GLANCE = 16  # nodes of a first answer before a rule of many


@lru_cache(maxsize=16)
def gauss_legendre(steps: int) -> tuple[Array, Array]:
    """Nodes and weights (steps,) of the Gauss-Legendre rule on [0, 1]; the weights sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


@dataclass(frozen=True)
class IntegratedGradients:
    """a = (x - x0) * integral of d(target) / dx at x0 + t (x - x0) over t in [0, 1].

    The integral is a Gauss-Legendre rule instead of the paper's Riemann sum; it is refined, doubling the nodes, until
    the values sum to score - base_value within `tolerance`. With several baselines the values are the mean of those
    from each: pixels that equal a baseline get exactly 0 from it, so from black paper empty paper cannot be evidence.
    Cost: n_steps gradients for each baseline and rule tried.
    """

    name: ClassVar[str] = "integrated_gradients"
    revision: ClassVar[int] = 3
    summary: ClassVar[str] = (
        "Each pixel's share of the difference between the image and a baseline, along a straight path."
    )
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = "Sundararajan et al., Axiomatic Attribution for Deep Networks (2017), arXiv:1703.01365"

    n_steps: int = option(16, "points on the path at first; doubled, up to 512, until tolerance is met", 2, MOST_STEPS)
    tolerance: float = option(0.01, "largest completeness gap, relative to score - base_value", 1e-6, 1.0)
    baseline: Literal["typical", "black", "mean"] = option(
        "typical",
        "where the path starts: typical digits, faint and strong, of which the mean is taken; empty paper (black); or "
        "the mean of the background images",
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        baselines = baselines_of(self.baseline, model.card, image)
        *bases, score = score_of(model, np.concatenate([baselines, image[None]]), target)
        base = float(np.mean(bases))
        steps, rows = GLANCE if self.n_steps > 4 * GLANCE else self.n_steps, len(baselines) + 1
        while True:
            paths = np.stack([_integral(model, start, image, target, steps) for start in baselines])
            values = paths.mean(axis=0)
            rows += len(baselines) * steps
            gap = float(np.abs(paths.sum(axis=(1, 2)) - (score - np.array(bases))).mean())  # two must not cancel out
            allowed = self.tolerance * abs(score - base)
            converged = gap <= allowed and steps >= self.n_steps
            ended = converged or steps >= MOST_STEPS
            yield Attribution(
                values, "logit", "converged" if ended else "partial", rows,
                score=float(score), base_value=base, convergence_delta=float(values.sum() - (score - base)),
                stop="limit" if ended and not converged else None,
                warnings=not_met(gap, allowed, f"after {steps} steps, the most") if ended else (),
            )  # fmt: skip
            if ended:
                return
            steps = self.n_steps if steps < self.n_steps else min(2 * steps, MOST_STEPS)


def _integral(model: Model, start: Array, image: Array, target: Target, steps: int) -> Array:
    nodes, weights = gauss_legendre(steps)
    path = start + nodes[:, None, None] * (image - start)  # (steps, H, W)
    slopes = model.gradient(path.astype(np.float32), np.repeat(target.weights[None], steps, axis=0))
    mean_slope = np.tensordot(weights, slopes.astype(np.float64), axes=1)
    values: Array = (image.astype(np.float64) - start) * mean_slope
    return values
