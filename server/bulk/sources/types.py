"""What every source is: rows in a fixed order, each a picture or why there is none."""

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from lzma import LZMAError
from typing import BinaryIO, NamedTuple, Protocol

from server.bulk.errors import SourceError
from server.errors import ServiceError
from server.types import Picture

DAMAGED = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError, OSError, ValueError)
"""What reading a damaged zip or array may raise."""
ZIP_TAIL = 65557  # bytes in which a zip says where its directory is
ENTRY_BYTES = 300  # of that directory, for an entry with a name of some length
MOST_NAMED = 8  # arrays or columns that a message lists


class Item(NamedTuple):
    """One row of a source: a picture, or why it cannot be had."""

    name: str
    picture: Picture | None
    error: ServiceError | None = None


@dataclass(frozen=True)
class Bounds:
    """What a source may take where strangers send it: rows, and bytes of what is unpacked in memory at once."""

    rows: int
    unpacked: int

    def check_directory(self, opened: BinaryIO, name: str) -> None:
        """Raises SourceError where the directory of a zip has more entries than rows, by its bytes."""
        opened.seek(0, io.SEEK_END)
        opened.seek(-min(opened.tell(), ZIP_TAIL), io.SEEK_END)
        _, found, tail = opened.read().rpartition(b"PK\x05\x06")
        opened.seek(0)
        if found and len(tail) >= 12 and int.from_bytes(tail[8:12], "little") > ENTRY_BYTES * (self.rows + 100):
            raise SourceError(f"{name} has more than {self.rows} entries; send them in several parts")

    def check_array(self, shape: Sequence[int], itemsize: int, name: str) -> None:
        """Raises SourceError where an array is larger."""
        if shape and shape[0] > self.rows:
            raise SourceError(f"{name} has {shape[0]} rows; {self.rows} at most are taken, send them in several parts")
        if math.prod(shape) * itemsize > self.unpacked:
            raise SourceError(f"{name} takes more than {self.unpacked} bytes; send it as whole numbers of 8 bits")


class PictureSource(Protocol):
    """Pictures in a fixed order."""

    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, row: int) -> Item:
        """A row. Reading them in their order is quickest."""
        ...

    def close(self) -> None:
        """Close the files that it holds open."""
        ...


def fingerprint_of(facts: object) -> str:
    """The hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
