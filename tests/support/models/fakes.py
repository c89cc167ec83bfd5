"""Models whose right explanations are known by hand. They count the rows that they are asked.

All take images (n, 8, 8), small enough for brute force, and give 3 classes, unless their card says otherwise; the class
called "0" is index 0, so that a method which takes 0 for "none" is caught.
"""

from dataclasses import dataclass, field

import numpy as np

from server.types import Array, Features, ImageSpec, ModelCard, Verb

SIDE = 8
CLASSES = 3
EVERYTHING: frozenset[Verb] = frozenset({"forward", "gradient", "features", "feature_map", "attention"})


def make_card(
    name: str = "fake", version: str = "1", side: int = SIDE, temperature: float = 2.0, classes: int = CLASSES
) -> ModelCard:
    background = np.random.default_rng(5).random((6, side, side), np.float32) * 0.5
    return ModelCard(
        name, version, f"sha256:{name}{version}", "fake", tuple(str(k) for k in range(classes)), ImageSpec(side, side),
        temperature, -1e9, background, EVERYTHING,
    )  # fmt: skip


@dataclass
class Fake:
    """Base: counts rows; subclasses give `logits` and `slopes` in float64."""

    card: ModelCard = field(default_factory=make_card)
    verbs: frozenset[Verb] = EVERYTHING
    rows: int = 0

    def directions(self) -> Array:
        """(K, H, W) weights, different for every class."""
        shape = (len(self.card.classes), self.card.image.height, self.card.image.width)
        return np.random.default_rng(1).normal(size=shape)

    def forward(self, images: Array) -> Array:
        self.rows += len(images)
        return self.logits(images.astype(np.float64))

    def gradient(self, images: Array, weights: Array) -> Array:
        self.rows += len(images)
        return np.einsum("nk,nkhw->nhw", weights.astype(np.float64), self.slopes(images.astype(np.float64)))

    def features(self, images: Array, weights: Array) -> Features:
        """The image's four quadrant means as one channel of a 2 x 2 map, and attention in proportion to the ink."""
        self.rows += len(images)
        n, height, width = images.shape
        quadrants = images.reshape(n, 2, height // 2, 2, width // 2).mean(axis=(2, 4))[..., None]
        slopes = np.full_like(quadrants, 1.0) * (weights @ np.arange(1.0, weights.shape[1] + 1))[:, None, None, None]
        ink = images.sum(axis=(1, 2), keepdims=True)
        return Features(quadrants.reshape(n, -1), quadrants, slopes, images / ink)

    def logits(self, images: Array) -> Array:
        raise NotImplementedError

    def slopes(self, images: Array) -> Array:
        raise NotImplementedError


class Linear(Fake):
    """logits_k = w_k . x + k: a pixel's part is w x for every method."""

    def logits(self, images: Array) -> Array:
        return np.einsum("nhw,khw->nk", images, self.directions()) + np.arange(len(self.card.classes))

    def slopes(self, images: Array) -> Array:
        return np.broadcast_to(self.directions(), (len(images), *self.directions().shape))


class Square(Fake):
    """logits_k = (w_k . x)^2: from black, integrated gradients are x w_k (w_k . x), and cells interact in pairs."""

    def logits(self, images: Array) -> Array:
        return np.einsum("nhw,khw->nk", images, self.directions()) ** 2

    def slopes(self, images: Array) -> Array:
        inner = np.einsum("nhw,khw->nk", images, self.directions())
        return 2 * inner[:, :, None, None] * self.directions()


class Wavy(Fake):
    """logits_k = sum of sin(3 w_k x) over pixels: smooth, not polynomial; pixels do not interact."""

    def logits(self, images: Array) -> Array:
        return np.sin(3 * images[:, None] * self.directions()).sum(axis=(2, 3))

    def slopes(self, images: Array) -> Array:
        return 3 * self.directions() * np.cos(3 * images[:, None] * self.directions())


def ink(seed: int = 0, side: int = SIDE) -> Array:
    """An image (side, side) float32 with ink in its left three quarters and empty paper at the right."""
    image = np.random.default_rng(seed).random((side, side), np.float32) * 0.9 + 0.1
    image[:, side * 3 // 4 :] = 0
    return image
