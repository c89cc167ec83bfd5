"""Which explanations are kept, and for how long? All that are complete, until newer ones need the room or they are too
old. Nothing here ever fails or makes an answer wait for long: what goes wrong is logged, and left alone for a while.
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

from server.errors import NotReady
from server.records.block import Damaged
from server.records.edition import edition as this_edition
from server.records.explanation import Foreign, decode, encode
from server.records.file import File, Row
from server.records.opening import PATIENCE, Bound, NotOurs
from server.types import Explanation

log = logging.getLogger(__name__)

T = TypeVar("T")
Event = Literal["hit", "miss", "kept", "not kept"]

SHORTEST, LONGEST = 1.0, 60.0  # seconds for which a file that fails is left alone: twice as long each time
SKEW = 60.0  # seconds; a record made that much later than now is none of this clock's
MAX_AGE = 3600  # a picture may be sent again, and be measured later


@dataclass
class Rest:
    """How long something that failed is left alone. For one thread at a time."""

    until: float = float("-inf")
    seconds: float = 0.0

    def failed(self, now: float) -> None:
        self.seconds = min(LONGEST, max(SHORTEST, 2 * self.seconds))
        self.until = now + self.seconds


class Kept:
    """Explanations in the file at `path`, of at most `most` bytes.

    `seconds`: how long one is kept at most; 0 = until newer ones need the room. `ours`: whether nobody but servers like
    this one writes at `path`, so that a damaged file may be replaced. `saw` is told what happened, for metrics. `now`
    measures how long the file rests after a failure; `clock` dates records, across starts: one that is set back by a
    second keeps a record for a second longer, and a record from the future is none.
    """

    def __init__(
        self,
        path: Path,
        most: int,
        seconds: int = 0,
        ours: bool = True,
        edition: str | None = None,
        saw: Callable[[Event], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = File(path, Bound(most), ours)
        self._seconds = seconds
        self._edition = this_edition() if edition is None else edition
        self._saw, self._now, self._clock = saw, now, clock
        self._lock = threading.Lock()
        self._reading, self._writing = Rest(), Rest()

    @property
    def gone(self) -> str:
        age = f"after {self._seconds} s, " if self._seconds else ""
        return f"complete explanations are kept until newer ones need the room, {age}or the server stops"

    @property
    def max_age(self) -> int:
        return min(self._seconds or MAX_AGE, MAX_AGE)

    def get(self, identity: str) -> Explanation | None:
        """The explanation with that id, upon the picture that it was kept with; None where there is none."""
        try:
            return self.find(identity)
        except NotReady:
            return None

    def find(self, identity: str) -> Explanation | None:
        """As `get`. Raises NotReady where it can not be looked up just now."""
        read = self._tried(self._reading, lambda: [self._file.read(identity)])
        row = read[0] if read else None
        found = None if row is None or self._is_outdated(row) else self._decoded(row, identity)
        self._saw("miss" if found is None else "hit")
        if read is None:
            raise NotReady("what is kept can not be looked up just now; try again in a few seconds")
        return found

    def put(self, explanation: Explanation) -> Explanation:
        kept = explanation.attribution.state != "partial" and self._write(explanation)
        self._saw("kept" if kept else "not kept")
        return replace(explanation, kept=kept)

    def close(self) -> None:
        """Before a process ends, for the sake of order; nothing is lost without."""
        with self._lock:
            self._file.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # __init__ was not done
            self._file.close()

    def _write(self, explanation: Explanation) -> bool:
        if self._rests(self._writing):
            return False
        try:
            body = encode(explanation, self._edition)
        except (TypeError, ValueError):
            log.exception("explanation %s can not be kept", explanation.id)
            return False
        made = self._clock()
        outdated = (made - self._seconds, made + SKEW) if self._seconds else None
        return bool(self._tried(self._writing, lambda: self._file.write(explanation.id, made, body, outdated)))

    def _is_outdated(self, row: Row) -> bool:
        return self._seconds > 0 and not -SKEW <= self._clock() - row.made <= self._seconds

    def _decoded(self, row: Row, identity: str) -> Explanation | None:
        try:
            return decode(row.body, identity, self._edition)
        except Damaged as error:
            level = logging.INFO if isinstance(error, Foreign) else logging.WARNING
            log.log(level, "the record of explanation %s is removed: %s", identity, error)
            self._tried(self._writing, lambda: self._file.delete(row.place))
            return None

    def _rests(self, rest: Rest) -> bool:
        return self._now() < rest.until

    def _tried(self, rest: Rest, work: Callable[[], T]) -> T | None:
        """What `work` on the file gives; None where it fails, or has failed a short while ago."""
        if self._rests(rest) or not self._lock.acquire(timeout=2 * PATIENCE):
            return None
        try:
            done = work()
            rest.seconds = 0.0
            return done
        except (sqlite3.Error, OSError, NotOurs) as error:
            rest.failed(self._now())
            level = logging.ERROR if isinstance(error, NotOurs) else logging.WARNING
            doing = "looked up" if rest is self._reading else "kept"
            log.log(level, "explanations are not %s for %g s, in %s: %s", doing, rest.seconds, self._file.path, error)
            return None
        finally:
            self._lock.release()
