"""What waits for a model: the rows of one request, on what terms they are asked, and how many are computed at once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from server.errors import OutOfTime
from server.types import Array

LOOK = 0.1  # seconds between two looks of who waits at whether the answer is still wanted

Outputs = Sequence[Array | None]
"""What one verb gives for n rows: arrays of n rows, or None where the model has no such thing."""


def late() -> OutOfTime:
    return OutOfTime(
        "no turn at the model in time, because others asked before; raise budget_ms or the timeout, or ask again later"
    )


@dataclass(frozen=True)
class Limits:
    """Numbers of rows."""

    turn: int  # computed at once
    explain: int  # those of explanations among them: a prediction waits for no more than these
    queue: int  # that may wait before those of a request; behind more it is refused
    buckets: tuple[int, ...] = ()  # ascending sizes to which a turn is filled up; () = any size is as good

    def bucket(self, rows: int) -> int:
        """The size to which so many are filled up."""
        return next((size for size in self.buckets if size >= rows), rows)


@dataclass(frozen=True)
class Terms:
    """On what terms rows are asked: rows that wait are dropped at the deadline, and where `interrupt` raises."""

    first: bool  # a prediction
    deadline: float = inf  # of the clock of the turns
    interrupt: Callable[[], None] = lambda: None  # raises where nobody waits for answers any more

    def over(self, now: float) -> Exception | None:
        """Why an answer is not wanted any more, if it is not."""
        try:
            self.interrupt()
        except Exception as error:  # whatever it is, it ends this request and no other
            return error
        return late() if self.deadline <= now else None


@dataclass(eq=False)
class Asked:
    """The rows of one request: arrays of n rows each."""

    arrays: Sequence[Array]
    terms: Terms
    taken: int = 0  # rows that have had their turn
    parts: list[Outputs] = field(default_factory=list)
    error: Exception | None = None
    over: bool = False
    leads: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    def end(self, error: Exception | None = None) -> None:
        if not self.over:
            self.error, self.over = error, True
            self.woken.set()


@dataclass(frozen=True)
class Piece:
    """Some rows of one request."""

    asked: Asked
    arrays: Sequence[Array]

    @property
    def rows(self) -> int:
        return len(self.arrays[0])
