"""DeepFool: again and again the shortest step to where the nearest class would win if the model were linear."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.attacks.margin import FLIPPED, Asked, outcome
from server.options import option
from server.types import Adversarial, Array, Model

OVERSHOOT = 0.02  # as in the paper, so that a step ends beyond the border


@dataclass(frozen=True)
class DeepFool:
    """x <- x + |f_k| / ||w_k||^2 w_k for the class k with the smallest |f_k| / ||w_k||, f_k being k's lead and w_k its
    slope.

    Pixels stay in [0, 1]. Cost: one gradient for each class and step. Small in L2, not in Linf.
    """

    name: ClassVar[str] = "deepfool"
    summary: ClassVar[str] = "The shortest steps to the nearest class, as if the model were linear: small in L2."
    paper: ClassVar[str] = "Moosavi-Dezfooli et al., DeepFool (2015), doi:10.1109/CVPR.2016.282, arXiv:1511.04599"

    limit: float = option(10.0, "largest change in L2; a typical digit has about 9", 0.1, 28.0)
    n_steps: int = option(50, "steps at most", 1, 200)

    def search(self, model: Model, image: Array, loser: int, wanted: int | None, seed: int) -> Adversarial:
        asked = Asked(model, loser, wanted)
        rivals = [k for k in range(len(model.card.classes)) if k != loser]
        at = image.astype(np.float64)
        for _ in range(self.n_steps):
            if asked.margins(at[None])[0] >= FLIPPED:
                return outcome(asked, image, at)
            step = _nearest_border(asked, at, rivals) if wanted is None else _to_the_border(asked, at)
            at = np.clip(at + (1 + OVERSHOOT) * step, 0, 1)
            if np.linalg.norm(at - image) > self.limit:
                break
        return outcome(asked, image, None)


def _to_the_border(asked: Asked, at: Array) -> Array:
    """The shortest step (H, W) to where the wanted class catches up with the best other."""
    margins, slopes = asked.slopes(at[None])
    step: Array = (FLIPPED - margins[0]) / ((slopes[0] ** 2).sum() + 1e-12) * slopes[0]
    return step


def _nearest_border(asked: Asked, at: Array, rivals: list[int]) -> Array:
    """The shortest step (H, W) to the border of any rival, if all were linear."""
    weights = np.zeros((len(rivals), len(asked.model.card.classes)), np.float32)
    weights[np.arange(len(rivals)), rivals] = 1
    weights[:, asked.loser] = -1
    copies = np.repeat(at[None], len(rivals), axis=0).astype(np.float32)
    slopes = asked.model.gradient(copies, weights).astype(np.float64)  # (r, H, W)
    asked.rows += len(rivals) + 1
    leads = weights @ asked.model.forward(copies[:1])[0].astype(np.float64)  # (r,), negative
    squares = (slopes**2).sum(axis=(1, 2)) + 1e-12
    nearest = int(np.argmin((FLIPPED - leads) / np.sqrt(squares)))
    step: Array = (FLIPPED - leads[nearest]) / squares[nearest] * slopes[nearest]
    return step
