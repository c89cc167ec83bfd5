"""Interpreters lent to one thread at a time (object pool), all together within so many bytes: the least recently used
goes first. Knows neither LiteRT nor models.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from server.process.malloc import give_back


class InterpreterPool:
    """Builds what is asked for, keeps it for the next, and lets go of the least recently used where there is no room.

    Who waits has the next room in the order of asking: a thread that gives one back and asks again comes after those
    who wait already. One alone may be larger than the capacity.
    """

    def __init__(self, capacity: int, most: float = inf, on_evict: Callable[[], None] = give_back) -> None:
        """`capacity` and the sizes that are asked for have one unit; at most `most` are lent at once; `on_evict` is
        called after something was let go of."""
        self.lent = 0  # interpreters in use now
        self.used = 0  # size of all that there are
        self.capacity, self._most = capacity, most
        self._on_evict = on_evict
        self._idle: OrderedDict[int, tuple[Hashable, int, Any]] = OrderedDict()  # least recently used first
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, key: Hashable, size: int, build: Callable[[], Any]) -> Iterator[Any]:
        """What `build` gives, for this block alone; an idle one of the same key where there is one."""
        found, evicted = self._take(key, size)
        try:
            if evicted:
                del evicted
                self._on_evict()
            if found is None:
                found = build()
        except BaseException:
            self._give_back(key, size, None)
            raise
        try:
            yield found
        finally:
            self._give_back(key, size, found)

    def forget(self, key: Hashable) -> None:
        """Let go of all idle ones of `key`."""
        with self._changed:
            gone = [place for place, (of, _, _) in self._idle.items() if of == key]
            for place in gone:
                self.used -= self._idle.pop(place)[1]
            self._changed.notify_all()

    def _take(self, key: Hashable, size: int) -> tuple[Any, list[Any]]:
        """An idle one or None, for which there is room then; and what had to go for that."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._has_room(key, size))
                self.lent += 1
                return self._found(key, size)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _has_room(self, key: Hashable, size: int) -> bool:
        """Whether one may be lent, and there is an idle one, or would be room once all idle ones are gone."""
        if self.lent >= self._most:
            return False
        lent = self.used - sum(taken for _, taken, _ in self._idle.values())
        return lent == 0 or lent + size <= self.capacity or any(of == key for of, _, _ in self._idle.values())

    def _found(self, key: Hashable, size: int) -> tuple[Any, list[Any]]:
        for place, (of, _, thing) in reversed(self._idle.items()):
            if of == key:
                del self._idle[place]
                return thing, []
        evicted = []
        while self._idle and self.used + size > self.capacity:
            _, (_, taken, thing) = self._idle.popitem(last=False)
            self.used -= taken
            evicted.append(thing)
        self.used += size
        return None, evicted

    def _give_back(self, key: Hashable, size: int, thing: Any) -> None:
        with self._changed:
            self.lent -= 1
            if thing is None:
                self.used -= size
            else:
                self._idle[id(thing)] = (key, size, thing)
            self._changed.notify_all()
