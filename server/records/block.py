"""A header and arrays <-> one block of bytes that tells when it is damaged. Knows no explanation.

16 bytes   MAGIC, which ends in the format's number
32 bytes   SHA-256 of the rest
the rest   zlib of: length of the header (4 bytes, little endian), header (JSON), the arrays one after the other
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from server.types import Array

MAGIC = b"inkling record 1"
LARGEST = 32 << 20  # bytes before compression; a picture of 512 x 512 is less than one MiB
LEVEL = 1  # of zlib: 6 takes five times as long for a tenth less
KINDS = "fiub"  # of numpy's types: plain numbers, never objects
CHECKSUM = hashlib.sha256().digest_size
LENGTH = struct.Struct("<I")


class Damaged(Exception):
    """Bytes that are not a whole record; the message says what is wrong."""


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """`header` is what JSON can say. Raises ValueError or TypeError for what has no form here, or is too large."""
    shapes = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    if any(array.dtype.kind not in KINDS for array in arrays.values()):
        raise TypeError(f"only plain numbers are kept, got {shapes}")
    told = json.dumps({"header": header, "arrays": shapes}).encode()
    raw = b"".join([LENGTH.pack(len(told)), told, *(array.tobytes() for array in arrays.values())])
    if len(raw) > LARGEST:
        raise ValueError(f"a record of {len(raw)} bytes; at most {LARGEST} are kept")
    rest = zlib.compress(raw, LEVEL)
    return MAGIC + hashlib.sha256(rest).digest() + rest


def unpack(block: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the arrays, which can not be written to.

    Raises:
        Damaged: it is not a whole block of this format.
    """
    start = len(MAGIC) + CHECKSUM
    if block[: len(MAGIC)] != MAGIC:
        raise Damaged("it does not begin as a record of this format does")
    if hashlib.sha256(block[start:]).digest() != block[len(MAGIC) : start]:
        raise Damaged("its checksum is another")
    try:
        return _read(_inflated(block[start:]))
    except (ValueError, TypeError, KeyError, struct.error, zlib.error, RecursionError) as error:
        raise Damaged(f"it can not be read ({type(error).__name__}: {error})") from error


def _inflated(rest: bytes) -> bytes:
    inflater = zlib.decompressobj()
    raw = inflater.decompress(rest, LARGEST)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it does not end where it should")
    return raw


def _read(raw: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    start = LENGTH.size + LENGTH.unpack_from(raw)[0]
    told = json.loads(raw[LENGTH.size : start])
    arrays: dict[str, Array] = {}
    for name, kind, shape in told["arrays"]:
        dtype = np.dtype(kind)
        if dtype.kind not in KINDS or min(shape, default=0) < 0:
            raise TypeError(f"{name} is of type {kind} and shape {shape}")
        arrays[name] = np.ndarray(tuple(shape), dtype, raw, start)
        start += arrays[name].nbytes
    if start != len(raw) or not isinstance(told["header"], dict):
        raise ValueError(f"{len(raw)} bytes where {start} were expected")
    return told["header"], arrays
