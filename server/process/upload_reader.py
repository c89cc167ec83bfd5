"""Wraps gunicorn's reader of a body: says when all of it has been read, and bounds what its chunks cost.

Must not import gunicorn.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

MOST_CHUNKS = 100_000  # of a body, each of which the parser takes 2 µs for, however short; of 12 MiB, 125 bytes each


class TooManyChunks(ValueError):
    """More than MOST_CHUNKS."""


class UploadReader:
    """Calls `on_end` when all has been read; `ended` says whether it has."""

    def __init__(self, reader: Any, on_end: Callable[[], None]) -> None:
        self._reader, self._on_end = reader, on_end
        if hasattr(reader, "parse_chunk_size"):
            reader.parse_chunk_size = _counted(reader.parse_chunk_size)
        self.ended = self._is_at_end()

    def _is_at_end(self) -> bool:
        return getattr(self._reader, "length", None) == 0  # a reader of chunks has no length

    def read(self, size: int) -> bytes:
        data: bytes = self._reader.read(size)
        if not data or self._is_at_end():
            self.ended = True
            self._on_end()
        return data


def _counted(parse_chunk_size: Callable[..., Any]) -> Callable[..., Any]:
    """The same, called for each chunk, which raises TooManyChunks."""
    numbers = count(1)

    def parse(*args: Any, **kwargs: Any) -> Any:
        if next(numbers) > MOST_CHUNKS + 1:  # the last one is the end
            raise TooManyChunks
        return parse_chunk_size(*args, **kwargs)

    return parse
