"""A Model with a queue before it, as one request asks it: what waits there is dropped when it is not wanted any more.

Lives apart from the queue itself, which wrappers of models need not know.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from server.types import Model


@runtime_checkable
class Queued(Protocol):
    """A Model with a queue, or one that asks such a Model."""

    def within(self, seconds: float, interrupt: Callable[[], None]) -> Model:
        """This model for a request of low priority, whose rows are dropped from the queue after so many seconds, and
        where `interrupt` raises a ServiceError."""
        ...


def within(model: Model, seconds: float, interrupt: Callable[[], None] = lambda: None) -> Model:
    """`model` as a request asks it that has so many seconds left: the same where it has no queue."""
    return model.within(seconds, interrupt) if isinstance(model, Queued) else model


def ahead(model: Model, left: Callable[[], float], interrupt: Callable[[], None]) -> Model:
    """`model` as a prediction asks it that has `left()` seconds left and ends where `interrupt` raises a ServiceError.
    The same where it has no queue, and then nobody is asked: a twin's answer takes less time than such looks."""
    ask: Callable[[float, Callable[[], None]], Model] | None = getattr(model, "ahead", None)
    return model if ask is None else ask(left(), interrupt)
