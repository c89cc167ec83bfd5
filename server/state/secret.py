"""The secret that signs links, the same on all machines: made by the first that asks for it, and offered again by those
that know it when the shared state was emptied.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.state.connection import PREFIX, Away, Connection

SECRET = f"{PREFIX}link-secret"
REFRESHED = 2.0  # seconds for which it is taken to be the same


@dataclass
class SharedSecret:
    """The shared secret or, until the shared state has answered once, the machine's own: links signed by that end when
    it answers. While it is away, the secret that was shared before."""

    connection: Connection
    own: bytes
    now: Callable[[], float] = time.monotonic
    _found: bytes | None = None
    _until: float = float("-inf")

    def __call__(self) -> bytes:
        if self.now() < self._until:
            return self._found or self.own
        try:
            self._found = self.connection.call(self._agree)
            self._until = self.now() + REFRESHED
        except Away:
            pass
        return self._found or self.own

    def _agree(self, client: Any) -> bytes:
        """The secret that is there, or else the one that this machine knows, or a new one."""
        client.set(SECRET, self._found or secrets.token_hex(32), nx=True)
        return bytes(client.get(SECRET) or self.own)
