"""Where the pictures of a bulk run come from: a folder, a zip, an array in npz or npy, or Parquet (iterators).

A source has its rows in a fixed order, so that a run can go on with any of them. Its fingerprint tells whether it is
still the same. types.py says what a source is.
"""

import zipfile
from contextlib import ExitStack
from typing import BinaryIO

from server.bulk.errors import BulkError, SourceError
from server.bulk.sources.archives import FolderSource, ZipSource
from server.bulk.sources.arrays import ArraySource, array_in, loaded
from server.bulk.sources.files import Files, files_at, is_hidden
from server.bulk.sources.parquet import ParquetSource
from server.bulk.sources.types import DAMAGED, Bounds, Item, PictureSource

EXPECTED = "expected a folder or zip of pictures, an npz or npy of them as numbers, or Parquet"

__all__ = ["Bounds", "Item", "Source", "open_source"]


def open_source(address: str, array: str | None, max_picture_bytes: int, bounds: Bounds | None = None) -> PictureSource:
    """The pictures at a path or an address. `array` names the array of an npz, or the column of Parquet, where there is
    more than one; of an encoded picture at most so many bytes are read. What is larger than `bounds` is refused before
    it is read.

    Raises:
        SourceError: nothing is there, or no pictures.
    """
    try:
        return _opened(files_at(address), array, max_picture_bytes, bounds)
    except BulkError:
        raise
    except Exception as error:  # what strangers send may raise anything in those that read it
        raise SourceError(f"{address} cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


def _opened(files: Files, array: str | None, max_picture_bytes: int, bounds: Bounds | None) -> PictureSource:
    listed = files.listed()
    if files.is_folder:
        tables = [one for one in listed if one.name.endswith(".parquet")]
        if tables and all(one.name.rpartition("/")[2].startswith("_") for one in listed if one not in tables):
            return ParquetSource(files, tables, array, max_picture_bytes)
        _refuse_array(array, "a folder")
        return FolderSource(files, listed, max_picture_bytes)
    (file,) = listed
    with ExitStack() as resources:
        opened = resources.enter_context(files.open(file.name))
        start = opened.read(8)
        opened.seek(0)
        if start.startswith(b"PAR1"):
            return ParquetSource(files, [file], array, max_picture_bytes)
        if start.startswith(b"\x93NUMPY"):
            _refuse_array(array, "an npy file")
            return ArraySource(file.name, loaded(opened, file.name, bounds))
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            if bounds is not None:
                bounds.check_directory(opened, file.name)
            return _archive(opened, file.name, array, max_picture_bytes, resources, bounds)
    raise SourceError(f"{file.name} is none of these; {EXPECTED}")


def _refuse_array(array: str | None, kind: str) -> None:
    if array is not None:
        raise SourceError(f"{kind} has no array {array!r}; leave it out")


def _archive(
    opened: BinaryIO, name: str, array: str | None, max_picture_bytes: int, resources: ExitStack, bounds: Bounds | None
) -> PictureSource:
    """What a zip holds: arrays, as an npz does, or files, for which it stays open."""
    try:
        archive = zipfile.ZipFile(opened)
    except DAMAGED as error:
        raise SourceError(f"{name} begins as a zip and cannot be read as one ({error}); {EXPECTED}") from error
    entries = [one for one in archive.infolist() if not one.is_dir() and not is_hidden(one.filename)]
    if entries and all(one.filename.endswith(".npy") for one in entries):
        return ArraySource(name, array_in(archive, entries, array, name, bounds))
    _refuse_array(array, "a zip of pictures")
    return ZipSource(archive, entries, max_picture_bytes, resources.pop_all())
