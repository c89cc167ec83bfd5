"""Who waits and works in tests of slots and flights: clients that leave, work that goes on until it is let go."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from server.errors import Busy
from server.slots import Caller, Interrupt, Slots, Ticket

PATIENCE = 20  # seconds, on the slowest machine


@dataclass
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Client:
    """Somebody who waits; `asked` is set when the server looks whether they are still there."""

    left: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def gone(self) -> bool:
        self.asked.set()
        return self.left.is_set()

    def waits(self, budget: float = 60.0, now: Callable[[], float] = time.monotonic) -> Caller:
        return Caller(now() + budget, budget, now, self.gone)


@dataclass
class Task:
    """Work that goes on until it is let go or interrupted, and what it holds."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    deaf: bool = False
    thread: threading.Thread | None = None

    def __call__(self, interrupt: Interrupt) -> str:
        self.thread = threading.current_thread()
        self.begun.set()
        while not self.go.wait(0.01):
            if not self.deaf:
                interrupt()
        return "done"

    def held(self) -> ExitStack:
        held = ExitStack()
        held.callback(self.let_go.set)
        return held


def caught(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        return error


def free(slots: Slots) -> Ticket:
    """A ticket, when there is one again."""
    deadline = time.monotonic() + PATIENCE
    while isinstance(found := caught(lambda: slots.ticket(0)), Busy):
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)  # polls another thread
    assert isinstance(found, Ticket)
    return found


def wait_for(outcome: list[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not outcome:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)  # polls another thread
