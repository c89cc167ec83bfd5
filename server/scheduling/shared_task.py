"""Work in the pool, shared by all requests that wait for it (a future with reference counting).

The work goes on while a request waits for it. It releases what it holds when it ends, even if every request has left.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from math import inf
from typing import Generic, Literal, TypeVar, cast

from server.errors import ClientLeft, OutOfTime, ServiceError, Stopping
from server.logs import carried
from server.protocols import RequestContext
from server.scheduling.concurrency_limit import BoundedPool, Permit
from server.scheduling.session import Work

T = TypeVar("T")

POLL = 0.1  # seconds between two checks whether the client is still connected
OVERRUN = 2.0  # seconds that a request waits beyond its deadline for work that is about to check the clock

log = logging.getLogger(__name__)


class SharedTask(Generic[T]):
    """Work begun by one request, whose deadline it has; others may join it."""

    source: Literal["cache", "computed"] = "computed"

    def __init__(self, resources: ExitStack, pool: BoundedPool, context: RequestContext) -> None:
        """`context` is that of the request that begins it."""
        self.began, self.deadline = context.now(), context.deadline
        self._resources, self._pool = resources, pool
        self._waiting = 1  # the request that began it
        self._cancelled = False
        self._ended = False
        self._changed = threading.Condition()
        self._published = 0
        self._latest: Callable[[], T] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def start(self, work: Work[T], permit: Permit) -> None:
        """Run the work in the pool, which takes this permit until it ends."""
        self._resources.callback(permit.hold().release)
        try:
            self._pool.run(carried(partial(self._run, work)))
        except BaseException:  # no thread could be started
            self._resources.close()
            raise

    def join(self) -> bool:
        """Wait for it too; False if it is cancelled already and about to end."""
        with self._changed:
            if not self._cancelled:
                self._waiting += 1
            return not self._cancelled

    def leave(self) -> None:
        """Stop waiting for it, after starting or joining it: work that nobody waits for is cancelled."""
        with self._changed:
            self._waiting -= 1
            self._cancelled = self._cancelled or self._waiting == 0

    def wait(self, context: RequestContext) -> T:
        """The value of the work. A request with less time than the work has gets the latest partial at its deadline.

        Raises:
            ClientLeft: the client is not there any more.
            OutOfTime: nothing was published by the deadline; the request's own work has OVERRUN seconds more to end.
            Exception: what the work raised.
        """
        while not self._wait_for_change(context):
            # work with the same deadline or an earlier one is about to end; else there is nothing to wait for
            overrun = 0.0 if self.deadline > context.deadline else OVERRUN
            if context.remaining() <= -overrun:
                if (latest := self._latest) is not None:
                    return latest()
                raise OutOfTime.after(context.budget)
        try:
            if self._error is not None:
                raise self._error
            return cast(T, self._result)
        finally:
            del self  # an error's traceback has this frame, and this frame the error

    def updates(self, context: RequestContext) -> Iterator[T]:
        """Partial values until the work ends, each the latest at its time. Raises ClientLeft, OutOfTime."""
        seen = 0
        while True:
            while not self._wait_for_change(context, seen):
                if context.remaining() < -OVERRUN:
                    raise OutOfTime.after(context.budget)
            with self._changed:
                if self._ended:
                    return
                latest, seen = self._latest, self._published
            assert latest is not None
            yield latest()

    def _wait_for_change(self, context: RequestContext, seen: float = inf) -> bool:
        """Whether the work has ended, or more than `seen` values were published, after waiting until one of them holds,
        the deadline comes, or it is time to look for the client."""
        remaining = context.remaining()
        with self._changed:
            if self._changed.wait_for(
                lambda: self._ended or self._published > seen, min(POLL, remaining) if remaining > 0 else POLL
            ):
                return True
        context.raise_if_cancelled()
        return False

    def _run(self, work: Work[T]) -> None:
        """Do the work; called once, by a thread of the pool."""
        try:
            with self._resources:
                self._result = work(self._publish, self._interrupt)
        except BaseException as error:  # raised again in the requests that wait
            # a traceback keeps its frames alive, and they keep it; that of an unexpected error is for the log
            self._error = error.with_traceback(None) if isinstance(error, ServiceError) else error
            if self._cancelled and not isinstance(error, ServiceError):
                log.exception("work that nobody waited for failed")
        finally:
            with self._changed:
                self._latest = None
                self._ended = True
                self._changed.notify_all()
            del self, work  # an error's traceback has this frame

    def _publish(self, make: Callable[[], T]) -> None:
        with self._changed:
            self._latest = make
            self._published += 1
            self._changed.notify_all()

    def _interrupt(self) -> None:
        if self._cancelled:
            raise ClientLeft("nobody waits for this any more")
        if self._pool.is_stopping:
            raise Stopping("the server is stopping; send this to another, or again in a few seconds")
