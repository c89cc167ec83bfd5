"""Requests that wait for work in tests of scheduling: clients that leave, and work that goes on until it is let go."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from server.errors import Busy, ClientLeft
from server.protocols import RequestContext
from server.scheduling import BoundedPool, Interrupt, Publish
from server.scheduling.concurrency_limit import Permit
from tests.support.clock import PATIENCE


@dataclass
class Client:
    """A client that waits; `looked` is set when the server checks whether it is still connected."""

    left: threading.Event = field(default_factory=threading.Event)
    looked: threading.Event = field(default_factory=threading.Event)

    def raise_if_left(self) -> None:
        self.looked.set()
        if self.left.is_set():
            raise ClientLeft("the client left")

    def context(self, budget: float = 60.0, now: Callable[[], float] = time.monotonic) -> RequestContext:
        return RequestContext.within(budget, now, self.raise_if_left)

    def is_looked_for(self) -> None:
        """Wait until the server has looked twice: the first look may have begun before this."""
        for _ in range(2):
            self.looked.clear()
            assert self.looked.wait(PATIENCE)


@dataclass
class HeldWork:
    """Work that goes on until it is let go or interrupted, counts its runs, and holds something."""

    gives: Any = "done"
    publishes: tuple[Any, ...] = ()
    deaf: bool = False  # to interrupts
    runs: int = 0
    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def __call__(self, publish: Publish[Any], interrupt: Interrupt) -> Any:
        self.runs += 1
        self.thread = threading.current_thread()
        for value in self.publishes:
            publish(lambda value=value: value)  # type: ignore[misc]
        self.begun.set()
        while not self.go.wait(0.01):
            if not self.deaf:
                interrupt()
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    def resources(self) -> ExitStack:
        found = ExitStack()
        found.callback(self.released.set)
        return found


def caught(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        return error


def acquired(pool: BoundedPool) -> Permit:
    """A permit, when there is one again."""
    deadline = time.monotonic() + PATIENCE
    while isinstance(found := caught(lambda: pool.acquire(0)), Busy):
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)  # polls another thread
    assert isinstance(found, Permit)
    return found


def wait_for(outcome: list[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not outcome:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)  # polls another thread
