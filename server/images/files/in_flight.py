"""Limits the bytes that decoders hold at one time: a weighted semaphore, first come, first served.

What is larger than all that a process may hold waits until nothing else is decoded in its process and no other picture
of this kind in the server (a file lock, which the system takes back from a process that dies).
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from server.errors import Busy
from server.process.malloc import trim_heaps

CAPACITY = 64_000_000  # bytes for one process
SMALL = 4_000_000  # bytes that nobody waits for: a megapixel in colour
PATIENCE = 30.0  # seconds
RETRY = 5  # seconds

log = logging.getLogger(__name__)


class BytesInFlight:
    """The bytes of one process."""

    def __init__(self, capacity: int = CAPACITY, max_waiting: int = 8, patience: float = PATIENCE) -> None:
        """`max_waiting` threads may wait at one time, each for `patience` seconds."""
        self._capacity = self._free = capacity
        self._max_waiting, self.patience = max_waiting, patience
        self._shared: Path | None = None
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def share(self, shared: Path, max_waiting: int) -> None:
        """Name a file that all processes of the server can open, and how many threads of this one may wait."""
        self._shared, self._max_waiting = shared, max_waiting

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold so many bytes within the block, as soon as it is their turn.

        Raises:
            Busy: too many wait already, or it was not their turn in time.
        """
        if size <= SMALL:
            yield
            return
        share = min(size, self._capacity)
        self._acquire(share)
        try:
            if size > self._capacity and self._shared is not None:
                with self._alone(self._shared):
                    yield
            else:
                yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()

    def _acquire(self, share: int) -> None:
        with self._changed:
            if self._waiting or self._free < share:
                self._wait(share)
            self._free -= share

    def _wait(self, share: int) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise Busy(f"{len(self._waiting)} large pictures wait for their turn to be decoded already", RETRY)
        turn = object()
        self._waiting.append(turn)
        try:
            if not self._changed.wait_for(
                lambda: self._waiting[0] is turn and self._free >= share, timeout=self.patience
            ):
                raise Busy(f"the picture is large, and others were decoded for {self.patience:.0f} s", RETRY)
        finally:
            self._waiting.remove(turn)
            self._changed.notify_all()  # it may be the next one's turn

    @contextmanager
    def _alone(self, shared: Path) -> Iterator[None]:
        """The only one of the server's processes in such a block. What was freed in it goes back to the system before
        the next one allocates as much."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(shared.open("ab"))
                flock(file, LOCK_EX)  # until it is closed
            except OSError:
                log.exception("a large picture is decoded without waiting for those of other processes")
            stack.callback(trim_heaps)
            yield


IN_FLIGHT = BytesInFlight()
