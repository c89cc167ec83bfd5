"""Equal explanations that are asked for at the same time are computed once: who comes later waits for the first.

Within a process they share a job; between processes that keep records, a claim says that one is at it, and its record
is what the others wait for. Whoever leaves, or had too little time, harms none of the others.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from server.claims import Claims, Release
from server.errors import Busy, OutOfTime, Stopping
from server.handles import NoRecords, Records
from server.slots import Caller, Interrupt, Job, NotYet, Work
from server.types import Explanation

Start = Callable[[Work[Explanation]], Job[Explanation]]
"""Begins work in a slot. Raises Busy where none is free."""

NO_RECORDS = NoRecords()
PAUSES = (0.005, 0.01, 0.02)  # seconds between the first looks at what another process does
PAUSE = 0.05  # and later
SOON = 1  # seconds after which to ask again for what is being computed: then it may be kept


@dataclass
class _Seat:
    """Of one caller among those who wait for the work of others."""

    taken: bool = False


class Flights:
    """What is being computed; `folder` is shared with the processes that share `records`. At most `seats` callers wait
    for the work of others, for each of them keeps a thread that could predict."""

    def __init__(self, records: Records = NO_RECORDS, folder: Path | None = None, seats: float = inf) -> None:
        self.records = records
        self._seats, self._seated = seats, 0
        self._claims = None if folder is None else Claims(folder)
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[object, Job[Explanation]]] = {}  # with what tells one from the next of its key

    def once(self, identity: str, quality: bool, caller: Caller, work: Work[Explanation], start: Start) -> Explanation:
        """The explanation of `identity`, with its quality where that is asked for.

        Another's work that may take longer than this caller has time is waited for half that time at most, so that the
        other half is left for own work.

        Raises:
            Busy: all seats are taken.
            ServiceError: as Job.wait, `start` and `work` do.
        """
        seat = _Seat()
        try:
            return self._once(identity, quality, caller, work, start, seat)
        finally:
            if seat.taken:
                with self._lock:
                    self._seated -= 1

    def _once(
        self, identity: str, quality: bool, caller: Caller, work: Work[Explanation], start: Start, seat: _Seat
    ) -> Explanation:
        key = f"{identity}-quality" if quality else identity
        half = caller.now() + caller.left() / 2
        best: Explanation | None = None
        for pause in _pauses():
            if (job := self._join(key, seat)) is not None:
                try:
                    best = job.wait(caller, half if job.deadline > caller.deadline else inf)
                    if is_whole(best) or not _has_more(caller, job):
                        return best
                except OutOfTime as error:
                    if isinstance(error, Stopping) or not _has_more(caller, job):
                        raise
                except NotYet:
                    return _beside(job, caller, self._keeping(work), start)
            elif (kept := self._kept(identity, quality)) is not None:
                return kept
            elif (release := self._claim(key)) is not None or caller.now() >= half:
                try:
                    if (job := self._first(key, work, start, release or _nothing)) is not None:
                        return job.wait(caller)
                except (Busy, OutOfTime):
                    if best is None:
                        raise
                    return best
            else:
                with self._lock:
                    self._sit(seat)
                caller.look()
                time.sleep(pause)
        raise AssertionError("pauses do not end")

    def _join(self, key: str, seat: _Seat) -> Job[Explanation] | None:
        with self._lock:
            job = self._jobs[key][1] if key in self._jobs else None
            if job is None or job.is_cancelled:
                return None
            self._sit(seat)
            return job if job.join() else None

    def _sit(self, seat: _Seat) -> None:
        """Have the caller sit, who may sit already; only for whoever has the lock."""
        if seat.taken:
            return
        if self._seated >= self._seats:
            raise Busy(f"{self._seats} others wait for an explanation already, as many as may", SOON)
        self._seated += 1
        seat.taken = True

    def _kept(self, identity: str, quality: bool) -> Explanation | None:
        kept = self.records.get(identity)
        return None if kept is None or (quality and kept.quality is None) else kept

    def _claim(self, key: str) -> Release | None:
        return _nothing if self._claims is None else self._claims.claim(key)

    def _first(self, key: str, work: Work[Explanation], start: Start, release: Release) -> Job[Explanation] | None:
        """The work begun, for others to join; None where another was first after all."""
        own, keeping = object(), self._keeping(work)

        def flown(interrupt: Interrupt) -> Explanation:
            try:
                return keeping(interrupt)
            finally:
                self._land(key, own, release)

        with self._lock:
            if key in self._jobs and not self._jobs[key][1].is_cancelled:
                release()
                return None
            try:
                job = start(flown)
            except BaseException:
                release()
                raise
            self._jobs[key] = (own, job)
            return job

    def _keeping(self, work: Work[Explanation]) -> Work[Explanation]:
        """The work, whose outcome is kept where it is whole."""

        def kept(interrupt: Interrupt) -> Explanation:
            found = work(interrupt)
            return replace(found, kept=self.records.put(found)) if is_whole(found) else found

        return kept

    def _land(self, key: str, own: object, release: Release) -> None:
        with self._lock:
            if key in self._jobs and self._jobs[key][0] is own:
                del self._jobs[key]
        release()


def _beside(job: Job[Explanation], caller: Caller, work: Work[Explanation], start: Start) -> Explanation:
    """Own work beside another's; where there is no slot for it, the other's is waited for to the end."""
    try:
        own = start(work)
    except Busy:
        return job.wait(caller)
    except BaseException:
        job.leave()
        raise
    job.leave()  # not before: nobody else may be waiting for it
    return own.wait(caller)


def is_whole(explanation: Explanation) -> bool:
    """Whether more time would have changed nothing."""
    quality = explanation.quality
    return explanation.attribution.stop != "budget" and (quality is None or quality.finished)


def _has_more(caller: Caller, job: Job[Explanation]) -> bool:
    """Whether a caller has more time left than the job has had."""
    return caller.left() > caller.now() - job.began


def _pauses() -> Iterator[float]:
    yield from PAUSES
    while True:
        yield PAUSE


def _nothing() -> None:
    pass
