"""Pictures as rows of an array of numbers: npy, or one of the arrays of an npz."""

import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Any, BinaryIO, cast

import numpy as np

from server.bulk.errors import SourceError
from server.bulk.sources.types import DAMAGED, MOST_NAMED, Bounds, Item, fingerprint_of
from server.types import Array, Picture


class ArraySource:
    """A picture in each row of an array, as numbers."""

    def __init__(self, name: str, array: Array) -> None:
        self._name, self._array = name, array
        content = zlib.crc32(np.ascontiguousarray(array).data)
        self.fingerprint = fingerprint_of(["array", list(array.shape), str(array.dtype), content])

    def close(self) -> None:
        """The array is in memory."""

    def __len__(self) -> int:
        return len(self._array)

    def read(self, row: int) -> Item:
        return Item(str(row), Picture(pixels=self._array[row].tolist()))


def array_in(
    archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], array: str | None, name: str, bounds: Bounds | None
) -> Array:
    """The array of pictures in an npz: the named one, or the only one that has a picture in each row."""
    shapes = {one.filename.removesuffix(".npy"): _shape(archive, one) for one in entries}
    found = [one for one, shape in shapes.items() if len(shape) > 1] if array is None else [array]
    if len(found) != 1 or found[0] not in shapes:
        there = ", ".join(f"{one} {shape}" for one, shape in list(shapes.items())[:MOST_NAMED])
        raise SourceError(f"{name} has the arrays {there}; name the one of pictures with --array")
    if archive.getinfo(found[0] + ".npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceError(f"{found[0]} in {name} is compressed by another method than deflate; write it with numpy")
    try:
        with archive.open(found[0] + ".npy") as entry:
            return loaded(cast(BinaryIO, entry), found[0], bounds)
    except DAMAGED as error:
        raise SourceError(f"{found[0]} in {name} cannot be read ({error})") from error


def _shape(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[int, ...]:
    """Of an array, without reading it; () where it cannot be told."""
    try:
        with archive.open(entry) as opened:
            return _header(opened)[0]
    except DAMAGED:
        return ()


def _header(opened: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an npy file, which is read up to its numbers. Raises ValueError."""
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(opened)
    return tuple(shape), dtype


def loaded(opened: BinaryIO, name: str, bounds: Bounds | None) -> Array:
    """An array of numbers, one picture in each row."""
    try:
        shape, dtype = _header(opened)
        if len(shape) < 2 or dtype.kind not in "buif":
            raise SourceError(
                f"{name} has shape {shape} and type {dtype}; expected numbers, a picture in each row: (n, 28, 28)"
            )
        if bounds is not None:
            bounds.check_array(shape, dtype.itemsize, name)
        opened.seek(0)
        return np.asarray(np.lib.format.read_array(opened, allow_pickle=False))
    except DAMAGED as error:
        raise SourceError(f"{name} cannot be read as an array ({error})") from error
