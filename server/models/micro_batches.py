"""Runs a graph over any number of rows in micro-batches, and in smaller ones for a while after the device ran out of
memory.

Must not know TensorFlow: the caller says which error means that memory is exhausted.
"""

import logging
import time
from collections.abc import Callable, Mapping

import numpy as np

from server.errors import OutOfMemory
from server.types import Array

MIN_ROWS = 2  # a single row takes other kernels, whose sums differ in the sixth digit
BACKOFF = 60.0  # seconds with smaller batches after memory was exhausted

log = logging.getLogger(__name__)


class MicroBatcher:
    """Splits the rows of one verb into batches of `max_rows`, or of fewer where memory was exhausted a while ago."""

    def __init__(
        self,
        max_rows: int,
        exhausted: type[Exception],
        on_batch: Callable[[int], None] = lambda rows: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`exhausted` is what a graph raises when memory is; `on_batch` is called with the rows of each call."""
        self._max_rows, self._exhausted, self._on_batch, self._now = max_rows, exhausted, on_batch, now
        self._reduced, self._until = max_rows, -np.inf

    @property
    def size(self) -> int:
        """Rows in a batch now."""
        return self._reduced if self._now() < self._until else self._max_rows

    def run(self, graph: Callable[..., Mapping[str, Array]], *arrays: Array) -> dict[str, Array]:
        """The outputs by name of `graph` for the rows of all arrays, batch by batch.

        Raises:
            OutOfMemory: there is no memory for the fewest rows either.
        """
        outputs: list[Mapping[str, Array]] = []
        start, size = 0, self.size
        while start < len(arrays[0]):
            part = [np.asarray(array[start : start + size], np.float32) for array in arrays]
            found = self._attempt(graph, part)
            if found is None:
                size = self._back_off(len(part[0]))
                continue
            outputs.append({name: output[: len(part[0])] for name, output in found.items()})
            start += len(part[0])
        return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

    def _attempt(self, graph: Callable[..., Mapping[str, Array]], part: list[Array]) -> Mapping[str, Array] | None:
        """None where memory was exhausted: the caller retries after the error is freed, as it keeps the arrays
        alive."""
        self._on_batch(len(part[0]))
        missing = MIN_ROWS - len(part[0])
        if missing > 0:
            part = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in part]
        try:
            return graph(*part)
        except self._exhausted:
            return None

    def _back_off(self, rows: int) -> int:
        if rows <= MIN_ROWS:
            raise OutOfMemory(f"the device has no memory for {MIN_ROWS} rows; try again, or explain with fewer at once")
        size = max(MIN_ROWS, rows // 2)
        self._reduced, self._until = size, self._now() + BACKOFF
        log.warning("the device has no memory for %d rows; %d at once for %.0f s", rows, size, BACKOFF)
        return size
