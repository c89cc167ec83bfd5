"""The only entrance to explaining: cached already? being computed? admitted? run. In that order, in this file.

Equal work that is submitted at the same time is computed once (single-flight): later requests wait for the first. A
request that leaves, or had too little time, harms none of the others. Must not know what the work is, nor HTTP.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from math import inf
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from server.errors import Busy, OutOfTime, Stopping
from server.protocols import NoCache, RequestContext
from server.scheduling.concurrency_limit import BoundedPool, Permit
from server.scheduling.session import Interrupt, Outcome, Publish, TaskKey, Work, always
from server.scheduling.shared_task import SharedTask
from server.scheduling.single_flight import SingleFlight

T = TypeVar("T")


class Cache(Protocol):
    """What the scheduler needs from a cache: values that know their own id."""

    def get(self, identity: str) -> Any | None: ...

    def put(self, value: Any) -> Any:
        """Keep the value; it, as it is kept."""
        ...


Lease = Callable[[str, RequestContext], AbstractContextManager[bool]]
"""A claim on computing an id, among processes that share a cache: `with lease(id, context) as contended` waits while
another process has it, as long as the context allows, and says whether one had, so that its value may be kept by now.
By default there is none: equal work in two processes is now and then done twice."""


def no_lease(identity: str, context: RequestContext) -> AbstractContextManager[bool]:
    return nullcontext(False)


class Scheduler:
    """What all sessions of a process share: the pool, the cache, and the work in flight."""

    def __init__(
        self,
        pool: BoundedPool,
        cache: Cache | None = None,
        max_waiters: float = inf,
        lease: Lease = no_lease,
    ) -> None:
        """At most `max_waiters` requests wait for others' work: each of them keeps a thread that could predict."""
        self.pool, self.lease = pool, lease
        self.cache: Cache = NoCache() if cache is None else cache
        self.single_flight = SingleFlight(max_waiters)

    def session(self, context: RequestContext) -> "PooledSession":
        """One permit and one budget for all pictures of a request."""
        return PooledSession(self, context)

    def stop_within(self, seconds: float) -> None:
        """Have all work end after so long, with what it has by then. Takes no lock: a signal handler calls it."""
        self.pool.stop_within(seconds)


class PooledSession:
    """Runs the work of one request in the pool. It acquires its permit with the first work that it has to run, and
    keeps it from one picture to the next; leaving it releases the permit and gives up what still runs."""

    def __init__(self, scheduler: Scheduler, context: RequestContext) -> None:
        self.context, self.scheduler = context, scheduler
        self.open: set[PooledTask[Any]] = set()
        self._permit: Permit | None = None

    def __enter__(self) -> "PooledSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in list(self.open):
            task.leave()
        if self._permit is not None:
            self._permit.release()
            self._permit = None

    def submit(
        self,
        work: Work[T],
        key: TaskKey | None = None,
        resources: ExitStack | None = None,
        is_enough: Callable[[T], bool] = always,
    ) -> "PooledTask[T]":
        task = PooledTask(self, work, key, ExitStack() if resources is None else resources, is_enough)
        task.begin()
        return task

    def keep(self, value: T) -> T:
        return cast(T, self.scheduler.cache.put(value))

    @property
    def has_permit(self) -> bool:
        return self._permit is not None

    def permit(self) -> Permit:
        """The permit of the request. Raises Busy."""
        if self._permit is None:
            self._permit = self.scheduler.pool.acquire(self.context.deadline)
        return self._permit


