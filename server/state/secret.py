"""The secret that signs links, the same on all machines: made by the first that asks for it."""

import secrets
from dataclasses import dataclass

from server.state.connection import PREFIX, Away, Connection

SECRET = f"{PREFIX}link-secret"


@dataclass
class SharedSecret:
    """The shared secret or, until the shared state has answered once, the machine's own: links signed by that end when
    it answers."""

    connection: Connection
    own: bytes
    _found: bytes | None = None

    def __call__(self) -> bytes:
        if self._found is None:
            try:
                self._found = self.connection.call(_secret)
            except Away:
                return self.own
        return self._found


def _secret(client: object) -> bytes:
    client.set(SECRET, secrets.token_hex(32), nx=True)  # type: ignore[attr-defined]
    return bytes(client.get(SECRET))  # type: ignore[attr-defined]
