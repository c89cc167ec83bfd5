"""Keeps complete explanations until newer ones need the room or they are too old. Never fails and never makes an answer
wait for long: after an error it backs off for a while, and with a file that is not its own it stops.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from server.cache.entry import StaleEntry, decode, encode
from server.cache.sqlite_file import TIMEOUT, Row, SqliteFile, UnusableFile
from server.errors import NotReady
from server.types import Explanation

log = logging.getLogger(__name__)

T = TypeVar("T")
Event = Literal["hit", "miss", "kept", "not kept"]

SHORTEST, LONGEST = 1.0, 60.0  # seconds that it backs off after an error: twice as long each time
SKEW = 60.0  # seconds; an entry made that much later than now is none of this clock's
MAX_AGE = 3600  # a picture may be sent again, and be measured later


@dataclass
class Backoff:
    """Exponential backoff after an error. For one thread at a time."""

    until: float = float("-inf")
    seconds: float = 0.0

    def failed(self, now: float) -> None:
        self.seconds = min(LONGEST, max(SHORTEST, 2 * self.seconds))
        self.until = now + self.seconds


class SqliteCache:
    """Explanations in the file at `path`, of at most `max_bytes`.

    `seconds`: how long one is kept at most; 0 = until newer ones need the room. `on_event` is called with each event,
    for metrics. `now` measures how long it backs off after an error; `clock` dates entries, across starts: one that is
    set back by a second keeps an entry for a second longer, and an entry from the future is none.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        seconds: int = 0,
        on_event: Callable[[Event], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = SqliteFile(path, max_bytes)
        self._seconds = seconds
        self._on_event, self._now, self._clock = on_event, now, clock
        self._lock = threading.Lock()
        self._reading, self._writing = Backoff(), Backoff()
        self._stopped = False

    @property
    def gone(self) -> str:
        age = f"after {self._seconds} s, " if self._seconds else ""
        return f"complete explanations are kept until newer ones need the room, {age}or the server stops"

    @property
    def max_age(self) -> int:
        return min(self._seconds or MAX_AGE, MAX_AGE)

    def get(self, identity: str) -> Explanation | None:
        """The explanation with that id, on the picture that it was kept with; None where there is none."""
        try:
            return self.find(identity)
        except NotReady:
            return None

    def find(self, identity: str) -> Explanation | None:
        """As `get`. Raises NotReady where it cannot be looked up just now."""
        read = self._attempt(self._reading, lambda: [self._file.read(identity)])
        row = read[0] if read else None
        found = None if row is None or self._is_outdated(row) else self._decoded(row, identity)
        self._on_event("miss" if found is None else "hit")
        if read is None and not self._stopped:
            raise NotReady("what is kept cannot be looked up just now; try again in a few seconds")
        return found

    def put(self, explanation: Explanation) -> Explanation:
        kept = explanation.attribution.state != "partial" and self._write(explanation)
        self._on_event("kept" if kept else "not kept")
        return replace(explanation, kept=kept)

    def close(self) -> None:
        """Close the file. Not needed for safety: nothing is lost without."""
        with self._lock:
            self._file.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # __init__ was not done
            self._file.close()

    def _write(self, explanation: Explanation) -> bool:
        if self._is_backing_off(self._writing):
            return False
        try:
            body = encode(explanation)
        except (TypeError, ValueError):
            log.exception("explanation %s cannot be kept", explanation.id)
            return False
        made = self._clock()
        outdated = (made - self._seconds, made + SKEW) if self._seconds else None
        return bool(self._attempt(self._writing, lambda: self._file.write(explanation.id, made, body, outdated)))

    def _is_outdated(self, row: Row) -> bool:
        return self._seconds > 0 and not -SKEW <= self._clock() - row.made <= self._seconds

    def _decoded(self, row: Row, identity: str) -> Explanation | None:
        try:
            return decode(row.body, identity)
        except StaleEntry as error:
            log.warning("the entry of explanation %s is deleted: %s", identity, error)
            self._attempt(self._writing, lambda: self._file.delete(identity))
            return None

    def _is_backing_off(self, backoff: Backoff) -> bool:
        return self._stopped or self._now() < backoff.until

    def _attempt(self, backoff: Backoff, work: Callable[[], T]) -> T | None:
        """The result of `work` on the file; None where it fails, or has failed a short while ago."""
        if self._is_backing_off(backoff) or not self._lock.acquire(timeout=2 * TIMEOUT):
            return None
        try:
            if self._stopped:  # while this thread waited
                return None
            done = work()
            backoff.seconds = 0.0
            return done
        except UnusableFile as error:
            self._stop(error)
            return None
        except (sqlite3.Error, OSError) as error:
            backoff.failed(self._now())
            doing = "looked up" if backoff is self._reading else "kept"
            log.warning("explanations are not %s for %g s, in %s: %s", doing, backoff.seconds, self._file.path, error)
            return None
        finally:
            self._lock.release()

    def _stop(self, error: UnusableFile) -> None:
        """Keep nothing from now on. The caller must hold the lock."""
        self._stopped = True
        self._file.close()
        path = self._file.path
        log.error(
            "no explanation is kept from now on: %s cannot be used: %s. Stop the server, move or delete it and its log "
            "(%s-wal, %s-shm), and start again",
            path, error, path.name, path.name,
        )  # fmt: skip
