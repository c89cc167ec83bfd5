"""Ports: the context of a request, and what inference needs from the rest of the server.

Apart from types.py, which every file imports: only serving needs a store, a cache or a deadline.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, Protocol

from server.errors import OutOfTime
from server.types import Array, Explanation, Model, ModelCard, Runtime, Verb


def _never() -> None:
    """Nothing cancels this request."""


@dataclass(frozen=True)
class RequestContext:
    """The one owner of a request's deadline: until when its answer is wanted, and whether it still is.

    `raise_if_cancelled` raises a ServiceError when the client has left, or the server stops.
    """

    deadline: float  # of `now`
    budget: float  # seconds from its beginning to the deadline, for messages
    now: Callable[[], float] = time.monotonic
    raise_if_cancelled: Callable[[], None] = _never

    @staticmethod
    def within(
        seconds: float,
        now: Callable[[], float] = time.monotonic,
        raise_if_cancelled: Callable[[], None] = _never,
    ) -> "RequestContext":
        """A context whose deadline is `seconds` from now."""
        return RequestContext(now() + seconds, seconds, now, raise_if_cancelled)

    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline - self.now()

    def raise_if_expired(self) -> None:
        """Raises OutOfTime after the deadline."""
        if self.remaining() <= 0:
            raise OutOfTime.after(self.budget)

    def share(self, parts: int) -> "RequestContext":
        """The same request with an earlier deadline: after one of `parts` equal parts of the remaining time."""
        return replace(self, deadline=self.now() + max(0.0, self.remaining()) / parts)

    def cancelled_by(self, raise_if_cancelled: Callable[[], None]) -> "RequestContext":
        """The same deadline for work that something else cancels, such as a task that several requests wait for."""
        return replace(self, raise_if_cancelled=raise_if_cancelled)


NO_DEADLINE = RequestContext(inf, inf)
"""The context of a request that waits for ever."""

KerasView = Callable[[Array, Literal["logit", "probability"]], Any]
"""Weights (K,) and an output -> a keras.Model from images (n, H, W) to weights . outputs, (n, 1)."""


class RequestModels(Protocol):
    """Models bound to one request: rows that wait, or are not begun yet, are dropped once it has ended."""

    def for_predict(self, context: RequestContext) -> Model: ...

    def for_explain(self, context: RequestContext) -> Model: ...


class ModelVersion(Protocol):
    """One version of one model, kept alive for the length of one request."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def verbs(self) -> frozenset[Verb]: ...

    def for_predict(self, context: RequestContext) -> Model:
        """The model that predicts. Rows that have to wait for it are dropped at the context's deadline or
        cancellation. Raises NotReady while it is loading."""
        ...

    def for_explain(self, context: RequestContext) -> Model:
        """The model that explains, with lower priority than predictions. Raises NotReady while it is loading."""
        ...

    def keras_view(self, context: RequestContext) -> KerasView | None:
        """For packages that differentiate a Keras model themselves; None if there is none. Raises NotReady, as the view
        itself does where TensorFlow is loaded for it and is not within the context's deadline."""
        ...

    @property
    def runtime(self) -> Runtime | None:
        """What computes explanations; None while nothing does."""
        ...


class ModelStore(Protocol):
    """Repository of the models that are served."""

    def handle(self, name: str, version: str | None) -> AbstractContextManager[ModelVersion]: ...


class ExplanationCache(Protocol):
    """Explanations kept for a while by their id. Keeping never fails: what cannot be kept is not."""

    @property
    def gone(self) -> str:
        """Why an explanation may not be here (any more), for people."""
        ...

    @property
    def max_age(self) -> int:
        """Seconds for which a client may assume that an explanation has not changed."""
        ...

    def get(self, identity: str) -> Explanation | None:
        """None if there is none, or if it cannot be looked up just now."""
        ...

    def find(self, identity: str) -> Explanation | None:
        """None if there is none. Raises NotReady if it cannot be looked up just now."""
        ...

    def put(self, explanation: Explanation) -> Explanation:
        """Keep it in place of any other with its id; the explanation, whose `kept` says whether it is."""
        ...


@dataclass(frozen=True)
class NoCache:
    """Null object: keeps nothing."""

    gone: str = "this server keeps no explanations"
    max_age: int = 0

    def get(self, identity: str) -> Explanation | None:
        return None

    def find(self, identity: str) -> Explanation | None:
        return None

    def put(self, explanation: Explanation) -> Explanation:
        return explanation