class PooledTask(Generic[T]):
    """What one request submitted: a cached value, or a share in a task that several requests wait for."""

    def __init__(
        self,
        session: PooledSession,
        work: Work[T],
        key: TaskKey | None,
        resources: ExitStack,
        is_enough: Callable[[T], bool],
    ) -> None:
        self._session, self._scheduler, self._context = session, session.scheduler, session.context
        self._work, self._key, self._resources, self._is_enough = work, key, resources, is_enough
        self._submitted = self._context.now()
        self._kept: T | None = None
        self._task: SharedTask[T] | None = None
        self._joined = False

    def begin(self) -> None:
        """Cached already? Being computed? Admitted? Run. Raises Busy."""
        if self._key is None:
            self._task, self._joined = self._start(self._unshared), False
        else:
            self._kept = self._look_up(self._key)
            if self._kept is None:
                self._task, self._joined = self._scheduler.single_flight.join_or_start(
                    self._key, lambda: self._start(self._shared), self._session.has_permit
                )
        if self._task is not None:
            self._session.open.add(self)

    def result(self) -> Outcome[T]:
        """The value. A request with more time than the first had gets work of its own when the first ends partial."""
        partial: T | None = None
        while self._task is not None:
            joined, has_more_time = self._joined, self._has_more_time_than(self._task)
            try:
                value, source = self._wait(self._task)
                if not joined:
                    return self._outcome(value, source)
                if self._is_enough(value) or not has_more_time():
                    return self._outcome(value, "shared")
                partial = value
            except OutOfTime as error:
                if not joined and partial is not None:
                    return self._outcome(partial, "shared")
                if not joined or isinstance(error, Stopping):
                    raise
                if not has_more_time():
                    raise type(error).after(self._context.budget) from None  # not after the first one's
            try:
                self.begin()
            except Busy:
                if partial is None:
                    raise
                return self._outcome(partial, "shared")
        return self._outcome(cast(T, self._kept), "cache")

    def updates(self) -> Iterator[T]:
        if self._task is not None:
            yield from self._task.updates(self._context)

    def leave(self) -> None:
        """Stop waiting for the task; work that nobody waits for is cancelled."""
        if self._task is None:
            return
        self._task.leave()
        if self._joined:
            self._scheduler.single_flight.left()
        self._task = None
        self._session.open.discard(self)

    def _wait(self, task: SharedTask[T]) -> tuple[T, Literal["cache", "computed"]]:
        try:
            return task.wait(self._context), task.source
        finally:
            self.leave()
            del task  # a raised error has this frame, and the task the error

    def _has_more_time_than(self, task: SharedTask[T]) -> Callable[[], bool]:
        """Says, whenever it is called, whether this request has more time left than the task has had."""
        context, began = self._context, task.began
        return lambda: context.remaining() > context.now() - began

    def _outcome(self, value: T, source: Literal["cache", "shared", "computed"]) -> Outcome[T]:
        return Outcome(value, source, self._context.now() - self._submitted)

    def _look_up(self, key: TaskKey) -> T | None:
        found = cast("T | None", self._scheduler.cache.get(key.id))
        return found if found is not None and self._is_enough(found) else None

    def _start(self, work_of: Callable[[SharedTask[T]], Work[T]]) -> SharedTask[T]:
        permit = self._session.permit()
        task = SharedTask[T](self._resources.pop_all(), self._scheduler.pool, self._context)
        task.start(work_of(task), permit)
        return task

    def _unshared(self, task: SharedTask[T]) -> Work[T]:
        return self._work

    def _shared(self, task: SharedTask[T]) -> Work[T]:
        """The work on behalf of all who submit equal work; its value is kept if it is complete."""
        assert self._key is not None
        key, work, is_enough, look_up = self._key, self._work, self._is_enough, self._look_up
        scheduler, context = self._scheduler, self._context

        def shared(publish: Publish[T], interrupt: Interrupt) -> T:
            try:
                with scheduler.lease(key.id, context.cancelled_by(interrupt)) as contended:
                    if contended and (kept := look_up(key)) is not None:
                        task.source = "cache"
                        return kept
                    value = work(publish, interrupt)
                    return cast(T, scheduler.cache.put(value)) if is_enough(value) else value
            finally:
                scheduler.single_flight.ended(key, task)

        return shared
