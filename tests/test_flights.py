"""Equal explanations in flight are computed once, and whoever leaves or fails harms none of those who wait."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from server.claims import Claims
from server.desk import SlotDesk
from server.errors import Busy, ClientLeft, OutOfTime
from server.flights import Flights, is_whole
from server.inference import Stages, Which, Why, explain
from server.slots import Interrupt, Slots
from server.types import Explanation, Picture, Quality
from tests.fakes import Linear
from tests.servers import ROOT
from tests.stores import SEVEN, card_28
from tests.test_inference import One
from tests.waiting import PATIENCE, Client, Clock, caught, free, wait_for

WHOLE = explain(One(Linear(card_28())), Picture(SEVEN), Which("fake"), Why("saliency"), Stages())
PART = replace(WHOLE, attribution=replace(WHOLE.attribution, state="partial", stop="budget"))
MEASURED = replace(WHOLE, quality=Quality((), "measured"))


@dataclass
class Computing:
    """Computes until it is let go, and counts how often it was asked to."""

    gives: Explanation | Exception = WHOLE
    runs: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, interrupt: Interrupt) -> Explanation:
        self.runs += 1
        self.begun.set()
        while not self.go.wait(0.01):
            interrupt()
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


@dataclass
class Kept:
    """Records in memory."""

    kept: dict[str, Explanation] = field(default_factory=dict)

    def get(self, identity: str) -> Explanation | None:
        return self.kept.get(identity)

    find = get
    gone = "this is a test"
    max_age = 0

    def put(self, explanation: Explanation) -> bool:
        self.kept[explanation.id] = explanation
        return explanation.kept  # so that what comes out is what was put in


@dataclass
class Server:
    """One process: its slots, its flights, and threads that ask."""

    slots: Slots
    flights: Flights = field(default_factory=Flights)

    def ask_alone(self, work: Computing) -> Explanation:
        """As a request does, by the thread of the test."""
        return SlotDesk(Client().waits(1), self.slots, self.flights).once(WHOLE.id, False, work, ExitStack())

    @contextmanager
    def asked(
        self,
        work: Computing,
        client: Client | None = None,
        budget: float = 60.0,
        now: Callable[[], float] = time.monotonic,
        identity: str = WHOLE.id,
        quality: bool = False,
        desk: SlotDesk | None = None,
    ) -> Iterator[list[Any]]:
        """A request that waits; the list gets its outcome. It is under way when it is begun or waits for another."""
        client = client or Client()
        asking = desk or SlotDesk(client.waits(budget, now), self.slots, self.flights)
        outcome: list[Any] = []

        def ask() -> None:
            outcome.append(caught(lambda: asking.once(identity, quality, work, ExitStack())))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert client.asked.wait(PATIENCE)
            yield outcome
        finally:
            work.go.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_what_is_asked_at_the_same_time_is_computed_once_and_needs_one_slot() -> None:
    server, work = Server(Slots(1)), Computing()
    with ExitStack() as stack:
        outcomes = [stack.enter_context(server.asked(work)) for _ in range(6)]
        with pytest.raises(Busy):
            server.slots.ticket(0)
        work.go.set()
        for outcome in outcomes:
            wait_for(outcome)
    assert work.runs == 1
    assert all(outcome == [WHOLE] for outcome in outcomes)
    desk = SlotDesk(Client().waits(), server.slots, server.flights)
    assert desk.once(WHOLE.id, False, work, ExitStack()) == WHOLE
    assert work.runs == 2  # nothing is kept without records


def test_no_more_wait_for_another_than_have_a_seat() -> None:
    server, work = Server(Slots(1), Flights(seats=2)), Computing()
    with server.asked(work) as first, server.asked(work) as second, server.asked(work) as third:
        fourth = caught(lambda: server.ask_alone(work))
        assert isinstance(fourth, Busy) and fourth.retry_after == 1 and "2 others" in str(fourth)
        work.go.set()
        for outcome in (first, second, third):
            wait_for(outcome)
    assert first == second == third == [WHOLE] and work.runs == 1
    work.go.clear()
    with server.asked(work) as first, server.asked(work) as second, server.asked(work) as third:  # seats are free again
        work.go.set()
        for outcome in (first, second, third):
            wait_for(outcome)
    assert first == second == third == [WHOLE]


def test_waiting_for_another_process_takes_a_seat_too(tmp_path: Path) -> None:
    records, work = Kept(), Computing()
    one, other = (Server(Slots(1), Flights(records, tmp_path, seats=1)) for _ in range(2))
    with one.asked(work) as first:
        assert work.begun.wait(PATIENCE)
        with other.asked(work) as second:
            assert isinstance(caught(lambda: other.ask_alone(work)), Busy)
            work.go.set()
            wait_for(first)
            wait_for(second)
    assert first == second == [WHOLE] and work.runs == 1


@pytest.mark.parametrize("other", [{"identity": "another"}, {"quality": True}])
def test_what_is_not_equal_is_not_shared(other: dict[str, Any]) -> None:
    server, one, two = Server(Slots(2)), Computing(), Computing(MEASURED)
    with server.asked(one) as first, server.asked(two, **other) as second:
        one.go.set()
        two.go.set()
        wait_for(first)
        wait_for(second)
    assert (first, second) == ([WHOLE], [MEASURED])


def test_the_first_may_leave() -> None:
    server, work, first = Server(Slots(1)), Computing(), Client()
    with server.asked(work, first) as left, server.asked(Computing()) as stayed:
        first.left.set()
        wait_for(left)
        work.go.set()
        wait_for(stayed)
    assert isinstance(left[0], ClientLeft)
    assert stayed == [WHOLE] and work.runs == 1  # the same work went on


def test_when_all_have_left_the_next_begins_anew() -> None:
    server, work, next_, clients = Server(Slots(1)), Computing(), Computing(), [Client(), Client()]
    with server.asked(work, clients[0]) as one, server.asked(work, clients[1]) as two:
        for client in clients:
            client.left.set()
        wait_for(one)
        wait_for(two)
        free(server.slots).drop()
        with server.asked(next_) as third:
            next_.go.set()
            wait_for(third)
    assert third == [WHOLE] and (work.runs, next_.runs) == (1, 1)


@pytest.mark.parametrize("gives", [PART, OutOfTime("too little"), replace(MEASURED, quality=Quality((), "", False))])
def test_who_has_more_time_than_the_first_takes_over(gives: Explanation | Exception) -> None:
    server, work, own, clock = Server(Slots(1, now=Clock())), Computing(gives), Computing(), Clock()
    with server.asked(work, budget=5, now=clock) as first, server.asked(own, budget=60, now=clock) as second:
        clock.seconds += 5
        work.go.set()
        wait_for(first)
        own.go.set()
        wait_for(second)
    assert second == [WHOLE] and own.runs == 1
    assert first == [gives]


@pytest.mark.parametrize("gives", [PART, OutOfTime("too little")])
def test_who_has_no_more_time_than_the_first_takes_what_it_got(gives: Explanation | Exception) -> None:
    clock = Clock()
    server, work, own = Server(Slots(1, now=clock)), Computing(gives), Computing()
    with server.asked(work, budget=5, now=clock) as first, server.asked(own, budget=6, now=clock) as second:
        clock.seconds += 4
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert first == second == [gives] and own.runs == 0


def test_who_can_not_take_over_has_the_part() -> None:
    server, work, own, clock = Server(Slots(1)), Computing(PART), Computing(), Clock()
    client = Client()
    keeping = SlotDesk(client.waits(5, clock), server.slots, server.flights)  # its slot, for its next picture
    with keeping, server.asked(work, client, desk=keeping) as first, server.asked(own, now=clock) as second:
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert first == second == [PART] and own.runs == 0


def test_who_has_less_time_computes_alone_after_half_of_it() -> None:
    records, work, own, clock = Kept(), Computing(), Computing(), Clock()
    server = Server(Slots(2), Flights(records))
    with server.asked(work, budget=60, now=clock) as first, server.asked(own, budget=10, now=clock) as second:
        assert not own.begun.wait(0.2)
        clock.seconds += 5
        assert own.begun.wait(PATIENCE) and records.kept == {}
        own.go.set()
        wait_for(second)
        assert not first and records.kept == {WHOLE.id: WHOLE}
    assert (first, second) == ([WHOLE], [WHOLE])


def test_who_has_less_time_and_finds_no_slot_goes_on_waiting() -> None:
    server, work, own, clock = Server(Slots(1)), Computing(), Computing(), Clock()
    client = Client()
    with server.asked(work, budget=60, now=clock), server.asked(own, client, budget=10, now=clock) as second:
        clock.seconds += 5
        client.asked.clear()
        assert client.asked.wait(PATIENCE) and not second
        work.go.set()
        wait_for(second)
    assert second == [WHOLE] and own.runs == 0


def test_who_has_less_time_and_finds_no_slot_goes_on_waiting_though_nobody_else_does() -> None:
    server, work, own, clock = Server(Slots(1)), Computing(), Computing(), Clock()
    first, client = Client(), Client()
    with (
        server.asked(work, first, budget=60, now=clock) as left,
        server.asked(own, client, budget=10, now=clock) as second,
    ):
        first.left.set()
        wait_for(left)
        clock.seconds += 5
        client.asked.clear()
        assert client.asked.wait(PATIENCE)
        client.asked.clear()
        assert client.asked.wait(PATIENCE) and not second
        work.go.set()
        wait_for(second)
    assert second == [WHOLE] and (work.runs, own.runs) == (1, 0)


def test_work_that_its_last_waiter_left_for_their_own_ends() -> None:
    server, work, own, clock, first = Server(Slots(2)), Computing(), Computing(), Clock(), Client()
    with server.asked(work, first, budget=60, now=clock) as left, server.asked(own, budget=10, now=clock) as second:
        first.left.set()
        wait_for(left)
        clock.seconds += 5
        assert own.begun.wait(PATIENCE)
        free(server.slots).drop()  # that of the work
        own.go.set()
        wait_for(second)
    assert second == [WHOLE]


def test_a_failure_is_everybodys() -> None:
    server, work = Server(Slots(1)), Computing(FloatingPointError("of the model"))
    with server.asked(work) as first, server.asked(work) as second:
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert first == second == [work.gives] and work.runs == 1


def test_what_is_kept_is_not_computed() -> None:
    records = Kept({WHOLE.id: WHOLE})
    server, work = Server(Slots(1), Flights(records)), Computing(MEASURED)
    desk = SlotDesk(Client().waits(), server.slots, server.flights)
    work.go.set()
    assert desk.once(WHOLE.id, False, work, ExitStack()) == WHOLE and work.runs == 0
    assert desk.once(WHOLE.id, True, work, ExitStack()) == MEASURED and work.runs == 1  # it was kept without quality
    assert records.kept == {WHOLE.id: MEASURED}


def test_what_more_time_would_change_is_not_kept() -> None:
    unfinished = replace(MEASURED, quality=Quality((), "", finished=False))
    assert [is_whole(one) for one in (WHOLE, MEASURED, PART, unfinished)] == [True, True, False, False]
    records = Kept()
    for part in (PART, unfinished):
        work = Computing(part)
        work.go.set()
        desk = SlotDesk(Client().waits(), Slots(1), Flights(records))
        assert desk.once(WHOLE.id, True, work, ExitStack()) == part
    assert records.kept == {}


def test_between_processes_one_computes_and_the_others_wait_for_its_record(tmp_path: Path) -> None:
    records, work, own = Kept(), Computing(), Computing()
    one, other = (Server(Slots(1), Flights(records, tmp_path)) for _ in range(2))
    with one.asked(work) as first, other.asked(own) as second, other.asked(own) as third:
        assert work.begun.is_set() and not own.begun.wait(0.2)
        other.slots.ticket(0).drop()  # who waits takes no slot
        work.go.set()
        for outcome in (first, second, third):
            wait_for(outcome)
    assert first == second == third == [WHOLE] and (work.runs, own.runs) == (1, 0)
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_gives_nothing_is_taken_over(tmp_path: Path) -> None:
    records, work, own = Kept(), Computing(OutOfTime("too little")), Computing()
    one, other = (Server(Slots(1), Flights(records, tmp_path)) for _ in range(2))
    with one.asked(work) as first, other.asked(own) as second, other.asked(own) as third:
        work.go.set()
        wait_for(first)
        assert own.begun.wait(PATIENCE)
        own.go.set()
        wait_for(second)
        wait_for(third)
    assert second == third == [WHOLE] and own.runs == 1


def test_another_process_is_waited_for_half_the_time_at_most(tmp_path: Path) -> None:
    clock, work, own = Clock(), Computing(), Computing()
    one, other = (Server(Slots(1), Flights(Kept(), tmp_path)) for _ in range(2))
    with one.asked(work, budget=60, now=clock), other.asked(own, budget=60, now=clock) as second:
        assert not own.begun.wait(0.2)
        clock.seconds += 30
        assert own.begun.wait(PATIENCE)
        own.go.set()
        wait_for(second)
    assert second == [WHOLE]


def test_who_leaves_while_another_process_computes(tmp_path: Path) -> None:
    records, client = Kept(), Client()
    one, other = (Server(Slots(1), Flights(records, tmp_path)) for _ in range(2))
    with one.asked(Computing()), other.asked(Computing(), client) as second:
        client.left.set()
        wait_for(second)
        assert isinstance(second[0], ClientLeft)


CLAIM = """
import sys, time
from pathlib import Path
from server.claims import Claims
assert Claims(Path(sys.argv[1])).claim(sys.argv[2])
print("claimed", flush=True)
time.sleep(600)
"""


def test_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    own, server = Computing(), Server(Slots(1), Flights(Kept(), tmp_path))
    command = [sys.executable, "-c", CLAIM, str(tmp_path), WHOLE.id]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"claimed\n"
            with server.asked(own) as outcome:
                assert not own.begun.wait(0.2)
                process.send_signal(signal.SIGKILL)
                assert own.begun.wait(PATIENCE)
                own.go.set()
                wait_for(outcome)
        finally:
            process.kill()
    assert outcome == [WHOLE]


def test_a_claim_is_had_by_one(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    release = one.claim("a")
    assert release is not None
    assert one.claim("a") is None and other.claim("a") is None
    assert other.claim("b") is not None
    release()
    assert other.claim("a") is not None


def test_where_nothing_can_be_locked_everybody_computes(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_bytes(b"")
    assert Claims(blocked).claim("a") is not None and Claims(blocked).claim("a") is not None


def test_an_explanation_by_another_is_laid_back_over_ones_own_picture() -> None:
    """Two pictures that give the same pixels; the second asks for another frame, and for no quality."""
    store, records = One(Linear(card_28())), Kept()
    desk = SlotDesk(Client().waits(), Slots(1), Flights(records))
    first = explain(store, Picture(SEVEN), Which("fake"), Why("saliency", quality=True), Stages(), desk=desk)
    levels = first.digit.pixels.tolist()
    asked = Why("saliency", frame="model")
    second = explain(store, Picture(pixels=levels), Which("fake"), asked, Stages(), desk=desk)
    assert second.id == first.id and second.attribution is records.kept[first.id].attribution
    assert second.digit.placement != first.digit.placement
    assert second.digit.placement.picture.shape[:2] != first.digit.placement.picture.shape[:2]
    assert (first.frame, second.frame) == ("original", "model")
    assert first.quality is not None and second.quality is None
