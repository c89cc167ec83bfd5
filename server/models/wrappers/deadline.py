"""A Model that answers only until a request's deadline."""

from dataclasses import dataclass

from server.models.wrappers.wrapper import ModelWrapper
from server.protocols import RequestContext
from server.types import Array, Features


@dataclass(frozen=True)
class DeadlineModel(ModelWrapper):
    """Raises what the context raises once the request is cancelled or its deadline has passed. Explainers work
    in bounded steps, so they end soon after it."""

    context: RequestContext

    def forward(self, images: Array) -> Array:
        self._check()
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self._check()
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self._check()
        return self.model.features(images, weights)

    def _check(self) -> None:
        self.context.raise_if_cancelled()
        self.context.raise_if_expired()
