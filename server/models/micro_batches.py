"""A graph over any number of rows, so many at once, and half as many where the device has no memory for them.

Must not know TensorFlow: how it says that memory is exhausted is told.
"""

import logging
import time
from collections.abc import Callable, Mapping

import numpy as np

from server.errors import OutOfMemory
from server.types import Array

FEWEST = 2  # rows: a single row takes other kernels, whose sums differ in the sixth digit
CAUTION = 60.0  # seconds for which fewer rows are put forward after the memory was exhausted

log = logging.getLogger(__name__)


class MicroBatcher:
    """The rows that one verb of a model takes at once: `most`, unless memory was exhausted a while ago."""

    def __init__(
        self,
        most: int,
        exhausted: type[Exception],
        on_batch: Callable[[int], None] = lambda rows: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`exhausted` is what a graph raises where memory is; `on_batch` is told the rows of each call."""
        self._most, self._exhausted, self._on_batch, self._now = most, exhausted, on_batch, now
        self._fewer, self._until = most, -np.inf

    @property
    def size(self) -> int:
        """Rows that are put forward at once now."""
        return self._fewer if self._now() < self._until else self._most

    def apply(self, graph: Callable[..., Mapping[str, Array]], *arrays: Array) -> dict[str, Array]:
        """graph applied to the rows of all arrays, chunk by chunk; its outputs by name.

        Raises:
            OutOfMemory: there is no memory for the fewest rows either.
        """
        outputs: list[Mapping[str, Array]] = []
        start, size = 0, self.size
        while start < len(arrays[0]):
            part = [np.asarray(array[start : start + size], np.float32) for array in arrays]
            found = self._tried(graph, part)
            if found is None:
                size = self._halved(len(part[0]))
                continue
            outputs.append({name: output[: len(part[0])] for name, output in found.items()})
            start += len(part[0])
        return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

    def _tried(self, graph: Callable[..., Mapping[str, Array]], part: list[Array]) -> Mapping[str, Array] | None:
        """None where memory was exhausted: the next try comes when the error is gone, which keeps what it saw."""
        self._on_batch(len(part[0]))
        missing = FEWEST - len(part[0])
        if missing > 0:
            part = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in part]
        try:
            return graph(*part)
        except self._exhausted:
            return None

    def _halved(self, rows: int) -> int:
        if rows <= FEWEST:
            raise OutOfMemory(f"the device has no memory for {FEWEST} rows; try again, or explain with fewer at once")
        size = max(FEWEST, rows // 2)
        self._fewer, self._until = size, self._now() + CAUTION
        log.warning("the device has no memory for %d rows; %d at once for %.0f s", rows, size, CAUTION)
        return size
