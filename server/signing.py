"""Links that are good for a while: a path, its end and an HMAC-SHA256 of both: <img src> works where keys are on.

Knows no HTTP; `shared_secret` is for processes that share a folder.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

QUERY = ("expires", "signature")  # what a signed link has in its query
Verdict = Literal["good", "expired", "forged"]
FILE = "link_secret"


@dataclass(frozen=True)
class Links:
    """Signs paths and knows its signatures again."""

    secret: bytes = field(repr=False)
    seconds: int  # that a link is good for
    now: Callable[[], float] = time.time  # seconds since 1970: other processes and machines check the end

    def signed(self, address: str) -> str:
        """The address, a path or a path with a query, that anyone may GET until the end. Its query is not signed."""
        path, mark, _ = address.partition("?")
        expires = str(int(self.now()) + self.seconds)
        joint = "&" if mark else "?"
        return f"{address}{joint}expires={expires}&signature={self._signature(path, expires)}"

    def check(self, path: str, expires: str, signature: str) -> Verdict:
        """Whether this path was signed here with this end, and the end is still to come."""
        expected = self._signature(path, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            return "forged"
        return "good" if self.now() < int(expires) else "expired"  # only numbers were ever signed

    def _signature(self, path: str, expires: str) -> str:
        message = f"{expires}\n{path}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


def shared_secret(folder: Path | None) -> bytes:
    """A random secret that all processes which share the folder agree on; only their user can read it."""
    mine = secrets.token_bytes(32)
    if folder is None:
        return mine
    folder.mkdir(parents=True, exist_ok=True)
    path, own = folder / FILE, folder / f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(mine)
        os.link(own, path)  # whole or not at all, and only the first comes through
    except FileExistsError:
        return path.read_bytes()
    finally:
        own.unlink()
    return mine
