"""API keys: whose is a key, and which scopes does it have? Only the SHA-256 of a key is ever stored; a key is 256
random bits, so that needs no salt.

A line of the file: `name sha256 scope,scope`. Knows no HTTP.
"""

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from server.config import SettingsError

Scope = Literal["predict", "explain", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "ink_"  # so that scanners for secrets recognise a key
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
POLL = 1.0  # seconds between two checks of the file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiKey:
    """The name of a key's holder, and its scopes."""

    name: str
    digest: str  # SHA-256 of the key, in hexadecimal
    scopes: frozenset[Scope]

    def line(self) -> str:
        """This key in the file."""
        return f"{self.name} {self.digest} {','.join(scope for scope in SCOPES if scope in self.scopes)}"


def new_key(name: str, scopes: str) -> tuple[str, ApiKey]:
    """A new key, and its entry for the file.

    Raises:
        SettingsError: not a valid name or scope.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, _parse_key([name, _digest(secret), scopes], "the new key")


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; empty lines and those that begin with # are left out.

    Raises:
        SettingsError: the file cannot be read or used; the message names the line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"INKLING_KEYS_FILE={str(path)!r} cannot be read ({error})") from error
    keys = tuple(_keys(text, path))
    if not keys:
        raise SettingsError(f"{path} has no key, so that nobody could ask; `python -m server key NAME >> {path}`")
    for what in ("name", "digest"):
        values = [getattr(key, what) for key in keys]
        if duplicates := sorted({value for value in values if values.count(value) > 1}):
            raise SettingsError(f"{path} has the {what} {duplicates[0]} twice; expected each once")
    return keys


def _keys(text: str, path: Path) -> Iterator[ApiKey]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield _parse_key(line.split(), f"{path}, line {number}")


def _parse_key(fields: list[str], where: str) -> ApiKey:
    if len(fields) != 3:
        raise SettingsError(f"{where} has {len(fields)} words; expected `name sha256 scope,scope`")
    name, digest, listed = fields
    if not NAME.fullmatch(name):
        raise SettingsError(f"{where}: the name {name[:100]!r}; expected at most 64 of A-Z a-z 0-9 . _ -")
    if not DIGEST.fullmatch(digest):  # not shown: it could be a key put there by mistake
        raise SettingsError(f"{where}: the second word is no SHA-256; expected the 64 hexadecimal digits of one")
    scopes = frozenset(scope for scope in SCOPES if scope in listed.split(","))
    if set(listed.split(",")) != scopes:
        raise SettingsError(f"{where}: the scopes {listed[:100]!r}; expected one or more of {','.join(SCOPES)}")
    return ApiKey(name, digest, scopes)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keyring:
    """The keys of a file, which is read again when it changes. If it becomes unusable that is logged, and the keys from
    before stay valid; a file that never was usable admits nobody."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._keys: tuple[ApiKey, ...] = ()
        self._stamp_of_keys: tuple[int, ...] | None = None
        self._next = now()
        self._reload_if_changed()

    def holder(self, secret: str) -> ApiKey | None:
        """The key with this secret, in constant time: the same for the first, the last and an unknown one."""
        self._reload_if_changed()
        digest, found = _digest(secret), None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def _reload_if_changed(self) -> None:
        with self._lock:
            if self._now() < self._next:
                return
            self._next = self._now() + POLL
            stamp = self._stamp()
            if stamp == self._stamp_of_keys:
                return
            self._stamp_of_keys = stamp
            try:
                self._keys = read_keys(self._path)
            except SettingsError as error:
                log.error("%s; the keys that were known before hold on", error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
