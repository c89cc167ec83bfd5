"""Where explaining is done: a few threads of low priority beside those that answer requests, and never a queue.

A request takes a ticket, one of as many as there are slots, or is told at once that there is none. Its own thread waits
and may leave; the work goes on for as long as anybody waits for it. Knows neither HTTP nor what the work is.
"""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil, inf
from queue import SimpleQueue
from statistics import median
from typing import Any, Generic, TypeVar, cast

from server.errors import Busy, ClientLeft, OutOfTime, ServiceError, Stopping

T = TypeVar("T")
Interrupt = Callable[[], None]
"""Raises where work is not to go on: nobody waits for it any more, or the server stops."""
Work = Callable[[Interrupt], T]

POLL = 0.1  # seconds between two looks at whether the caller is still there
OVERRUN = 2.0  # seconds that a caller waits beyond the deadline for work that ends at its next look at the clock
LONGEST_RETRY = 30  # seconds
AT_EXIT = 5.0  # seconds that a process waits in the end for work that nobody wants any more
RECENT = 32

log = logging.getLogger(__name__)


class NotYet(Exception):
    """The work goes on. The caller still counts as one who waits, until they `wait` again or `leave`."""


@dataclass(frozen=True)
class Caller:
    """Who waits for an answer: until when, and whether they are still there."""

    deadline: float
    budget: float  # seconds, for messages
    now: Callable[[], float]
    gone: Callable[[], bool]

    def left(self) -> float:
        """Seconds until the deadline; less than 0 after it."""
        return self.deadline - self.now()

    def look(self) -> None:
        """Raises ClientLeft where nobody waits any more."""
        if self.gone():
            raise ClientLeft("the client left before there was an answer")

    def check(self) -> None:
        """Raises OutOfTime where the deadline has passed."""
        if self.left() <= 0:
            raise OutOfTime.after(self.budget)


PATIENT = Caller(inf, inf, time.monotonic, lambda: False)
"""Who waits for ever."""


class Ticket:
    """The right to one slot, from when it is taken until everybody who holds it has let it go."""

    def __init__(self, slots: "Slots", since: float, deadline: float) -> None:
        self.since, self.deadline = since, deadline
        self._slots = slots
        self._holders = 1
        self._lock = threading.Lock()

    def hold(self) -> "Ticket":
        with self._lock:
            self._holders += 1
        return self

    def drop(self) -> None:
        with self._lock:
            self._holders -= 1
            last = self._holders == 0
        if last:
            self._slots.give_back(self)


class Job(Generic[T]):
    """Work in a slot, and those who wait for it. What it holds (`held`) is let go when it ends, whoever has left."""

    def __init__(
        self, work: Work[T], held: ExitStack, ticket: Ticket, began: float, stopped: Callable[[], bool]
    ) -> None:
        self.began, self.deadline = began, ticket.deadline
        self._work, self._held, self._ticket, self._stopped = work, held, ticket, stopped
        self._waiting = 1  # who started it
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def join(self) -> bool:
        """Wait for it too; False where it is about to end because nobody did."""
        with self._lock:
            if self._cancelled.is_set():
                return False
            self._waiting += 1
            return True

    def wait(self, caller: Caller, until: float = inf) -> T:
        """What the work gives, for one who started or joined it.

        Raises:
            ClientLeft: the caller is not there any more.
            NotYet: it is later than `until`.
            OutOfTime: the work goes on long after the caller's deadline.
            Exception: whatever the work raised.
        """
        try:
            while not self._done.wait(POLL):
                caller.look()
                if caller.now() >= until:
                    raise NotYet
                if caller.left() < -OVERRUN:
                    raise OutOfTime.after(caller.budget)
        except NotYet:
            raise
        except BaseException:
            self.leave()
            raise
        self.leave()
        try:
            if self._error is not None:
                raise self._error
            return cast(T, self._result)
        finally:
            del self  # an error's traceback has this frame, and this frame the error

    def leave(self) -> None:
        """Wait for it no longer, for one who started or joined it: work that nobody waits for ends."""
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0:
                self._cancelled.set()

    def cancel(self) -> None:
        self._cancelled.set()

    def run(self) -> None:
        """Do the work; called once, by the thread of a slot."""
        try:
            with self._held:
                self._result = self._work(self._interrupt)
        except BaseException as error:  # belongs to those who wait
            # a traceback keeps whatever its frames have, and they are kept by it; a stranger's is for the log
            self._error = error.with_traceback(None) if isinstance(error, ServiceError) else error
            if self._cancelled.is_set() and not isinstance(error, ServiceError):
                log.exception("work that nobody waited for failed")
        finally:
            self._work = self._nothing
            self._ticket.drop()
            self._done.set()
            del self

    def _interrupt(self) -> None:
        if self._cancelled.is_set():
            raise ClientLeft("nobody waits for this any more")
        if self._stopped():
            raise Stopping("the server is stopping; send this to another, or again in a few seconds")

    @staticmethod
    def _nothing(interrupt: Interrupt) -> Any:
        raise AssertionError("work is done once")


