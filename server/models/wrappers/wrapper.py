"""A Model that delegates to another one (decorator); what derives from it overrides what it changes."""

from dataclasses import dataclass

from server.types import Array, Features, Model, ModelCard, Verb


@dataclass(frozen=True)
class ModelWrapper:
    """Answers as `model` does."""

    model: Model

    @property
    def card(self) -> ModelCard:
        return self.model.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.model.verbs

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        return self.model.features(images, weights)
