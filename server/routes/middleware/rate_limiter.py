"""How many requests each caller has left, counted in a storage that several processes may share.

A process asks the storage once for each request, but where a limit is large takes a thousandth of what is left at a
time. So never more are let through than the limit says, and of a limit from 2000 on perhaps a thousandth less for each
other process. Where the storage is away, each process counts alone. Knows no HTTP. Imported only where a limit is set.
"""

import logging
import time
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError
from limits.storage import MemoryStorage, Storage, storage_from_string

from server.config import SettingsError

SHARE = 1000  # such a part of what is left is taken at a time
AWAY = 1.0  # seconds for which a storage that did not answer is not asked again
CALLERS = 10_000  # that are remembered; who is forgotten costs the storage one question more

log = logging.getLogger(__name__)


class LimitStatus(NamedTuple):
    """Of one limit, after a request."""

    amount: int  # that the limit allows in `window` seconds
    window: int
    name: str  # of the window: minute
    left: int  # below 0: the request was one too many
    seconds: int  # until it begins anew, 1 at least


class RateLimiter:
    """Limits such as 60/minute, counted in a storage such as redis://HOST:PORT or memory://.

    Raises:
        SettingsError: a storage that cannot be used.
    """

    def __init__(self, rate: str, storage: str) -> None:
        limits = sorted(parse_many(rate))
        try:
            shared = storage_from_string(storage)
        except ConfigurationError:  # its text has the whole address, password included
            given = f"INKLING_RATE_LIMIT_STORAGE={storage.partition(':')[0]}://..."
            raise SettingsError(f"{given} cannot be used; expected redis://HOST:PORT or memory://") from None
        assert isinstance(shared, Storage)  # the others are for asyncio
        self._shared, self._alone = _Counted(limits, shared), _Counted(limits, MemoryStorage())
        self._away_until: float | None = None

    def take(self, who: str) -> list[LimitStatus]:
        """Count a request of `who`, and tell what it has left, the shortest window first. The first limit that is
        passed is the last: longer ones neither count the request nor are told."""
        until = self._away_until
        if until is not None and time.monotonic() < until:
            return self._alone.take(who)
        if until is not None:
            self._away_until = time.monotonic() + AWAY  # others need not wait for the same
        try:
            found = self._shared.take(who)
        except Exception as error:  # whatever the storage's client raises
            if until is None:
                log.warning("rate limits: no answer from their storage (%s); this process counts alone", _kind(error))
            self._away_until = time.monotonic() + AWAY
            return self._alone.take(who)
        if until is not None:
            log.warning("rate limits: their storage answers again")
            self._away_until = None
        return found


def _kind(error: Exception) -> str:
    return type(error).__name__  # its text may have an address


class _Counted:
    """The limits of every caller in one storage."""

    def __init__(self, limits: Sequence[RateLimitItem], storage: Storage) -> None:
        self._limits, self._storage = limits, storage
        self._windows: dict[str, list[_Window]] = {}

    def take(self, who: str) -> list[LimitStatus]:
        windows = self._windows.get(who)
        if windows is None:
            if len(self._windows) >= CALLERS:
                self._windows.clear()
            windows = self._windows[who] = [_Window(limit, who) for limit in self._limits]
        now, found = time.time(), []
        for window in windows:
            found.append(window.take(self._storage, now))
            if found[-1].left < 0:
                break
        return found


class _Window:
    """What this process knows of one limit of one caller."""

    def __init__(self, limit: RateLimitItem, who: str) -> None:
        self._amount, self._seconds, self._name = limit.amount, limit.get_expiry(), limit.GRANULARITY.name
        self._key = limit.key_for(who)
        self._lock = Lock()
        self._ends = 0.0  # in seconds since the epoch
        self._left = 0  # that no process has taken yet, when the storage was last asked
        self._own = 0  # that this process has taken and not used

    def take(self, storage: Storage, now: float) -> LimitStatus:
        """Use one of its own, or ask the storage for more."""
        with self._lock:
            if self._own and now < self._ends:
                self._own -= 1
                return self._told(self._left + self._own, now)
            asked = max(1, self._left // SHARE) if now < self._ends else 1
        count = storage.incr(self._key, self._seconds, asked)
        if count == asked:
            ends = now + self._seconds
        else:
            ends = self._ends if now < self._ends else storage.get_expiry(self._key)
        left = self._amount - count
        got = min(asked, asked + left)  # fewer where others were faster
        with self._lock:
            if now >= self._ends or count == asked:
                self._own = 0  # what is left is of the window before
            self._ends, self._left = ends, max(0, left)
            if got > 0:
                self._own += got - 1
            return self._told(self._left + self._own if got > 0 else -1, now)

    def _told(self, left: int, now: float) -> LimitStatus:
        return LimitStatus(self._amount, self._seconds, self._name, left, max(1, int(self._ends - now)))
