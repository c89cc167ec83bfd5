"""Saliency: the slope of the target's output at each pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from server.explainers.perturbation import score_of
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class Saliency:
    """a = d(target) / d(pixel).

    Differs from the paper, which shows |a|: the sign is kept, because it says whether more ink there would help or
    hurt. Cost: one gradient, one forward. Do not trust it where the net is saturated: a slope says what a small change
    does, not what the pixel contributed.
    """

    name: ClassVar[str] = "saliency"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "The slope of the output at each pixel: where a little more ink would raise or lower it."
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Simonyan et al., Deep Inside Convolutional Networks (2013), arXiv:1312.6034"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        values = model.gradient(image[None], target.weights[None])[0]
        score = float(score_of(model, image[None], target)[0])
        yield Attribution(values, "logit_per_ink", "exact", rows=2, score=score)
