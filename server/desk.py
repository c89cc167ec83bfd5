"""The desk of one request: how its explaining is done. In a slot beside other requests, or at once by whoever asks.

All pictures of a request share one desk, which is one budget and at most one slot.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol, TypeVar

from server.flights import Flights
from server.handles import NoRecords, Records
from server.slots import Caller, Job, Slots, Ticket, Work
from server.types import Explanation

T = TypeVar("T")


class Desk(Protocol):
    """What inference asks of a desk. `held` is let go when the work ends, which may be after the caller has left."""

    @property
    def deadline(self) -> float: ...

    @property
    def caller(self) -> Caller:
        """Who made the request."""
        ...

    @property
    def records(self) -> Records:
        """Where explanations are kept."""
        ...

    def check(self) -> None:
        """Raises OutOfTime where the budget has ended."""
        ...

    def run(self, work: Work[T], held: ExitStack) -> T:
        """What the work gives."""
        ...

    def once(self, identity: str, quality: bool, work: Work[Explanation], held: ExitStack) -> Explanation:
        """The explanation of that identity, with its quality where it is asked for: one that is kept, or the one that
        others wait for too, or what the work gives."""
        ...


class OwnThread:
    """Work is done at once, by the thread that asks."""

    def __init__(self, budget: float, now: Callable[[], float]) -> None:
        self.deadline = now() + budget
        self.records: Records = NoRecords()
        self.caller = Caller(self.deadline, budget, now, lambda: False)

    def check(self) -> None:
        self.caller.check()

    def run(self, work: Work[T], held: ExitStack) -> T:
        return work(lambda: None)

    def once(self, identity: str, quality: bool, work: Work[Explanation], held: ExitStack) -> Explanation:
        return work(lambda: None)


class SlotDesk:
    """Work is done in a slot, where one is free. As a context manager it keeps its slot from one picture to the next;
    else each picture takes one of its own."""

    def __init__(self, caller: Caller, slots: Slots, flights: Flights) -> None:
        self.deadline = caller.deadline
        self.records = flights.records
        self.caller, self._slots, self._flights = caller, slots, flights
        self._keeps = False
        self._ticket: Ticket | None = None

    def __enter__(self) -> "SlotDesk":
        self._keeps = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keeps = False
        if self._ticket is not None:
            self._ticket.drop()
            self._ticket = None

    def check(self) -> None:
        self.caller.check()

    def run(self, work: Work[T], held: ExitStack) -> T:
        return self._start(work, held).wait(self.caller)

    def once(self, identity: str, quality: bool, work: Work[Explanation], held: ExitStack) -> Explanation:
        return self._flights.once(identity, quality, self.caller, work, lambda flown: self._start(flown, held))

    def _start(self, work: Work[T], held: ExitStack) -> Job[T]:
        ticket = self._ticket or self._slots.ticket(self.deadline)
        if self._keeps:
            self._ticket = ticket
            return self._slots.start(work, held, ticket)
        try:
            return self._slots.start(work, held, ticket)
        finally:
            ticket.drop()
