"""The protocol between a request and the scheduler: what a request submits, and what it gets back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from server.protocols import RequestContext

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Publish = Callable[[Callable[[], T]], None]
"""Offers the latest partial value, as a function that makes it: it is made only if a request reads it."""
Interrupt = Callable[[], None]
"""Raises a ServiceError when the work must not go on: every request has left, or the server stops."""
Work = Callable[[Publish[T], Interrupt], T]


class TaskKey(NamedTuple):
    """The key of equal work: an id, under which its value is cached, and what is wanted beside it."""

    id: str
    extras: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Outcome(Generic[T_co]):
    """A value, and how this request came by it."""

    value: T_co
    source: Literal["cache", "shared", "computed"]
    waited: float  # seconds


class Task(Protocol[T_co]):
    """What one request submitted (a future)."""

    def result(self) -> Outcome[T_co]:
        """Wait for the value. Raises what the work raised, ClientLeft, or OutOfTime."""
        ...

    def updates(self) -> Iterator[T_co]:
        """Partial values as they come, until the work ends; a slow reader skips all but the latest."""
        ...


def always(value: object) -> bool:
    """No value could be more complete."""
    return True


class Session(Protocol):
    """Runs the work of one request. Use it as a context manager: leaving it gives up work that still runs."""

    @property
    def context(self) -> RequestContext: ...

    def submit(
        self,
        work: Work[T],
        key: TaskKey | None = None,
        resources: ExitStack | None = None,
        is_enough: Callable[[T], bool] = always,
    ) -> Task[T]:
        """Begin the work, unless its value is kept or being computed under an equal `key`; without a key it is neither
        looked up nor shared.

        `resources` go over to the work when it begins, and are closed when it ends, perhaps after this request; where
        none begins they stay the caller's. `is_enough` says whether a value is all that the request wants: only
        such values are kept, and a request with more time than another had does not settle for less.

        Raises:
            Busy: no permit is left, or too many wait for others' work.
        """
        ...

    def keep(self, value: T) -> T:
        """Put a value into the cache in place of the one that is kept, and give it back as it is kept."""
        ...
