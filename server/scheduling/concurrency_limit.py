"""Runs work in a few threads of low priority and refuses what is beyond them (a bulkhead): there is never a queue.

A request acquires a permit, one of as many as there are threads, or is told at once that there is none and when to come
back. Must not know what the work is, nor which requests wait for it.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from math import ceil, inf
from queue import SimpleQueue
from statistics import median

from server.errors import Busy

Function = Callable[[], None]

LONGEST_RETRY = 30  # seconds
AT_EXIT = 5.0  # seconds that a process waits at its exit for cancelled work
RECENT = 32  # permits whose durations are remembered


class Permit:
    """The right to one thread of the pool, until all holders have released it (reference counting)."""

    def __init__(self, pool: "BoundedPool", since: float, deadline: float) -> None:
        self.since, self.deadline = since, deadline
        self._pool = pool
        self._holders = 1
        self._lock = threading.Lock()

    def hold(self) -> "Permit":
        with self._lock:
            self._holders += 1
        return self

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            is_last = self._holders == 0
        if is_last:
            self._pool.take_back(self)


class BoundedPool:
    """`size` threads, started with the first work; permits are the only way to them."""

    def __init__(
        self,
        size: int,
        niceness: int = 0,
        now: Callable[[], float] = time.monotonic,
        on_change: Callable[[int], None] = lambda change: None,
    ) -> None:
        """`on_change` is called with 1 when a permit is acquired and with -1 when it is released."""
        self.size = size
        self._now, self._on_change = now, on_change
        self._niceness = niceness
        self._threads: list[threading.Thread] = []
        self._queue: SimpleQueue[Function | None] = SimpleQueue()
        self._exiting = threading.Event()
        # at the process's exit at the latest; an executor's exit would wait for the longest budget
        weakref.finalize(self, _end, self._queue, self._threads, self._exiting)
        self._lock = threading.Lock()
        self._permits: set[Permit] = set()
        self._durations: deque[float] = deque(maxlen=RECENT)  # seconds
        self._stop_at = inf

    def acquire(self, deadline: float) -> Permit:
        """A permit for work that ends by `deadline`.

        Raises:
            Busy: none is left; the error says when one may be.
        """
        with self._lock:
            now = self._now()
            if len(self._permits) >= self.size:
                raise Busy(
                    f"all {self.size} explanations that this process works on at once are under way",
                    self._retry_after(now),
                )
            permit = Permit(self, now, deadline)
            self._permits.add(permit)
        self._on_change(1)
        return permit

    def take_back(self, permit: Permit) -> None:
        with self._lock:
            self._permits.discard(permit)
            self._durations.append(self._now() - permit.since)
        self._on_change(-1)

    def run(self, function: Function) -> None:
        """Run the function in a thread of the pool. The caller must hold a permit until it has ended."""
        with self._lock:
            while len(self._threads) < self.size:
                thread = threading.Thread(
                    target=_serve,
                    args=(self._queue, self._niceness),
                    name=f"explain-{len(self._threads)}",
                    daemon=True,
                )
                try:
                    thread.start()
                except RuntimeError:  # the system has no more
                    if not self._threads:
                        raise
                    break
                self._threads.append(thread)
        self._queue.put(function)

    def stop_within(self, seconds: float) -> None:
        """Have all work end after so long, with what it has by then. Takes no lock: a signal handler calls it."""
        self._stop_at = self._now() + seconds

    @property
    def is_stopping(self) -> bool:
        return self._exiting.is_set() or self._now() >= self._stop_at

    def _retry_after(self, now: float) -> int:
        """Whole seconds until a permit may be released: after as long as is usual of late, at its deadline at most."""
        usual = median(self._durations) if self._durations else inf
        ends = {one: one.since + usual for one in self._permits}
        soonest = min(one.deadline if end <= now else min(end, one.deadline) for one, end in ends.items())
        return min(max(ceil(soonest - now), 1), LONGEST_RETRY)


def lower_thread_priority(niceness: int) -> None:
    """Lower the priority of the calling thread, and of threads that it will start."""
    if hasattr(os, "setpriority"):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)


def _serve(queue: "SimpleQueue[Function | None]", niceness: int) -> None:
    lower_thread_priority(niceness)
    while (function := queue.get()) is not None:
        function()
        del function  # an idle thread must not keep a request's pictures


def _end(queue: "SimpleQueue[Function | None]", threads: list[threading.Thread], exiting: threading.Event) -> None:
    """Let the threads end, and wait for the busy ones: a process that ends while a thread is inside
    TensorFlow aborts."""
    exiting.set()
    for _ in threads:
        queue.put(None)
    limit = time.monotonic() + AT_EXIT
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, limit - time.monotonic()))
