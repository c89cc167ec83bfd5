"""Things that serve one thread at a time, lent to many. Knows nothing of models."""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """At most `most` things, the first built now and others when several threads ask at once. Who waits has the next in
    the order of asking: a thread that gives one back and asks again comes after those who wait already."""

    def __init__(self, build: Callable[[], T], most: int) -> None:
        self._build, self._most, self._built = build, most, 1
        self._lock = Lock()
        self._idle = [build()]
        self._waiting: deque[SimpleQueue[T]] = deque()

    def take(self) -> T:
        """One that is idle, or a new one, or, where there are enough, the next that is given back."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            place: SimpleQueue[T] | None = None
            if self._built < self._most:
                self._built += 1
            else:
                place = SimpleQueue()
                self._waiting.append(place)
        return self._another() if place is None else place.get()

    def give_back(self, thing: T) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(thing)
            else:
                self._idle.append(thing)

    def _another(self) -> T:
        try:
            return self._build()
        except BaseException:
            with self._lock:
                self._built -= 1
            raise
