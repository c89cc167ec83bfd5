"""A fixed-window rate limiter: counts the requests of each caller in a storage that several processes may share.

A process asks the storage once for each request, but of a large limit it reserves a thousandth of the rest at a time.
So it lets through no more than the limit says, and for a limit of 2000 or more perhaps a thousandth less for each
other process; as much of such a limit may still be used in the first half second of the next window. While the storage
does not answer, each process counts on its own. Knows no HTTP. Imported only where a limit is set.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError
from limits.storage import MemoryStorage, Storage, storage_from_string

from server.config import SettingsError

SHARE = 1000  # one in so many of the remaining requests is reserved at a time
TIMEOUT = 0.25  # seconds that Redis has for an answer
ALIASES = {"valkey": "redis", "valkeys": "rediss", "unix": "redis+unix"}
RETRY_AFTER = 1.0  # seconds before a storage that did not answer is tried again
CALLERS = 10_000  # the most recent ones, that are remembered; a forgotten one loses what was reserved for it

log = logging.getLogger(__name__)


class LimitStatus(NamedTuple):
    """The status of one limit after a request."""

    amount: int  # that the limit allows in `window` seconds
    window: int
    name: str  # of the window: minute
    remaining: int  # below 0: the request was one too many
    seconds: int  # until it begins anew, 1 at least


class RateLimiter:
    """Limits such as 60/minute, counted in a storage such as redis://HOST:PORT or memory://.

    Raises:
        SettingsError: a storage that cannot be used.
    """

    def __init__(self, rate: str, storage: str, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        limits = sorted(parse_many(rate))
        try:
            shared = storage_from_string(_address(storage), **_timeouts(storage))
        except ConfigurationError:  # its text has the whole address, password included
            given = f"INKLING_RATE_LIMIT_STORAGE={storage.partition(':')[0]}://..."
            raise SettingsError(f"{given} cannot be used; expected redis://HOST:PORT or memory://") from None
        assert isinstance(shared, Storage)  # the others are for asyncio
        self._shared, self._local = _Counted(limits, shared), _Counted(limits, MemoryStorage())
        self._unavailable_until: float | None = None

    def take(self, caller: str) -> list[LimitStatus]:
        """Count a request of `caller`; the status of its limits, the shortest window first. The list ends with the
        first exceeded limit: longer ones do not count the request."""
        until = self._unavailable_until
        if until is not None and self._now() < until:
            return self._local.take(caller)
        if until is not None:
            self._unavailable_until = self._now() + RETRY_AFTER  # other threads need not wait for it too
        try:
            found = self._shared.take(caller)
        except Exception as error:  # the storage's client may raise anything
            if until is None:
                log.warning(
                    "rate limits: no answer from their storage (%s); this process counts alone", _error_name(error)
                )
            self._unavailable_until = self._now() + RETRY_AFTER
            return self._local.take(caller)
        if until is not None:
            log.warning("rate limits: their storage answers again")
            self._unavailable_until = None
        return found


def _address(storage: str) -> str:
    """The storage with the client that speaks to it: that of Redis speaks to Valkey too."""
    scheme, separator, rest = storage.partition("://")
    return f"{ALIASES.get(scheme, scheme)}{separator}{rest}"


def _timeouts(storage: str) -> dict[str, float]:
    """A storage that answers nothing would hold every request up."""
    is_redis = "redis" in _address(storage).partition("://")[0]
    return {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT} if is_redis else {}


def _error_name(error: Exception) -> str:
    return type(error).__name__  # its text may have an address


class _Counted:
    """The limits of every caller in one storage."""

    def __init__(self, limits: Sequence[RateLimitItem], storage: Storage) -> None:
        self._storage = storage
        self._windows_of = lru_cache(CALLERS)(lambda caller: [_Window(limit, caller) for limit in limits])

    def take(self, caller: str) -> list[LimitStatus]:
        now, found = time.time(), []
        for window in self._windows_of(caller):
            found.append(window.take(self._storage, now))
            if found[-1].remaining < 0:
                break
        return found


class _Window:
    """What this process knows of one limit of one caller."""

    def __init__(self, limit: RateLimitItem, caller: str) -> None:
        self._amount, self._seconds, self._name = limit.amount, limit.get_expiry(), limit.GRANULARITY.name
        self._key = limit.key_for(caller)
        self._lock = Lock()
        self._ends = 0.0  # in seconds since the epoch
        self._left = 0  # that no process had taken when the storage was last asked
        self._reserved = 0  # that this process has reserved and not used

    def take(self, storage: Storage, now: float) -> LimitStatus:
        """Use a reserved request, or reserve more in the storage."""
        with self._lock:
            if self._reserved and now < self._ends:
                self._reserved -= 1
                return self._status(self._left + self._reserved, now)
            requested = max(1, self._left // SHARE) if now < self._ends else 1
        count = storage.incr(self._key, self._seconds, requested)
        if count == requested:
            ends = now + self._seconds
        else:
            ends = self._ends if now < self._ends else storage.get_expiry(self._key)
        left = self._amount - count
        granted = min(requested, requested + left)  # fewer if other processes were faster
        with self._lock:
            if now >= self._ends or count == requested:
                self._reserved = 0  # what is left is of the window before
            self._ends, self._left = ends, max(0, left)
            if granted > 0:
                self._reserved += granted - 1
            return self._status(self._left + self._reserved if granted > 0 else -1, now)

    def _status(self, left: int, now: float) -> LimitStatus:
        return LimitStatus(self._amount, self._seconds, self._name, left, max(1, int(self._ends - now)))
