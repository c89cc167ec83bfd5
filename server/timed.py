"""A Model that answers only until a deadline, by the clock that it is given."""

from collections.abc import Callable
from dataclasses import dataclass

from server.errors import OutOfTime
from server.queued import within
from server.types import Array, Features, Model, ModelCard, Verb


@dataclass(frozen=True)
class Timed:
    """A model that answers only until the deadline; explainers ask in bounded steps, so they end soon after it."""

    model: Model
    deadline: float
    budget: float  # seconds, for the message
    now: Callable[[], float]
    interrupt: Callable[[], None] = lambda: None  # raises where nobody waits for answers any more

    @property
    def card(self) -> ModelCard:
        return self.model.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.model.verbs

    def forward(self, images: Array) -> Array:
        return self._asked().forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        return self._asked().gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        return self._asked().features(images, weights)

    def left(self) -> float:
        """Seconds until the deadline; less than 0 after it."""
        return self.deadline - self.now()

    def _asked(self) -> Model:
        self._check()
        return within(self.model, self.left(), self.interrupt)

    def _check(self) -> None:
        self.interrupt()
        if self.left() <= 0:
            raise OutOfTime.after(self.budget)
