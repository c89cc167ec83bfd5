"""The objective that all attacks maximise (the margin), and the search for the smallest change along a line."""

from dataclasses import dataclass

import numpy as np

from server.attacks.types import AdversarialExample
from server.types import Array, Model

FLIPPED = 0.01  # logits by which the other class must lead, so that a twin of the model agrees
HALVINGS = 12  # of the last interval: a 4,000th of it remains
WHITE = 65535  # the highest level of grey with 16 bits


@dataclass
class Objective:
    """The margin of a picture in logits, with the rows that computing it took. Untargeted, it is the lead of the best
    other class over the source class; targeted, the lead of the target class over the best other."""

    model: Model
    source_class: int
    target_class: int | None
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
        hidden[:, self.source_class if self.target_class is None else self.target_class] = -np.inf
        best = hidden.argmax(axis=1)
        fixed = np.full(len(logits), self.source_class if self.target_class is None else self.target_class)
        ahead, behind = (best, fixed) if self.target_class is None else (fixed, best)
        return logits[rows, ahead] - logits[rows, behind], ahead, behind


def shortened(objective: Objective, image: Array, flipped: Array) -> Array:
    """A flipped picture (H, W) as near to `image` as the straight line between them allows, in levels of 16 bits."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if objective.margins(in_levels(image + middle * (flipped - image))[None])[0] >= FLIPPED:
            high = middle
        else:
            low = middle
    return in_levels(image + high * (flipped - image))


def in_levels(pixels: Array) -> Array:
    """The pixels in [0, 1] rounded to what a PNG of 16 bits can say, float32: so that a file of them is the very
    picture that was judged. Levels of 8 bits are among those."""
    rounded: Array = np.rint(pixels.astype(np.float64) * WHITE).astype(np.float32) / np.float32(WHITE)
    return rounded


def adversarial_example(objective: Objective, image: Array, flipped: Array | None) -> AdversarialExample:
    """The flipped picture brought as near to `image` as possible, with its distances; or that none was found."""
    if flipped is None:
        return AdversarialExample(None, None, None, objective.rows)
    nearest = shortened(objective, image, flipped)
    change = (nearest - image).astype(np.float64)
    return AdversarialExample(nearest, float(np.linalg.norm(change)), float(np.abs(change).max()), objective.rows)
