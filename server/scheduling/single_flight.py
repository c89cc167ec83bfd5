"""Equal work that is submitted at the same time is computed once (single-flight): later requests join the first one's
task. Must not know what the work is, nor how it runs.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from server.errors import Busy
from server.scheduling.session import TaskKey
from server.scheduling.shared_task import SharedTask

T = TypeVar("T")

SOON = 1  # seconds after which to retry for work in flight: then it may be cached


class SingleFlight:
    """The tasks in flight in this process, by the keys of their work. At most `max_waiters` requests wait for others'
    work: each of them keeps a thread that could predict."""

    def __init__(self, max_waiters: float) -> None:
        self._max_waiters, self._waiters = max_waiters, 0
        self._lock = threading.Lock()
        self._in_flight: dict[TaskKey, SharedTask[Any]] = {}

    def join_or_start(
        self, key: TaskKey, start: Callable[[], SharedTask[T]], has_permit: bool
    ) -> tuple[SharedTask[T], bool]:
        """The task of this key, and whether it was joined; else `start` begins it, for others to join. A request that
        `has_permit` and may not wait begins one of its own beside it.

        Raises:
            Busy: too many wait for others' work; or as `start` does.
        """
        with self._lock:
            task = self._in_flight.get(key)
            if task is None or not task.join():
                task = self._in_flight[key] = start()
                return task, False
            if self._waiters >= self._max_waiters:
                task.leave()
                if has_permit:
                    return start(), False
                raise Busy(f"{self._waiters} others wait for an explanation already, as many as may", SOON)
            self._waiters += 1
            return task, True

    def left(self) -> None:
        """A request that had joined a task waits for it no longer."""
        with self._lock:
            self._waiters -= 1

    def ended(self, key: TaskKey, task: SharedTask[Any]) -> None:
        """The task is not to be joined any more."""
        with self._lock:
            if self._in_flight.get(key) is task:
                del self._in_flight[key]
