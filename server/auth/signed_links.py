"""Signed links that expire (itsdangerous: path and time), so that <img src> works where keys are required.

Knows no HTTP; `shared_secret` is for processes that share a folder.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from itsdangerous import BadSignature, TimestampSigner

QUERY = "signature"  # what a signed link has in its query: when it was signed, and the signature
SALT = b"inkling links"
Verdict = Literal["good", "expired", "forged"]
FILE = "link_secret"


class _Signer(TimestampSigner):
    """HMAC-SHA256 with an injected clock."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        super().__init__(secret, salt=SALT, digest_method=hashlib.sha256)
        self._now = now

    def get_timestamp(self) -> int:
        return int(self._now())


@dataclass(frozen=True)
class Links:
    """Signs paths and verifies the signatures."""

    secret: bytes | Callable[[], bytes] = field(repr=False)  # called at each use, where machines share one
    seconds: int  # that a link is good for
    now: Callable[[], float] = time.time  # seconds since 1970: other processes and machines check the end

    def signed(self, address: str) -> str:
        """The address (a path, perhaps with a query) with a signature, so that anyone may GET it until it expires. The
        query is not signed."""
        path, mark, _ = address.partition("?")
        signature = _Signer(self._key(), self.now).sign(_bytes(path))[len(_bytes(path)) + 1 :].decode()
        return f"{address}{'&' if mark else '?'}{QUERY}={signature}"

    def check(self, path: str, signature: str) -> Verdict:
        """Whether this path was signed with this secret, and has not expired. A link from before the clock was set back
        is good."""
        at = self._signed_at(path, signature)
        if at is None:
            return "forged"
        return "good" if self.now() < at + self.seconds else "expired"

    def ending_with(self, path: str, signature: str) -> "Links":
        """Links that end when this good one does, so that nobody can renew it by following it."""
        at = self._signed_at(path, signature)
        return self if at is None else replace(self, now=lambda: at)

    def _key(self) -> bytes:
        return self.secret if isinstance(self.secret, bytes) else self.secret()

    def _signed_at(self, path: str, signature: str) -> float | None:
        """When this path got this signature, in seconds since 1970; None if it never did."""
        try:
            whole = _bytes(f"{path}.{signature}")
            signed, at = _Signer(self._key(), self.now).unsign(whole, return_timestamp=True)
        except BadSignature:
            return None
        # else the end of another path was put into the signature
        return at.timestamp() if signed == _bytes(path) else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def shared_secret(folder: Path | None) -> bytes:
    """A random secret that all processes with this folder share; only their user can read it."""
    secret = secrets.token_bytes(32)
    if folder is None:
        return secret
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / FILE, folder / f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
        os.link(draft, path)  # whole or not at all, and only the first comes through
    except FileExistsError:
        return path.read_bytes()
    finally:
        draft.unlink()
    return secret
