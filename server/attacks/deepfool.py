"""DeepFool: again and again the shortest step to where the nearest class would win if the model were linear; then back
along the border, for the first crossing is seldom the nearest.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.attacks.margin import FLIPPED, Objective, adversarial_example, shortened
from server.attacks.types import AdversarialExample
from server.options import option
from server.types import Array, Model

OVERSHOOT = 0.02  # as in the paper, so that a step ends beyond the border
WORTH = 0.999  # of the shortest change so far: a crossing that is not nearer than that ends the search


@dataclass(frozen=True)
class DeepFool:
    """x <- x + |f_k| / ||w_k||^2 w_k for the class k with the smallest |f_k| / ||w_k||, f_k being k's lead and w_k its
    slope. Where that crosses the border, x <- (x + x0 + (x - x0) . w / ||w||^2 w) / 2, and again from there.

    Differs from the paper: the second line, from Abdollahpourrostam et al., Revisiting DeepFool (2023),
    arXiv:2303.12481, but half as far; it makes the change a quarter smaller. Pixels stay in [0, 1]. Cost: one gradient
    for each class and step until the first crossing, one for each step after it. Small in L2, not in Linf. What it does
    not find may exist.
    """

    name: ClassVar[str] = "deepfool"
    summary: ClassVar[str] = "The shortest steps to the nearest class, as if the model were linear: the smallest in L2."
    paper: ClassVar[str] = "Moosavi-Dezfooli et al., DeepFool (2015), doi:10.1109/CVPR.2016.282, arXiv:1511.04599"

    limit: float = option(10.0, "largest change in L2; one pixel of full ink is 1, a digit about 9", 0.1, 28.0)
    n_steps: int = option(200, "steps at most", 1, 1000)

    def search(
        self, model: Model, image: Array, source_class: int, target_class: int | None, seed: int
    ) -> AdversarialExample:
        objective = Objective(model, source_class, target_class)
        rivals = [k for k in range(len(model.card.classes)) if k != source_class]
        at, best, shortest = image.astype(np.float64), None, np.inf
        for _ in range(self.n_steps):
            first = best is None and target_class is None  # which class is nearest is open until a border is crossed
            step = _nearest_border(objective, at, rivals) if first else _to_the_border(objective, at)
            at = np.clip(at + (1 + OVERSHOOT) * step, 0, 1)
            if objective.margins(at[None])[0] >= FLIPPED:
                crossed = shortened(objective, image, at)
                length = float(np.linalg.norm(crossed - image))
                if length > WORTH * shortest:
                    break
                best, shortest = crossed, length
                at = _along_the_border(objective, image, crossed)
        return adversarial_example(objective, image, best if shortest <= self.limit else None)


def _along_the_border(objective: Objective, image: Array, crossed: Array) -> Array:
    """Half the way from `crossed` (H, W), a point of the border, to the one that would be nearest to `image` if the
    border were flat."""
    slope = objective.slopes(crossed[None])[1][0]
    share = ((crossed - image) * slope).sum() / ((slope**2).sum() + 1e-12)
    foot = np.clip(image + share * slope, 0, 1)
    halfway: Array = (crossed + foot) / 2  # all the way often ends where the next step leads back
    return halfway


def _to_the_border(objective: Objective, at: Array) -> Array:
    """The shortest step (H, W) to where the margin is positive, if the model were linear."""
    margins, slopes = objective.slopes(at[None])
    step: Array = (FLIPPED - margins[0]) / ((slopes[0] ** 2).sum() + 1e-12) * slopes[0]
    return step


def _nearest_border(objective: Objective, at: Array, rivals: list[int]) -> Array:
    """The shortest step (H, W) to the border of any rival, if all were linear."""
    weights = np.zeros((len(rivals), len(objective.model.card.classes)), np.float32)
    weights[np.arange(len(rivals)), rivals] = 1
    weights[:, objective.source_class] = -1
    copies = np.repeat(at[None], len(rivals), axis=0).astype(np.float32)
    slopes = objective.model.gradient(copies, weights).astype(np.float64)  # (r, H, W)
    objective.rows += len(rivals) + 1
    leads = weights @ objective.model.forward(copies[:1])[0].astype(np.float64)  # (r,), negative
    squares = (slopes**2).sum(axis=(1, 2)) + 1e-12
    nearest = int(np.argmin((FLIPPED - leads) / np.sqrt(squares)))
    step: Array = (FLIPPED - leads[nearest]) / squares[nearest] * slopes[nearest]
    return step
