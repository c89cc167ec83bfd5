"""PGD (projected gradient descent): many small steps up the margin inside a box around the picture, for boxes of many
sizes at once."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.attacks.margin import FLIPPED, Objective, adversarial_example
from server.attacks.types import AdversarialExample
from server.options import option
from server.types import Array, Model

BOXES = 16  # sizes tried at once, then once more between the last that failed and the first that flipped


@dataclass(frozen=True)
class Pgd:
    """x <- project(x + s sign(d(margin) / dx)) onto the box |x' - x| <= e, from a random start; the smallest e up to
    `limit` that flips the answer.

    Differs from the paper: e is searched for instead of given. Cost: 32 * n_steps gradients and forwards at most. What
    it does not find may exist.
    """

    name: ClassVar[str] = "pgd"
    summary: ClassVar[str] = "Many small steps inside a box around the picture: the strongest of the three in Linf."
    paper: ClassVar[str] = "Madry et al., Towards Deep Learning Models Resistant to Attacks (2017), arXiv:1706.06083"

    limit: float = option(0.5, "largest change of a pixel (Linf); ink is 1", 0.01, 1.0)
    n_steps: int = option(20, "steps for each largest change that is tried", 1, 200)

    def search(
        self, model: Model, image: Array, source_class: int, target_class: int | None, seed: int
    ) -> AdversarialExample:
        objective = Objective(model, source_class, target_class)
        rng = np.random.default_rng(seed)
        low, high, best = 0.0, self.limit, None
        for _ in range(2):
            sizes = np.linspace(low, high, BOXES + 1)[1:]
            found = self._climb(objective, image, sizes, rng)
            flipped = objective.margins(found) >= FLIPPED
            if not flipped.any():
                break
            first = int(flipped.argmax())
            best, high = found[first], sizes[first]
            low = sizes[first - 1] if first else low
        return adversarial_example(objective, image, best)

    def _climb(self, objective: Objective, image: Array, sizes: Array, rng: np.random.Generator) -> Array:
        """For each box the picture (b, H, W) with the greatest margin seen on the way."""
        reach = sizes[:, None, None]
        lowest, highest = np.clip(image - reach, 0, 1), np.clip(image + reach, 0, 1)
        at = np.clip(image + reach * rng.uniform(-1, 1, (len(sizes), *image.shape)), lowest, highest)
        best, record = at, np.full(len(sizes), -np.inf)
        for step in range(self.n_steps + 1):
            margins, slopes = objective.slopes(at)
            better = margins > record
            best = np.where(better[:, None, None], at, best)
            record = np.maximum(record, margins)
            pace = 2.5 / self.n_steps if step < self.n_steps / 2 else 1 / self.n_steps
            at = np.clip(at + pace * reach * np.sign(slopes), lowest, highest)
        return best