class Slots:
    """`count` threads for work, started with the first of it; tickets are the only way to them."""

    def __init__(
        self,
        count: int,
        niceness: int = 0,
        now: Callable[[], float] = time.monotonic,
        on_taken: Callable[[int], None] = lambda change: None,
    ) -> None:
        """`on_taken` is told 1 when a ticket is taken, and -1 when it is given back."""
        self.count, self._on_taken = count, on_taken
        self._niceness, self._now = niceness, now
        self._lock = threading.Lock()
        self._taken: set[Ticket] = set()
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds that tickets were out
        self._stop_at = inf
        self._threads: list[threading.Thread] = []
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._jobs: weakref.WeakSet[Job[Any]] = weakref.WeakSet()
        weakref.finalize(self, _end, self._queue, self._threads, self._jobs)  # at the process's exit at the latest

    def ticket(self, deadline: float) -> Ticket:
        """A ticket for work until `deadline`.

        Raises:
            Busy: none is left; the error says when one may be.
        """
        with self._lock:
            now = self._now()
            if len(self._taken) >= self.count:
                all_of_them = f"all {self.count} explanations that this process works on at once are under way"
                raise Busy(all_of_them, self._free_in(now))
            ticket = Ticket(self, now, deadline)
            self._taken.add(ticket)
        self._on_taken(1)
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        with self._lock:
            self._taken.discard(ticket)
            self._recent.append(self._now() - ticket.since)
        self._on_taken(-1)

    def start(self, work: Work[T], held: ExitStack, ticket: Ticket) -> Job[T]:
        """`work` begun under `ticket`; what `held` holds is its own from now on."""
        with self._lock:
            while len(self._threads) < self.count:
                name = f"slot-{len(self._threads)}"
                thread = threading.Thread(target=_serve, args=(self._queue, self._niceness), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
            job = Job(work, held.pop_all(), ticket.hold(), self._now(), self._is_stopped)
            self._jobs.add(job)
        self._queue.put(job)
        return job

    def stop_within(self, seconds: float) -> None:
        """Work ends after so long, with what it has by then. Takes no lock: it is called by a signal's handler."""
        self._stop_at = self._now() + seconds

    def _is_stopped(self) -> bool:
        return self._now() >= self._stop_at

    def _free_in(self, now: float) -> int:
        """Whole seconds until a ticket may come back: out as long as others were of late, at most to its deadline."""
        typical = median(self._recent) if self._recent else inf
        usual = {one: one.since + typical for one in self._taken}
        soonest = min(one.deadline if end <= now else min(end, one.deadline) for one, end in usual.items())
        return min(max(ceil(soonest - now), 1), LONGEST_RETRY)


def step_back(niceness: int) -> None:
    """Lower the priority of the running thread, and of those that it will start: the scheduler then prefers others."""
    if hasattr(os, "setpriority"):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)


def _serve(queue: "SimpleQueue[Job[Any] | None]", niceness: int) -> None:
    step_back(niceness)
    while (job := queue.get()) is not None:
        job.run()
        del job  # an idle thread keeps nobody's pictures


def _end(
    queue: "SimpleQueue[Job[Any] | None]", threads: list[threading.Thread], jobs: "weakref.WeakSet[Job[Any]]"
) -> None:
    """Let the threads end, and wait for those in the middle of something: a process that ends under a thread which is
    inside TensorFlow aborts."""
    for job in list(jobs):
        job.cancel()
    for _ in threads:
        queue.put(None)
    limit = time.monotonic() + AT_EXIT
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, limit - time.monotonic()))
