"""Lends interpreters to one thread at a time (object pool with LRU eviction), all together within so many bytes. Knows
neither LiteRT nor models.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from server.process.malloc import trim_heaps


class InterpreterPool:
    """Builds an interpreter when one is needed, keeps it for the next caller, and evicts the least recently used ones
    where there is no room.

    Waiting threads are served in the order in which they came (fair): a thread that returns an interpreter and wants
    another goes behind them. A single interpreter may be larger than the capacity.
    """

    def __init__(self, capacity: int, max_lent: float = inf, on_evict: Callable[[], None] = trim_heaps) -> None:
        """`capacity` and the sizes of interpreters have the same unit; at most `max_lent` are lent at once; `on_evict`
        is called after an eviction."""
        self.lent = 0  # interpreters in use now
        self.used = 0  # total size of all interpreters, lent or idle
        self.capacity, self._max_lent = capacity, max_lent
        self._on_evict = on_evict
        self._idle: OrderedDict[int, tuple[Hashable, int, Any]] = OrderedDict()  # least recently used first
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Threads that wait for an interpreter, or take one just now."""
        return len(self._queue)

    @contextmanager
    def lend(self, key: Hashable, size: int, build: Callable[[], Any]) -> Iterator[Any]:
        """An idle interpreter of this key, or a new one from `build`; exclusive for the `with` block."""
        interpreter, evicted = self._acquire(key, size)
        try:
            if evicted:
                del evicted
                self._on_evict()
            if interpreter is None:
                interpreter = build()
        except BaseException:
            self._release(key, size, None)
            raise
        try:
            yield interpreter
        finally:
            self._release(key, size, interpreter)

    def forget(self, key: Hashable) -> None:
        """Drop all idle interpreters of `key`."""
        with self._changed:
            places = [place for place, (other, _, _) in self._idle.items() if other == key]
            for place in places:
                self.used -= self._idle.pop(place)[1]
            self._changed.notify_all()

    def _acquire(self, key: Hashable, size: int) -> tuple[Any, list[Any]]:
        """An idle interpreter, or None and room for a new one; and the interpreters evicted for that."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._has_room(key, size))
                self.lent += 1
                return self._idle_or_room(key, size)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _has_room(self, key: Hashable, size: int) -> bool:
        """Whether one may be lent: there is an idle one, or room once all idle ones are evicted."""
        if self.lent >= self._max_lent:
            return False
        lent = self.used - sum(other_size for _, other_size, _ in self._idle.values())
        return lent == 0 or lent + size <= self.capacity or any(other == key for other, _, _ in self._idle.values())

    def _idle_or_room(self, key: Hashable, size: int) -> tuple[Any, list[Any]]:
        for place, (other, _, interpreter) in reversed(self._idle.items()):
            if other == key:
                del self._idle[place]
                return interpreter, []
        evicted = []
        while self._idle and self.used + size > self.capacity:
            _, (_, other_size, interpreter) = self._idle.popitem(last=False)
            self.used -= other_size
            evicted.append(interpreter)
        self.used += size
        return None, evicted

    def _release(self, key: Hashable, size: int, interpreter: Any) -> None:
        with self._changed:
            self.lent -= 1
            if interpreter is None:
                self.used -= size
            else:
                self._idle[id(interpreter)] = (key, size, interpreter)
            self._changed.notify_all()
