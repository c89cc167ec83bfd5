"""Runs a graph over any number of rows in micro-batches: in smaller ones for a while after the device ran out of
memory, and towards a request's deadline, so that it ends soon after it.

Must not know TensorFlow: the caller says which error means that memory is exhausted.
"""

import logging
import time
from collections.abc import Callable, Mapping

import numpy as np

from server.errors import OutOfMemory
from server.protocols import NO_DEADLINE, RequestContext
from server.types import Array

MIN_ROWS = 2  # a single row takes other kernels, whose sums differ in the sixth digit
ALIGNED = 16  # rows: a batch that is cut into multiples of it, and a rest of at least as many, has the same sums to the
# last bit, so that no value depends on the time that was left
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
        self._pace = 0.0  # seconds a row, of the last batch

    @property
    def size(self) -> int:
        """Rows in a batch now."""
        return self._reduced if self._now() < self._until else self._max_rows

    def run(
        self, graph: Callable[..., Mapping[str, Array]], *arrays: Array, context: RequestContext = NO_DEADLINE
    ) -> dict[str, Array]:
        """The outputs by name of `graph` for the rows of all arrays, batch by batch, as long as the context allows.

        Raises:
            OutOfMemory: there is no memory for the fewest rows either.
            ServiceError: what the context raises between two batches, where it is cancelled or its deadline has passed.
        """
        outputs: list[Mapping[str, Array]] = []
        start = 0
        while start < len(arrays[0]):
            context.raise_if_cancelled()
            context.raise_if_expired()
            size = self._size_within(context.remaining(), len(arrays[0]) - start)
            part = [np.asarray(array[start : start + size], np.float32) for array in arrays]
            began = self._now()
            found = self._attempt(graph, part)
            if found is None:
                self._back_off(len(part[0]))
                continue
            self._pace = (self._now() - began) / len(part[0])
            outputs.append({name: output[: len(part[0])] for name, output in found.items()})
            start += len(part[0])
        return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

    def _size_within(self, seconds: float, rows: int) -> int:
        """How many of so many rows are computed next: those that the pace of the last batch allows in so many seconds,
        in multiples of ALIGNED."""
        whole = min(self.size, rows)
        if whole * self._pace <= seconds:
            return whole
        size = max(ALIGNED, int(seconds / self._pace) // ALIGNED * ALIGNED)
        return size if size + ALIGNED <= whole else whole

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

    def _back_off(self, rows: int) -> None:
        if rows <= MIN_ROWS:
            raise OutOfMemory(f"the device has no memory for {MIN_ROWS} rows; try again, or explain with fewer at once")
        size = max(MIN_ROWS, rows // 2)
        self._reduced, self._until = size, self._now() + BACKOFF
        log.warning("the device has no memory for %d rows; %d at once for %.0f s", rows, size, BACKOFF)
