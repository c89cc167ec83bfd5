"""What waits for a model: the rows of one request, the options of that call, and how many rows are computed at once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from server.errors import OutOfTime
from server.types import Array

POLL = 0.1  # seconds between two checks whether a waiting request still wants its answer

Outputs = Sequence[Array | None]
"""What one verb gives for n rows: arrays of n rows, or None where the model has no such thing."""


def out_of_time() -> OutOfTime:
    return OutOfTime(
        "no turn at the model in time, because others asked before; raise budget_ms or the timeout, or ask again later"
    )


@dataclass(frozen=True)
class Limits:
    """Numbers of rows."""

    batch: int  # computed at once
    explain: int  # of explanations in one batch: a prediction waits for no more than these
    queue: int  # that may wait before those of a request; behind more it is refused
    buckets: tuple[int, ...] = ()  # ascending sizes to which a batch is padded; () = any size is as good

    def bucket(self, rows: int) -> int:
        """The size to which a batch of so many rows is padded."""
        return next((size for size in self.buckets if size >= rows), rows)


@dataclass(frozen=True)
class CallOptions:
    """The priority of one call, its deadline, and how it is cancelled: rows that still wait are dropped at the
    deadline, and when `raise_if_cancelled` raises."""

    is_prediction: bool  # predictions go before explanations
    deadline: float = inf  # of the scheduler's clock
    raise_if_cancelled: Callable[[], None] = lambda: None

    def ended(self, now: float) -> Exception | None:
        """Why the answer is no longer wanted; None while it is."""
        try:
            self.raise_if_cancelled()
        except Exception as error:  # any error ends this request and no other
            return error
        return out_of_time() if self.deadline <= now else None


@dataclass(eq=False)
class BatchRequest:
    """The rows of one call (arrays of n rows each), and how far they are."""

    arrays: Sequence[Array]
    options: CallOptions
    scheduled: int = 0  # rows that a batch has taken
    parts: list[Outputs] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False
    is_leader: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    def finish(self, error: Exception | None = None) -> None:
        if not self.done:
            self.error, self.done = error, True
            self.woken.set()


@dataclass(frozen=True)
class Slice:
    """Those rows of one request that are in the same batch."""

    request: BatchRequest
    arrays: Sequence[Array]

    @property
    def rows(self) -> int:
        return len(self.arrays[0])
