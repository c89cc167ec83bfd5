"""FGSM (fast gradient sign method): one step along the sign of the slope, as short as possible."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.attacks.margin import FLIPPED, Objective, adversarial_example
from server.attacks.types import AdversarialExample
from server.options import option
from server.types import Array, Model

LENGTHS = 32  # tried at once


@dataclass(frozen=True)
class Fgsm:
    """x' = clip(x + e sign(d(margin) / dx)), with the smallest e up to `limit` that flips the answer.

    Differs from the paper: e is searched for instead of given. Cost: 1 gradient, about 50 forwards. A crude direction:
    what it does not find may exist.
    """

    name: ClassVar[str] = "fgsm"
    summary: ClassVar[str] = "One step along the sign of the slope."
    paper: ClassVar[str] = "Goodfellow et al., Explaining and Harnessing Adversarial Examples (2014), arXiv:1412.6572"

    limit: float = option(0.5, "largest change of a pixel (Linf); ink is 1", 0.01, 1.0)

    def search(
        self, model: Model, image: Array, source_class: int, target_class: int | None, seed: int
    ) -> AdversarialExample:
        objective = Objective(model, source_class, target_class)
        direction = np.sign(objective.slopes(image[None])[1][0])
        lengths = np.linspace(0, self.limit, LENGTHS + 1)[1:, None, None]
        tried = np.clip(image + lengths * direction, 0, 1)
        flipped = objective.margins(tried) >= FLIPPED
        return adversarial_example(objective, image, tried[flipped.argmax()] if flipped.any() else None)
