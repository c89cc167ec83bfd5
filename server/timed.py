"""A Model that answers only until a deadline, by the clock that it is given."""

from collections.abc import Callable
from dataclasses import dataclass

from server.errors import OutOfTime
from server.types import Array, Features, Model, ModelCard, Verb


@dataclass(frozen=True)
class Timed:
    """A model that answers only until the deadline; explainers ask in bounded steps, so they end soon after it."""

    model: Model
    deadline: float
    budget: float  # seconds, for the message
    now: Callable[[], float]

    @property
    def card(self) -> ModelCard:
        return self.model.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.model.verbs

    def forward(self, images: Array) -> Array:
        self._check()
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self._check()
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self._check()
        return self.model.features(images, weights)

    def left(self) -> float:
        """Seconds until the deadline; less than 0 after it."""
        return self.deadline - self.now()

    def _check(self) -> None:
        if self.left() <= 0:
            raise OutOfTime(
                f"no result within {self.budget * 1000:.0f} ms; raise budget_ms or ask for a cheaper method"
            )
