"""Requests in threads of their own before a model that computes on command, so that tests know which wait."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from server.models.batching.request import CallOptions, Limits, Outputs
from server.models.batching.scheduler import BatchScheduler
from server.types import Array
from tests.support.clock import PATIENCE, Clock

LARGE = Limits(batch=512, explain=512, queue=10_000)
PREDICTION, EXPLANATION = CallOptions(is_prediction=True), CallOptions(is_prediction=False)


class WatchedClock(Clock):
    """Records the threads that read it: a thread that waits in a queue did, to learn for how long."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def seen(self, thread: str) -> threading.Event:
        with self._lock:
            return self._seen.setdefault(thread, threading.Event())

    def __call__(self) -> float:
        self.seen(threading.current_thread().name).set()
        return super().__call__()


@dataclass
class Doubling:
    """Twice each row; the first call waits for `go`. Rows of 666 cannot be computed, nor anything beside them."""

    calls: list[Array] = field(default_factory=list)
    by: list[str] = field(default_factory=list)  # the threads that called
    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, rows: Array) -> Outputs:
        self.calls.append(rows)
        self.by.append(threading.current_thread().name)
        if not self.began.is_set():
            self.began.set()
            assert self.go.wait(PATIENCE)
        if (rows == 666).any():
            raise ArithmeticError("666")
        return (rows * 2, None)

    @property
    def sizes(self) -> list[int]:
        return [len(rows) for rows in self.calls]


class Request:
    """Rows asked in a thread of their own."""

    def __init__(self, name: str, ask: Callable[[], Any]) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self._ask = ask
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except BaseException as error:
            self.error = error

    def join(self) -> "Request":
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), f"{self.thread.name} waits for ever"
        return self


class Scene:
    """A scheduler before `Doubling`, which is busy with a row of a request called `busy` until `end`."""

    def __init__(self, kind: type[BatchScheduler], limits: Limits = LARGE) -> None:
        self.clock, self.compute = WatchedClock(), Doubling()
        self.reported: list[int] = []
        self.scheduler = kind(self.compute, limits, self.clock, self.reported.append)
        self.requests: dict[str, Request] = {}

    def ask(self, name: str, rows: Any, options: CallOptions = EXPLANATION) -> Request:
        """Rows that are waiting when this returns, unless they are refused or the model is idle."""
        array = np.asarray(rows, np.float32)
        self.requests[name] = request = Request(name, lambda: self.scheduler.submit([array], options))
        seen = self.clock.seen(name)
        while not seen.wait(0.01) and request.thread.is_alive():
            pass  # a refused request never reads the clock
        return request

    def end(self) -> None:
        """Let the model compute, and wait until everybody has an answer."""
        self.compute.go.set()
        for request in self.requests.values():
            request.join()

    def answered(self, name: str) -> Array:
        request = self.requests[name]
        assert request.error is None, request.error
        first, second = request.answer
        assert second is None
        found: Array = first
        return found


@contextmanager
def busy(kind: type[BatchScheduler], limits: Limits = LARGE) -> Iterator[Scene]:
    """A model that is busy with one row of an explanation; calls within the block wait."""
    scene = Scene(kind, limits)
    scene.ask("busy", [0])
    assert scene.compute.began.wait(PATIENCE)
    try:
        yield scene
    finally:
        scene.end()
