"""One file of records: bytes by id, the oldest out when it is full. Knows neither what a record says nor HTTP.

Any process may lock, delete or overwrite the file at any time: methods raise sqlite3.Error, OSError or NotOurs then,
and the next call looks at the file anew.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from server.records.opening import Bound, discard, identity, is_damage, make_room, opened

T = TypeVar("T")
TRIES = 3  # another may fill the log again before it is our turn


class Row(NamedTuple):
    """A record as the file has it."""

    place: int  # that it has no more when it is replaced
    made: float  # seconds of the wall clock
    body: bytes


class File:
    """Opened when it is first used, so that processes that are forked before that do not share a connection.

    For one thread at a time. `ours`: whether a damaged file may be replaced from the start; one that was sound when it
    was opened may be in any case.
    """

    def __init__(self, path: Path, bound: Bound, ours: bool) -> None:
        self.path = path
        self.bound = bound
        self._ours = ours
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int] | None = None

    def read(self, id_: str) -> Row | None:
        def work(connection: sqlite3.Connection) -> Row | None:
            found = connection.execute("SELECT place, made, body FROM records WHERE id = ?", (id_,)).fetchone()
            return None if found is None else Row(*found)

        return self._with_file(work)

    def write(self, id_: str, made: float, body: bytes, outdated: tuple[float, float] | None) -> bool:
        """Put a record in; whether it was small enough. Records made before or after `outdated` go out."""
        if len(body) > self.bound.record:
            return False

        def work(connection: sqlite3.Connection) -> bool:
            self._begin(connection)
            with connection:  # commits, or rolls back whatever happens
                if outdated is not None:
                    connection.execute("DELETE FROM records WHERE made < ? OR made > ?", outdated)
                connection.execute("DELETE FROM records WHERE id = ?", (id_,))
                make_room(connection, self.bound, len(body))
                connection.execute("INSERT INTO records (id, made, body) VALUES (?, ?, ?)", (id_, made, body))
            return True

        return self._with_file(work)

    def delete(self, place: int) -> None:
        self._with_file(lambda connection: connection.execute("DELETE FROM records WHERE place = ?", (place,)))

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write, with room in the log.

        SQLite puts the log into the file now and then, but begins it anew only when nobody is reading in it.
        """
        for _ in range(TRIES):
            connection.execute("BEGIN IMMEDIATE")
            if self._log() <= self.bound.log:
                return
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raise TimeoutError("its log is full, and others are reading in it")

    def _log(self) -> int:
        """Bytes of the log."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def _with_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connected()
        try:
            return work(connection)
        except sqlite3.DatabaseError as error:
            damaged = is_damage(error)
            if damaged:
                discard(self.path, self._seen)
            self.close()
            if not damaged:
                raise
        return work(self._connected())

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection is not None and self._seen == identity(self.path):
            return self._connection
        self.close()
        self._connection = opened(self.path, self.bound, self._ours)
        self._seen = identity(self.path)
        self._ours = True
        return self._connection
