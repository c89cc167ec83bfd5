"""Gradient x input: the slope at each pixel times its ink."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.explainers.perturbation import score_of
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class GradientXInput:
    """a = x * d(target) / dx.

    For a linear model this is what each pixel adds; for others it is integrated gradients with the single step at the
    image, so the values miss score - f(black) by the reported gap. Cost: one gradient, two forwards.
    """

    name: ClassVar[str] = "gradient_x_input"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "The slope at each pixel times its ink: a first guess at what each pixel adds."
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Shrikumar et al., Not Just a Black Box (2016), arXiv:1605.01713"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        values = image.astype(np.float64) * model.gradient(image[None], target.weights[None])[0]
        base, score = map(float, score_of(model, np.stack([np.zeros_like(image), image]), target))
        yield Attribution(
            values, "logit", "exact", rows=3,
            score=score, base_value=base, convergence_delta=float(values.sum() - (score - base)),
        )  # fmt: skip
