"""A path -> a connection to a file of records that several processes share: made, found, or put in place of a damaged
one. Knows no record.

WAL, so that reading and writing do not wait for each other. Nothing is synced to the disk: what is kept can be computed
again, a killed process harms nothing, and a file that a power cut damaged is noticed and replaced.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

APPLICATION = 0x696E6B31  # tells our files from those of others
LAYOUT = 1  # of the table
PAGE = 4096  # bytes; SQLite's usual
LARGEST = 4 << 20  # bytes of one record, where the file is large enough for it
CHECKPOINT = 1000  # pages of log that are then put into the file; SQLite's usual
SLACK = 64 << 10  # the index of the log
PATIENCE = 0.05  # seconds that an answer waits for another process
DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

TABLE = """
CREATE TABLE records (
    place INTEGER PRIMARY KEY AUTOINCREMENT, -- counts up: clocks step, and the lowest is the oldest all the same
    id TEXT NOT NULL UNIQUE,
    made REAL NOT NULL, -- by the wall clock, which several starts of a server share
    body BLOB NOT NULL
)"""


class NotOurs(Exception):
    """A file that somebody else made; it is left alone."""


class Outdated(sqlite3.DatabaseError):
    """A file of another layout."""


@dataclass(frozen=True)
class Bound:
    """How many bytes file and log may have together, divided up between them."""

    bytes: int

    @property
    def record(self) -> int:
        """Bytes of one record at most."""
        return min(self.bytes // 8, LARGEST)

    @property
    def checkpoint(self) -> int:
        """Pages of log that are let grow."""
        return min(CHECKPOINT, self.bytes // (16 * PAGE))

    @property
    def log(self) -> int:
        """Bytes of the log beyond which nothing is written before it is empty."""
        return self.checkpoint * (PAGE + 64)  # each page has a few bytes more there

    @property
    def pages(self) -> int:
        """Pages of the file itself."""
        return (self.bytes - self.log - self.record - self.record // 32 - SLACK) // PAGE


def opened(path: Path, bound: Bound, ours: bool) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time. `ours`: whether a damaged file at `path` may be replaced.

    Raises:
        NotOurs: the file is no file of records.
        sqlite3.Error, OSError: it can not be opened now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if ours and path.is_file() and path.stat().st_size == 0:  # cut off: who still has it open would block us
            path.unlink()
        try:
            return _prepared(path, bound)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            if not ours:
                raise NotOurs(
                    f"{path} is not a file of kept explanations, or a damaged one; it is left alone"
                ) from error
            path.unlink()
            return _prepared(path, bound)


def discard(path: Path, seen: tuple[int, int] | None) -> None:
    """Take away the damaged file that was `seen` at `path`, unless somebody did already."""
    with _alone(path):
        if identity(path) == seen:
            path.unlink(missing_ok=True)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at the path; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_damage(error: BaseException) -> bool:
    """Whether it is the file itself that is at fault, for good."""
    return isinstance(error, Outdated) or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in DAMAGES


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process makes, replaces or opens the file at a time: a log must not outlive the file that it belongs to.

    Raises:
        TimeoutError: others did not end.
    """
    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        deadline = time.monotonic() + 10 * PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has been opening {path} for long") from None
                time.sleep(PATIENCE / 10)
        yield
    finally:
        os.close(lock)


def _prepared(path: Path, bound: Bound) -> sqlite3.Connection:
    if not path.exists():
        for end in ("-wal", "-shm"):  # of a file that was taken away
            path.with_name(path.name + end).unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # what people sent is nobody else's business
    connection = sqlite3.connect(path, PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path, bound)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, bound: Bound) -> None:
    owner, layout = number(connection, "application_id"), number(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner == 0 and not tables:
        _make(connection)
    elif owner != APPLICATION:
        raise NotOurs(f"{path} is a database of somebody else; it is left alone")
    elif layout != LAYOUT:
        raise Outdated(f"{path} has layout {layout}, expected {LAYOUT}")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {bound.checkpoint}")
    connection.execute(f"PRAGMA journal_size_limit = {bound.checkpoint * PAGE}")
    if number(connection, "page_count") > bound.pages:  # it was made under a larger bound
        make_room(connection, bound, 0)
        connection.executescript("PRAGMA incremental_vacuum")  # execute() would take its first step only
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute(f"PRAGMA max_page_count = {bound.pages}").fetchall()


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # possible only before there is anything
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(TABLE)
    connection.execute("CREATE INDEX records_made ON records (made)")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute("COMMIT")


def make_room(connection: sqlite3.Connection, bound: Bound, size: int) -> None:
    """Delete the oldest records until one of `size` bytes has room."""
    needed = size // (PAGE - 16) + 16  # its pages, and some for the table around it
    while number(connection, "page_count") - number(connection, "freelist_count") + needed > bound.pages:
        oldest = "DELETE FROM records WHERE place = (SELECT min(place) FROM records)"
        if connection.execute(oldest).rowcount == 0:
            return


def number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
