"""Pictures as rows of Parquet files."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from server.bulk.errors import SourceError
from server.bulk.sources.archives import item_of
from server.bulk.sources.files import File, Files
from server.bulk.sources.types import MOST_NAMED, Item, fingerprint_of
from server.errors import DamagedImage, EmptyBody
from server.types import Picture

COLUMNS = ("image", "pixels", "bytes")  # of pictures, where none is named
NAMES = ("name", "path", "file_name")
AT_ONCE = 32  # rows that are decoded together


class ParquetSource:
    """A picture in each row of one or several Parquet files: encoded, also as the structs of bytes and path that other
    data sets have, or as numbers.

    Rows are decoded few at a time. Reading goes on where it stopped, if the next rows lie in the same group, since a
    group can only be decoded from its beginning, and may have a million rows.
    """

    def __init__(self, files: Files, listed: Sequence[File], column: str | None, max_bytes: int) -> None:
        self._files, self._max_bytes = files, max_bytes
        self._groups: list[_Group] = []
        content, rows = [], 0
        for file in listed:
            with self._open(file) as opened:
                if not self._groups:
                    self.column = _column(opened.schema_arrow, column, file.name)
                    self._names = next((one for one in NAMES if one in opened.schema_arrow.names), None)
                _check_columns(opened.schema_arrow, [self.column, self._names], file.name)
                content.append(repr(opened.metadata.to_dict()))  # has the sizes and bounds of all columns
                for at in range(opened.num_row_groups):
                    count = opened.metadata.row_group(at).num_rows
                    self._groups.append(_Group(file, at, range(rows, rows + count)))
                    rows += count
        self._rows = rows
        self._reading: Iterator[Item] | None = None
        self._group: _Group | None = None  # that is being read
        self._next = 0  # row that comes next
        self.fingerprint = fingerprint_of(["parquet", self.column, *listed, *content])

    def close(self) -> None:
        self._reading = None  # ends the generator, which closes its file

    @contextmanager
    def _open(self, file: File) -> Iterator[Any]:
        import pyarrow
        from pyarrow import parquet

        with self._files.open(file.name) as opened:
            try:
                found = parquet.ParquetFile(opened)
            except (pyarrow.ArrowException, OSError) as error:
                raise SourceError(f"{file.name} cannot be read as Parquet ({str(error)[:200]})") from error
            yield found

    def __len__(self) -> int:
        return self._rows

    def read(self, row: int) -> Item:
        group = self._groups[bisect_right(self._groups, row, key=lambda group: group.rows.stop)]
        if self._reading is None or self._group != group or self._next > row:
            self._reading, self._group, self._next = self._from(group), group, group.rows.start
        for _ in range(row - self._next):
            next(self._reading)
        self._next = row + 1
        return next(self._reading)

    def _from(self, group: "_Group") -> Iterator[Item]:
        """The rows of a group; where one cannot be decoded, it and all that follow are errors."""
        row = group.rows.start
        columns = [one for one in (self.column, self._names) if one is not None]
        try:
            with self._open(group.file) as opened:
                for batch in opened.iter_batches(AT_ONCE, [group.number], columns):
                    names = None if self._names is None else batch.column(self._names)
                    for at in range(batch.num_rows):
                        name = None if names is None else names[at].as_py()
                        yield self._item(name, row, batch.column(self.column)[at].as_py())
                        row += 1
        except Exception as error:  # Arrow has its own, and raises others' for what is damaged
            why = f"its row group cannot be decoded ({type(error).__name__}: {str(error)[:200]})"
            for damaged in range(row, group.rows.stop):
                yield Item(str(damaged), None, DamagedImage(why))

    def _item(self, name: object, row: int, value: Any) -> Item:
        """A cell: bytes, a struct of bytes and path, or numbers."""
        if isinstance(value, dict):
            name = name if name is not None else value.get("path")
            value = value.get("bytes")
        known = str(row) if name is None else str(name)
        if value is None:
            return Item(known, None, EmptyBody("the cell is empty; expected the bytes of a picture, or its pixels"))
        return (
            item_of(known, value, self._max_bytes) if isinstance(value, bytes) else Item(known, Picture(pixels=value))
        )


class _Group(NamedTuple):
    """Rows of a Parquet file that are decoded together."""

    file: File
    number: int
    rows: range


def _check_columns(schema: Any, columns: Sequence[str | None], name: str) -> None:
    if missing := [one for one in columns if one is not None and one not in schema.names]:
        raise SourceError(f"{name} lacks the column {missing[0]} that the first file has")


def _column(schema: Any, column: str | None, name: str) -> str:
    """The column of pictures."""
    there = schema.names
    found = [one for one in COLUMNS if one in there] if column is None else [one for one in there if one == column]
    if not found:
        got = ", ".join(there[:MOST_NAMED])
        raise SourceError(f"{name} has the columns {got}; name the one of pictures with --array")
    return str(found[0])
