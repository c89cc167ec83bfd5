"""Slots: never a queue, work that goes on only while somebody waits, and what is held until the work ends."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from server.desk import OwnThread, SlotDesk
from server.errors import Busy, ClientLeft, OutOfTime, Stopping, UnknownMethod
from server.flights import Flights
from server.inference import Stages, Which, Why, explain
from server.slots import Caller, Interrupt, Job, Slots
from server.types import Picture
from tests.fakes import Linear
from tests.stores import card_28
from tests.test_inference import One
from tests.waiting import PATIENCE, Client, Clock, Task, caught, free, wait_for


@contextmanager
def under_way(slots: Slots, task: Task, caller: Caller) -> Iterator[tuple[Job[str], list[Any]]]:
    """`task` in a slot, with a thread that waits for it; the list gets the outcome."""
    ticket = slots.ticket(caller.deadline)
    job = slots.start(task, task.held(), ticket)
    ticket.drop()
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(caught(lambda: job.wait(caller))))
    thread.start()
    assert task.begun.wait(PATIENCE)
    try:
        yield job, outcome
    finally:
        task.go.set()
        thread.join(PATIENCE)
        assert not thread.is_alive() and task.let_go.wait(PATIENCE)


def test_work_is_done_by_a_daemon_of_low_priority_and_its_outcome_given() -> None:
    slots, caller, before = Slots(2, niceness=7), Client().waits(), os.getpriority(os.PRIO_PROCESS, 0)
    desk = SlotDesk(caller, slots, Flights())

    def work(interrupt: Interrupt) -> tuple[threading.Thread, int]:
        return threading.current_thread(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    thread, niceness = desk.run(work, ExitStack())
    assert thread is not threading.current_thread() and thread.daemon
    assert niceness == min(before + 7, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before

    def fails(interrupt: Interrupt) -> None:
        raise FloatingPointError("of the work")

    with pytest.raises(FloatingPointError, match="of the work"):
        desk.run(fails, ExitStack())
    assert desk.run(lambda interrupt: 5, ExitStack()) == 5


def test_beyond_the_slots_one_is_told_so_at_once() -> None:
    slots, tasks = Slots(2), [Task(), Task()]
    with ExitStack() as stack:
        for task in tasks:
            stack.enter_context(under_way(slots, task, Client().waits()))
        assert tasks[0].thread is not tasks[1].thread
        for _ in range(20):
            with pytest.raises(Busy, match="2 explanations") as caught_:
                slots.ticket(time.monotonic() + 60)
            assert (caught_.value.status, caught_.value.code) == (503, "busy")
            assert 1 <= (caught_.value.retry_after or 0) <= 30
    free(slots).drop()


@pytest.mark.parametrize(
    ("out", "budget", "since", "expected"),
    [
        ((), 12.5, 0, 13),  # nothing is known but the budget
        ((), 12.5, 9, 4),
        ((), 100, 0, 30),
        ((), 0.2, 0, 1),
        ((4, 5, 6), 20, 0, 5),  # as long as others took
        ((4, 5, 6), 20, 3.5, 2),
        ((4, 5, 6), 20, 6, 14),  # longer than usual: until the deadline
        ((4, 5, 6), 2, 0, 2),
        ((4, 5, 6), 2, 9, 1),  # overdue
    ],
)
def test_when_to_come_back(out: tuple[float, ...], budget: float, since: float, expected: int) -> None:
    clock = Clock()
    slots = Slots(1, now=clock)
    for seconds in out:
        ticket = slots.ticket(clock() + 1000)
        clock.seconds += seconds
        ticket.drop()
    slots.ticket(clock() + budget)
    clock.seconds += since
    with pytest.raises(Busy, match=f"in {expected} s") as raised:
        slots.ticket(clock())
    assert raised.value.retry_after == expected


def test_who_leaves_frees_the_slot_and_what_is_held_only_when_the_work_ends() -> None:
    slots, client, task = Slots(1), Client(), Task(deaf=True)
    with under_way(slots, task, client.waits()) as (_, outcome):
        client.left.set()
        wait_for(outcome)
        assert isinstance(outcome[0], ClientLeft)
        assert not task.let_go.is_set()  # it goes on with its version
        with pytest.raises(Busy):
            slots.ticket(0)
        task.deaf = False  # now it comes to its next look
        assert task.let_go.wait(PATIENCE)
        free(slots).drop()
        assert not task.go.is_set()


def test_work_goes_on_for_whoever_else_waits() -> None:
    slots, first, second, task = Slots(1), Client(), Client(), Task()
    with under_way(slots, task, first.waits()) as (job, outcome):
        assert job.join()
        first.left.set()
        wait_for(outcome)
        task.go.set()
        assert job.wait(second.waits()) == "done"


def test_nobody_joins_what_is_about_to_end() -> None:
    slots, client, task = Slots(1), Client(), Task(deaf=True)
    with under_way(slots, task, client.waits()) as (job, outcome):
        client.left.set()
        wait_for(outcome)
        assert not job.join()


def test_a_deadline_that_the_work_overruns() -> None:
    slots, clock, task = Slots(1), Clock(), Task(deaf=True)
    client = Client()
    with under_way(slots, task, client.waits(3.0, clock)) as (_, outcome):
        clock.seconds += 3.5
        assert client.asked.wait(PATIENCE)
        client.asked.clear()
        assert client.asked.wait(PATIENCE) and not outcome  # it may end at its next look at the clock
        clock.seconds += 2
        wait_for(outcome)
        assert isinstance(outcome[0], OutOfTime) and "3000 ms" in str(outcome[0])
        with pytest.raises(Busy):
            slots.ticket(0)
    free(slots).drop()


def test_a_server_that_stops_gives_its_work_so_long() -> None:
    clock = Clock()
    slots, task = Slots(1, now=clock), Task()
    with under_way(slots, task, Client().waits()) as (_, outcome):
        slots.stop_within(5.0)
        clock.seconds += 4.9
        assert not task.let_go.wait(0.1)
        clock.seconds += 0.1
        wait_for(outcome)
        assert isinstance(outcome[0], Stopping)
        assert (outcome[0].status, outcome[0].code, outcome[0].retry_after) == (503, "stopping", 5)


def test_a_desk_keeps_its_slot_for_its_next_picture() -> None:
    slots, caller = Slots(1), Client().waits()
    with SlotDesk(caller, slots, Flights()) as desk:
        slots.ticket(0).drop()  # none is taken before there is work
        for _ in range(2):
            assert desk.run(lambda interrupt: 1, ExitStack()) == 1
            with pytest.raises(Busy):
                slots.ticket(0)
    slots.ticket(0).drop()
    loose = SlotDesk(caller, slots, Flights())
    loose.run(lambda interrupt: 1, ExitStack())
    slots.ticket(0).drop()


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_a_budget_that_has_ended_is_seen_before_there_is_work(budget: float) -> None:
    clock = Clock()
    for desk in (OwnThread(budget, clock), SlotDesk(Client().waits(budget, clock), Slots(1), Flights())):
        clock.seconds += 1
        with pytest.raises(OutOfTime, match=f"{budget * 1000:.0f} ms"):
            desk.check()
        clock.seconds -= 1


def test_a_picture_that_the_budget_does_not_reach_is_not_even_decoded() -> None:
    model = Linear(card_28())
    with pytest.raises(OutOfTime):
        explain(One(model), Picture(b"no picture"), Which("fake"), Why("saliency", budget=0.0), Stages())
    with pytest.raises(UnknownMethod):  # but what is asked is looked at
        explain(One(model), Picture(b""), Which("fake"), Why("augury", budget=0.0), Stages())
    assert model.rows == 0


def test_a_thread_that_could_not_be_started_is_started_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    desk = SlotDesk(Client().waits(2.0), Slots(1), Flights())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError, match="can't start"):
            desk.run(lambda interrupt: 1, ExitStack())
    assert desk.run(lambda interrupt: 1, ExitStack()) == 1


def test_threads_end_with_their_slots() -> None:
    slots, task = Slots(1), Task()
    with under_way(slots, task, Client().waits()):
        thread = task.thread
    assert thread is not None
    del slots
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
