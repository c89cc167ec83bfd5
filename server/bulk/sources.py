"""Where the pictures of a bulk run come from: a folder, a zip, an array in npz or npy, or Parquet (iterators).

A source has its rows in a fixed order, so that a run can go on with any of them. Its fingerprint tells whether it is
still the same.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from lzma import LZMAError
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from server.bulk.errors import SourceError
from server.bulk.files import File, Files, files_at, is_hidden
from server.errors import DamagedImage, EmptyBody, ImageTooLarge, ServiceError
from server.types import Array, Picture

IN_ZIP = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError, OSError, ValueError)
EXPECTED = "expected a folder or zip of pictures, an npz or npy of them as numbers, or Parquet"
COLUMNS = ("image", "pixels", "bytes")  # of pictures in Parquet, where none is named
NAMES = ("name", "path", "file_name")
MOST_NAMED = 8  # arrays or columns that a message lists


class Item(NamedTuple):
    """One row of a source: a picture, or why it cannot be had."""

    name: str
    picture: Picture | None
    error: ServiceError | None = None


class Source(Protocol):
    """Pictures in a fixed order."""

    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, rows: range) -> Iterator[Item]:
        """These rows, which follow each other, one item each."""
        ...

    def close(self) -> None:
        """Close the files that it holds open."""
        ...


def open_source(address: str, array: str | None, max_picture_bytes: int) -> Source:
    """The pictures at a path or an address. `array` names the array of an npz, or the column of Parquet, where there is
    more than one; of an encoded picture at most so many bytes are read.

    Raises:
        SourceError: nothing is there, or no pictures.
    """
    files = files_at(address)
    listed = files.listed()
    if files.is_folder:
        if listed and all(one.name.endswith(".parquet") for one in listed):
            return ParquetSource(files, listed, array)
        _refuse_array(array, "a folder")
        return FolderSource(files, listed, max_picture_bytes)
    (file,) = listed
    with ExitStack() as resources:
        opened = resources.enter_context(files.open(file.name))
        start = opened.read(8)
        opened.seek(0)
        if start.startswith(b"PAR1"):
            return ParquetSource(files, [file], array)
        if start.startswith(b"\x93NUMPY"):
            _refuse_array(array, "an npy file")
            return ArraySource(file.name, _loaded(opened, file.name))
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _archive(opened, file.name, array, max_picture_bytes, resources)
    raise SourceError(f"{file.name} is none of these; {EXPECTED}")


def _refuse_array(array: str | None, kind: str) -> None:
    if array is not None:
        raise SourceError(f"{kind} has no array {array!r}; leave it out")


def _archive(opened: BinaryIO, name: str, array: str | None, max_picture_bytes: int, resources: ExitStack) -> Source:
    """What a zip holds: arrays, as an npz does, or files, for which it stays open."""
    try:
        archive = zipfile.ZipFile(opened)
    except IN_ZIP as error:
        raise SourceError(f"{name} begins as a zip and cannot be read as one ({error}); {EXPECTED}") from error
    entries = [one for one in archive.infolist() if not one.is_dir() and not is_hidden(one.filename)]
    if entries and all(one.filename.endswith(".npy") for one in entries):
        return ArraySource(name, _array_of(archive, entries, array, name))
    _refuse_array(array, "a zip of pictures")
    return ZipSource(archive, entries, max_picture_bytes, resources.pop_all())


def _array_of(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], array: str | None, name: str) -> Array:
    """The array of pictures in an npz: the named one, or the only one that has a picture in each row."""
    shapes = {one.filename.removesuffix(".npy"): _shape(archive, one) for one in entries}
    found = [one for one, shape in shapes.items() if len(shape) > 1] if array is None else [array]
    if len(found) != 1 or found[0] not in shapes:
        there = ", ".join(f"{one} {shape}" for one, shape in list(shapes.items())[:MOST_NAMED])
        raise SourceError(f"{name} has the arrays {there}; name the one of pictures with --array")
    try:
        with archive.open(found[0] + ".npy") as entry:
            return _loaded(io.BytesIO(entry.read()), found[0])
    except IN_ZIP as error:
        raise SourceError(f"{found[0]} in {name} cannot be read ({error})") from error


def _shape(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[int, ...]:
    """Of an array, without reading it; () where it cannot be told."""
    try:
        with archive.open(entry) as opened:
            version = np.lib.format.read_magic(opened)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return tuple(read(opened)[0])
    except IN_ZIP:
        return ()


def _loaded(opened: BinaryIO, name: str) -> Array:
    """An array of numbers, one picture in each row."""
    try:
        array = np.lib.format.read_array(opened, allow_pickle=False)
    except IN_ZIP as error:
        raise SourceError(f"{name} cannot be read as an array ({error})") from error
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise SourceError(
            f"{name} has shape {array.shape} and type {array.dtype}; expected numbers, a picture in each row, such as "
            "(n, 28, 28)"
        )
    return np.asarray(array)


def _fingerprint(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class FolderSource:
    """A picture in each file below a folder."""

    def __init__(self, files: Files, listed: Sequence[File], max_bytes: int) -> None:
        self._files, self._listed, self._max_bytes = files, listed, max_bytes
        self.fingerprint = _fingerprint(["folder", *listed])

    def close(self) -> None:
        """Nothing is open between two reads."""

    def __len__(self) -> int:
        return len(self._listed)

    def read(self, rows: range) -> Iterator[Item]:
        for row in rows:
            file = self._listed[row]
            try:
                with self._files.open(file.name) as opened:
                    body = opened.read(self._max_bytes + 1)
            except Exception as error:  # of a disk, or of a store's client
                yield Item(file.name, None, DamagedImage(f"the file cannot be read ({type(error).__name__})"))
                continue
            yield _item(file.name, body, self._max_bytes)


class ZipSource:
    """A picture in each entry of a zip."""

    def __init__(
        self, archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], max_bytes: int, resources: ExitStack
    ) -> None:
        self._archive, self._entries, self._max_bytes = archive, entries, max_bytes
        self.close = resources.close
        self.fingerprint = _fingerprint(["zip", *([one.filename, one.file_size, one.CRC] for one in entries)])

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, rows: range) -> Iterator[Item]:
        for row in rows:
            entry = self._entries[row]
            try:
                with self._archive.open(entry) as opened:
                    body = opened.read(self._max_bytes + 1)
            except IN_ZIP as error:
                why = f"it cannot be taken out of the zip ({type(error).__name__}: {str(error)[:200]})"
                yield Item(entry.filename, None, DamagedImage(why))
                continue
            yield _item(entry.filename, body, self._max_bytes)


def _item(name: str, body: bytes, max_bytes: int) -> Item:
    if not body:
        return Item(name, None, EmptyBody("the file is empty; expected a picture"))
    if len(body) > max_bytes:
        return Item(name, None, ImageTooLarge(f"the file has more than {max_bytes} bytes; send a smaller picture"))
    return Item(name, Picture(body))


class ArraySource:
    """A picture in each row of an array, as numbers."""

    def __init__(self, name: str, array: Array) -> None:
        self._name, self._array = name, array
        content = zlib.crc32(np.ascontiguousarray(array).data)
        self.fingerprint = _fingerprint(["array", list(array.shape), str(array.dtype), content])

    def close(self) -> None:
        """The array is in memory."""

    def __len__(self) -> int:
        return len(self._array)

    def read(self, rows: range) -> Iterator[Item]:
        for row in rows:
            yield Item(str(row), Picture(pixels=self._array[row].tolist()))


class ParquetSource:
    """A picture in each row of one or several Parquet files: encoded, also as the structs of bytes and path that other
    data sets have, or as numbers."""

    def __init__(self, files: Files, listed: Sequence[File], column: str | None) -> None:
        self._files, self._listed = files, listed
        with ExitStack() as resources:
            opened = [resources.enter_context(self._open(one)) for one in listed]
            self._starts = [0, *accumulate(one.metadata.num_rows for one in opened)]
            self.column = _column(opened[0].schema_arrow, column, listed[0].name)
            self._names = next((one for one in NAMES if one in opened[0].schema_arrow.names), None)
            content = [repr(one.metadata.to_dict()) for one in opened]  # has the sizes and bounds of all columns
        self.fingerprint = _fingerprint(["parquet", self.column, *listed, *content])

    def close(self) -> None:
        """Nothing is open between two reads."""

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
        return int(self._starts[-1])

    def read(self, rows: range) -> Iterator[Item]:
        for file, start, end in zip(self._listed, self._starts, self._starts[1:], strict=False):
            inside = range(max(rows.start, start), min(rows.stop, end))
            if inside:
                with self._open(file) as opened:
                    yield from self._read(opened, start, inside)

    def _read(self, opened: Any, start: int, rows: range) -> Iterator[Item]:
        columns = [one for one in (self.column, self._names) if one is not None]
        for group in range(opened.num_row_groups):
            end = start + opened.metadata.row_group(group).num_rows
            inside = range(max(rows.start, start), min(rows.stop, end))
            if inside:
                table = opened.read_row_group(group, columns).slice(inside.start - start, len(inside))
                names = table[self._names] if self._names is not None else None
                for at, row in enumerate(inside):
                    name = None if names is None else names[at].as_py()
                    yield _of_value(name, row, table[self.column][at].as_py())
            start = end


def _column(schema: Any, column: str | None, name: str) -> str:
    """The column of pictures."""
    there = schema.names
    found = [one for one in COLUMNS if one in there] if column is None else [one for one in there if one == column]
    if not found:
        got = ", ".join(there[:MOST_NAMED])
        raise SourceError(f"{name} has the columns {got}; name the one of pictures with --array")
    return str(found[0])


def _of_value(name: object, row: int, value: Any) -> Item:
    """A cell of Parquet: bytes, a struct of bytes and path, or numbers."""
    if isinstance(value, dict):
        name = name if name is not None else value.get("path")
        value = value.get("bytes")
    known = str(row) if name is None else str(name)
    if value is None:
        return Item(known, None, EmptyBody("the cell is empty; expected the bytes of a picture, or its pixels"))
    return Item(known, Picture(bytes(value)) if isinstance(value, bytes) else Picture(pixels=value))
