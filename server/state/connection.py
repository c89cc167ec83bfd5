"""The one connection to Redis or Valkey, with short timeouts and a circuit breaker: after an error nobody asks it for a
second, so that a server whose shared state is away is alone, and not slow.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

T = TypeVar("T")

TIMEOUT = 0.25  # seconds that an answer, or a connection, may take; it is tried twice
RETRY_AFTER = 1.0  # seconds before it is tried again
PREFIX = "inkling:1:"  # of all keys; the number is that of their layout
SCHEMES = {"valkey": "redis", "valkeys": "rediss"}  # one client speaks to both

log = logging.getLogger(__name__)


class Away(Exception):
    """The shared state does not answer just now."""


def redis_address(address: str) -> str:
    """The address as Redis's client takes it."""
    scheme, separator, rest = address.partition("://")
    return f"{SCHEMES.get(scheme, scheme)}{separator}{rest}"


class Connection:
    """Commands to the shared state. `on_change` is called with whether it answers, the first time and whenever that
    changes. Thread-safe.

    Raises:
        ValueError: the address cannot be used.
    """

    def __init__(
        self,
        address: str,
        on_change: Callable[[bool], None] = lambda answers: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Redis = Redis.from_url(
            redis_address(address),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # a kept connection may have been closed by the other side
        )
        self._on_change, self._now = on_change, now
        self._lock = threading.Lock()
        self._answers: bool | None = None
        self._refusal = ""
        self._until = float("-inf")  # until when nobody asks

    def call(self, work: Callable[[Any], T]) -> T:
        """What `work` gives when it is called with the client.

        Raises:
            Away: there is no answer, or there was none a moment ago.
        """
        with self._lock:
            if self._now() < self._until:
                raise Away
            if self._answers is False:
                self._until = self._now() + RETRY_AFTER  # others need not wait for this try
        try:
            found = work(self._client)
        except ResponseError as error:  # it answers, but not this: it is full, read only, or has another's data
            self._tell_refusal(str(error).partition(" ")[0][:40])
            raise Away from error
        except (RedisError, OSError, ValueError) as error:
            self._tell(False, error)
            raise Away from error
        if self._answers is not True:
            self._tell(True)
        return found

    def close(self) -> None:
        self._client.close()

    def _tell_refusal(self, kind: str) -> None:
        """Log once what it refuses, until something else."""
        with self._lock:
            before, self._refusal = self._refusal, kind
        if before != kind:
            log.warning("the shared state refuses what it is asked (%s); this server does without", kind)

    def _tell(self, answers: bool, error: Exception | None = None) -> None:
        with self._lock:
            self._until = float("-inf") if answers else self._now() + RETRY_AFTER
            before, self._answers = self._answers, answers
        if before is answers:
            return
        self._on_change(answers)
        if not answers:
            kind = type(error).__name__  # its text may have an address with a password
            log.warning("the shared state does not answer (%s); this server goes on alone", kind)
        elif before is not None:
            log.warning("the shared state answers again")
