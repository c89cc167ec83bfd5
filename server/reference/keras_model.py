"""A Model that can also be had as a keras.Model, for packages that differentiate such a model themselves."""

from dataclasses import dataclass
from typing import Any, Literal

from server.models.wrappers import ModelWrapper
from server.protocols import KerasView
from server.types import Target


@dataclass(frozen=True)
class KerasModel(ModelWrapper):
    """`model` beside the version's own view of it, whose output is what `model` gives."""

    view: KerasView
    output: Literal["logit", "probability"]

    def score_of(self, target: Target) -> Any:
        """A keras.Model from images (n, H, W) to the target's score, (n, 1)."""
        return self.view(target.weights, self.output)
