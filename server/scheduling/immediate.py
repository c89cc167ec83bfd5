"""Runs work at once, in the thread that submits it: for commands, benchmarks and tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.protocols import NO_DEADLINE, RequestContext
from server.scheduling.session import Outcome, TaskKey, Work, always

T = TypeVar("T")


@dataclass(frozen=True)
class _Done(Generic[T]):
    """A task that has ended."""

    outcome: Outcome[T]

    def result(self) -> Outcome[T]:
        return self.outcome

    def updates(self) -> Iterator[T]:
        return iter(())


@dataclass(frozen=True)
class ImmediateSession:
    """A Session without a pool, a cache or anybody to share with."""

    context: RequestContext = NO_DEADLINE

    def submit(
        self,
        work: Work[T],
        key: TaskKey | None = None,
        resources: ExitStack | None = None,
        is_enough: Callable[[T], bool] = always,
    ) -> _Done[T]:
        start = self.context.now()
        value = work(lambda make: None, self.context.raise_if_cancelled)
        return _Done(Outcome(value, "computed", self.context.now() - start))

    def keep(self, value: T) -> T:
        return value
