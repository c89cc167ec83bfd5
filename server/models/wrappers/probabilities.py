"""A Model whose outputs are probabilities instead of logits, so that every explainer can explain either.

p = softmax(z / T), so d(w . p) / dx is the gradient of the logits weighted with p (w - w . p) / T: one more forward.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from server.models.wrappers.wrapper import ModelWrapper
from server.types import Array, Features


@dataclass
class AddedForwards:
    """The rows that slopes of probabilities took beside those that were asked for. For one thread at a time."""

    rows: int = 0


@dataclass(frozen=True)
class ProbabilityModel(ModelWrapper):
    """`model` seen through its calibrated softmax; weights weigh probabilities."""

    added: AddedForwards = field(default_factory=AddedForwards)

    def forward(self, images: Array) -> Array:
        """Probabilities (n, K) float64 of images (n, H, W)."""
        return probabilities_of(self.model.forward(images), self.card.temperature)

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . probabilities) / d images, (n, H, W)."""
        return self.model.gradient(images, self._on_logits(images, weights))

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images; the feature gradient is that of weights . probabilities."""
        return self.model.features(images, self._on_logits(images, weights))

    def _on_logits(self, images: Array, weights: Array) -> Array:
        self.added.rows += len(images)
        p = self.forward(images)
        mean = (weights * p).sum(axis=1, keepdims=True)
        on_logits: Array = (p * (weights - mean) / self.card.temperature).astype(np.float32)
        return on_logits


def probabilities_of(logits: Array, temperature: float) -> Array:
    """softmax(logits / temperature) in float64, for logits (n, K)."""
    scaled = logits.astype(np.float64) / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    calibrated: Array = shares / shares.sum(axis=1, keepdims=True)
    return calibrated


def calibrated(logits: Sequence[float], temperature: float) -> tuple[list[float], float]:
    """Of the finite logits (K,) of one image: softmax(logits / temperature), and the energy score
    temperature * logsumexp(logits / temperature). For so few numbers a fifth of the time of arrays."""
    highest = max(logits)
    shares = [math.exp((logit - highest) / temperature) for logit in logits]
    total = sum(shares)
    return [share / total for share in shares], temperature * math.log(total) + highest
