"""Stores cache entries in one SQLite file: bytes by id; the oldest are deleted when it is full (FIFO). Knows neither
entries nor HTTP.

WAL, so that reading and writing do not wait for each other. Any process may lock the file or fill its disk: methods
raise sqlite3.Error or OSError then, and work again later. A file that is not this cache's, is damaged, or is taken away
while the server runs raises UnusableFile: it is not repaired, because it may belong to another program.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

APPLICATION = 0x696E6B31  # SQLite's application id, which marks our files
LAYOUT = 2  # of the table
PAGE = 4096  # bytes; SQLite's usual
TIMEOUT = 0.05  # seconds that an answer waits for another process
LOG_TIMEOUT = 0.2  # seconds that it waits for room in the log
FATAL = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # no table, no pages, no database

TABLE = """
CREATE TABLE entries (
    place INTEGER PRIMARY KEY AUTOINCREMENT, -- counts up: clocks step, and the lowest is the oldest all the same
    id TEXT NOT NULL UNIQUE,
    made REAL NOT NULL, -- by the wall clock, which several starts of a server share
    body BLOB NOT NULL
);
CREATE INDEX entries_made ON entries (made);
"""


class UnusableFile(Exception):
    """The file cannot be used as this cache, now or later; the message says why."""


class Row(NamedTuple):
    """An entry as the file has it."""

    made: float  # seconds of the wall clock
    body: bytes


class SqliteFile:
    """The file of the cache, opened at its first use, so that processes forked before that do not share a connection.

    File and log have at most `max_bytes` together. The log gets a reserve of them: half of it for one entry, a quarter
    for what was written before, and the rest for its index. For one thread at a time.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        reserve = min(max_bytes // 4, 16 << 20)
        self._pages = (max_bytes - reserve) // PAGE
        self._max_entry, self._log = reserve // 2, reserve // 4
        self._connection: sqlite3.Connection | None = None
        self._inode_at_first: tuple[int, int] | None = None

    def read(self, id_: str) -> Row | None:
        def work(connection: sqlite3.Connection) -> Row | None:
            found = connection.execute("SELECT made, body FROM entries WHERE id = ?", (id_,)).fetchone()
            return None if found is None else Row(*found)

        return self._with_file(work)

    def write(self, id_: str, made: float, body: bytes, outdated: tuple[float, float] | None) -> bool:
        """Write an entry; whether it was small enough. Entries made before or after `outdated` are deleted."""
        if len(body) > self._max_entry:
            return False

        def work(connection: sqlite3.Connection) -> bool:
            self._begin(connection)
            with connection:  # commits, or rolls back whatever happens
                if outdated is not None:
                    connection.execute("DELETE FROM entries WHERE made < ? OR made > ?", outdated)
                connection.execute("DELETE FROM entries WHERE id = ?", (id_,))
                self._make_room(connection, len(body))
                connection.execute("INSERT INTO entries (id, made, body) VALUES (?, ?, ?)", (id_, made, body))
            return True

        return self._with_file(work)

    def delete(self, id_: str) -> None:
        self._with_file(lambda connection: connection.execute("DELETE FROM entries WHERE id = ?", (id_,)))

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _with_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.Error as error:
            self.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in FATAL:
                raise UnusableFile(str(error)) from error
            raise

    def _connected(self) -> sqlite3.Connection:
        """The connection, if the path still has the file that was there at first."""
        if self._inode_at_first is None:
            self._inode_at_first = _check_or_create(self.path)
        if self._inode_at_first != _inode(self.path):
            raise UnusableFile("it was removed or replaced while the server ran")
        if self._connection is None:
            address = f"{self.path.absolute().as_uri()}?mode=rw"  # never makes a file
            connection = sqlite3.connect(address, TIMEOUT, isolation_level=None, check_same_thread=False, uri=True)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._log // PAGE}").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {self._log}").fetchall()
        if _number(connection, "page_count") > self._pages:  # it was made under a larger bound
            self._make_room(connection, 0)
            connection.executescript("PRAGMA incremental_vacuum")  # execute() would take its first step only
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA max_page_count = {self._pages}").fetchall()

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        """Delete the oldest entries until one of `size` bytes has room."""
        needed = size // (PAGE - 16) + 16  # its pages, and some for the table around it
        while _number(connection, "page_count") - _number(connection, "freelist_count") + needed > self._pages:
            oldest = "DELETE FROM entries WHERE place = (SELECT min(place) FROM entries)"
            if connection.execute(oldest).rowcount == 0:
                return

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write, with room in the log. SQLite puts it into the file now and then, but begins it anew only when
        nobody is reading in it; it does not wait for another process that is at it, which may then fill it again."""
        deadline = time.monotonic() + LOG_TIMEOUT
        while True:
            if self._log_size() > self._log:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            if self._log_size() <= self._log:
                return
            connection.execute("ROLLBACK")
            if time.monotonic() > deadline:
                raise TimeoutError("its log is full, and others are reading or writing in it")
            time.sleep(TIMEOUT / 25)

    def _log_size(self) -> int:
        """Bytes of the log."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0


def _check_or_create(path: Path) -> tuple[int, int]:
    """The device and inode of the cache file at the path, which is created where there is none.

    Reads its first bytes, because SQLite itself may write into a file that it only opens, to complete a transaction.

    Raises:
        UnusableFile: it is not a cache file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    has_log = path.with_name(f"{path.name}-wal").exists()  # asked first: another process may be making both
    if not path.exists():
        if has_log:  # SQLite would put it into the new file
            raise UnusableFile("it was removed, but its log is still there")
        _create(path)
    with path.open("rb") as file:  # before SQLite locks it: to close a file gives up all locks that a process has on it
        head, found = file.read(72), os.fstat(file.fileno())
    layout, application = (int.from_bytes(head[at : at + 4], "big") for at in (60, 68))
    if not head.startswith(b"SQLite format 3\0") or (layout, application) != (LAYOUT, APPLICATION):
        raise UnusableFile("it is no file of kept explanations, or one of another release")
    return found.st_dev, found.st_ino


def _create(path: Path) -> None:
    """Create an empty cache at the path atomically: of several processes one succeeds."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        draft.touch(0o600)  # what people sent is private
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # possible only before there is anything
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.executescript(TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        with suppress(FileExistsError):
            os.link(draft, path)


def _inode(path: Path) -> tuple[int, int] | None:
    """The device and inode of the file at the path; None if there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
