"""What all attacks share: how far a picture is from being answered otherwise, and how the last step is made small."""

from dataclasses import dataclass

import numpy as np

from server.attacks.types import AdversarialExample
from server.types import Array, Model

FLIPPED = 0.01  # logits by which the other class must lead, so that a twin of the model agrees
HALVINGS = 12  # of the last interval: a 4,000th of it remains


@dataclass
class Objective:
    """A model that is asked for margins, with the rows that it took. The margin of a picture, in logits, is the lead of
    the best other class over the one that is to lose; or, where a class is wanted, its lead over the best other."""

    model: Model
    loser: int
    wanted: int | None
    rows: int = 0

    def margins(self, images: Array) -> Array:
        """(n,) margins of images (n, H, W)."""
        return self._margins(self.model.forward(images.astype(np.float32)))[0]

    def slopes(self, images: Array) -> tuple[Array, Array]:
        """Margins (n,) and their gradients (n, H, W)."""
        logits = self.model.forward(images.astype(np.float32))
        margins, ahead, behind = self._margins(logits)
        weights = np.zeros(logits.shape, np.float32)
        weights[np.arange(len(images)), ahead] = 1
        weights[np.arange(len(images)), behind] = -1
        self.rows += len(images)
        return margins, self.model.gradient(images.astype(np.float32), weights).astype(np.float64)

    def _margins(self, logits: Array) -> tuple[Array, Array, Array]:
        """The margins (n,), and the classes (n,) whose difference they are."""
        self.rows += len(logits)
        rows, logits = np.arange(len(logits)), logits.astype(np.float64)
        hidden = logits.copy()  # without the one class that is fixed
        hidden[:, self.loser if self.wanted is None else self.wanted] = -np.inf
        best = hidden.argmax(axis=1)
        fixed = np.full(len(logits), self.loser if self.wanted is None else self.wanted)
        ahead, behind = (best, fixed) if self.wanted is None else (fixed, best)
        return logits[rows, ahead] - logits[rows, behind], ahead, behind


def shortened(asked: Objective, image: Array, flipped: Array) -> Array:
    """A flipped picture (H, W) as near to `image` as the straight line between them allows."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if asked.margins((image + middle * (flipped - image))[None])[0] >= FLIPPED:
            high = middle
        else:
            low = middle
    nearest: Array = (image + high * (flipped - image)).astype(np.float32)
    return nearest


def outcome(asked: Objective, image: Array, flipped: Array | None) -> AdversarialExample:
    """What was found, or that nothing was."""
    if flipped is None:
        return AdversarialExample(None, None, None, asked.rows)
    nearest = shortened(asked, image, flipped)
    change = (nearest - image).astype(np.float64)
    return AdversarialExample(nearest, float(np.linalg.norm(change)), float(np.abs(change).max()), asked.rows)
