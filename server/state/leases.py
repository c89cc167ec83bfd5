"""Claims on computing an explanation, among machines (a lease): equal work that is asked of several is computed once.

A claim ends by itself soon after its holder has: it is renewed while the work goes on. Who waits does so for half of
its time at most, and computes then: a claim saves work, and must never cost an answer.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from server.protocols import RequestContext
from server.state.connection import PREFIX, Away, Connection

LASTS = 3000  # milliseconds without renewal
RENEWED_EVERY = 1.0  # seconds
POLL = 0.02  # seconds between two looks whether another's claim has ended
CLAIM = f"{PREFIX}computing:"
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Leases:
    """The claims of this process; `renew` is to be called every RENEWED_EVERY seconds. Called with an id, it is the
    scheduler's port."""

    def __init__(self, connection: Connection, pause: Callable[[float], object] = time.sleep) -> None:
        self._connection, self._pause = connection, pause
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}  # token -> key

    @contextmanager
    def __call__(self, identity: str, context: RequestContext) -> Iterator[bool]:
        """Claim an id; whether another had it meanwhile. Raises what the context does when the client has left."""
        key, token = CLAIM + identity, secrets.token_hex(16)
        contended = self._claim(key, token, context)
        try:
            yield contended
        finally:
            with self._lock:
                is_held = self._held.pop(token, None) is not None
            if is_held:
                with suppress(Away):  # it ends by itself
                    self._connection.call(lambda client: client.eval(RELEASE, 1, key, token))

    def renew(self) -> None:
        """Keep what this process has claimed."""
        with self._lock:
            held = list(self._held.items())
        with suppress(Away):
            for token, key in held:
                self._connection.call(partial(_renew, key, token))

    def _claim(self, key: str, token: str, context: RequestContext) -> bool:
        """Wait until it is ours, or half of the time has gone; whether another had it. Alone, nobody has."""
        contended, least = False, context.remaining() / 2
        while True:
            try:
                if self._connection.call(lambda client: client.set(key, token, nx=True, px=LASTS)):
                    with self._lock:
                        self._held[token] = key
                    return contended
            except Away:
                return contended
            contended = True
            if context.remaining() < least:
                return True
            context.raise_if_cancelled()
            self._pause(POLL)


def _renew(key: str, token: str, client: Any) -> None:
    client.eval(RENEW, 1, key, token, LASTS)
