"""The scheduler: it never queues, computes equal work once, and no request harms another by leaving or failing."""

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from server.errors import Busy, ClientLeft, OutOfTime, PackageBusy, Stopping
from server.protocols import RequestContext
from server.scheduling import BoundedPool, Interrupt, Outcome, PooledSession, Publish, Scheduler, TaskKey
from server.scheduling.scheduler import Lease, no_lease
from tests.support.clock import PATIENCE, Clock
from tests.support.waiting import Client, HeldWork, acquired, caught, wait_for

KEY = TaskKey("an id")
PART = "part"


def is_whole(value: str) -> bool:
    return value != PART


@dataclass
class InMemory:
    """A cache that knows the id of every value."""

    kept: dict[str, Any] = field(default_factory=dict)

    def get(self, identity: str) -> Any | None:
        return self.kept.get(identity)

    def put(self, value: Any) -> Any:
        self.kept[KEY.id] = value
        return value


@dataclass
class Process:
    """A scheduler, and requests in threads of their own."""

    size: int = 1
    max_waiters: float = float("inf")
    cache: InMemory | None = None
    lease: Lease = no_lease
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.pool = BoundedPool(self.size, now=self.now)
        self.scheduler = Scheduler(self.pool, self.cache, self.max_waiters, self.lease)

    @contextmanager
    def submitted(
        self,
        work: HeldWork,
        key: TaskKey | None = KEY,
        client: Client | None = None,
        budget: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> Iterator[list[Any]]:
        """A request that waits for its outcome, which the list gets; it waits already when this begins."""
        client = client or Client()
        outcome: list[Any] = []

        def ask() -> None:
            with self.scheduler.session(client.context(budget, now)) as session:
                outcome.append(caught(lambda: session.submit(work, key, work.resources(), is_whole).result()))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert client.looked.wait(PATIENCE)
            yield outcome
        finally:
            work.go.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def session(self, budget: float = 60.0) -> PooledSession:
        return self.scheduler.session(Client().context(budget))


def value_and_source(outcome: list[Any]) -> tuple[Any, str]:
    """The value and where it came from."""
    (found,) = outcome
    assert isinstance(found, Outcome), found
    assert found.waited >= 0
    return found.value, found.source


# The pool.


def test_work_is_done_by_a_daemon_of_low_priority_and_its_outcome_given() -> None:
    pool, before = BoundedPool(2, niceness=7), os.getpriority(os.PRIO_PROCESS, 0)

    def work(publish: Publish[Any], interrupt: Interrupt) -> Any:
        return threading.current_thread(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def fails(publish: Publish[Any], interrupt: Interrupt) -> Any:
        raise FloatingPointError("of the work")

    with Scheduler(pool).session(Client().context()) as session:
        thread, niceness = session.submit(work).result().value
        assert thread is not threading.current_thread() and thread.daemon
        assert niceness == min(before + 7, 19)
        assert os.getpriority(os.PRIO_PROCESS, 0) == before
        with pytest.raises(FloatingPointError, match="of the work"):
            session.submit(fails).result()
        assert session.submit(lambda publish, interrupt: 5).result().value == 5


def test_beyond_the_permits_a_request_is_refused_at_once() -> None:
    process, works = Process(2), [HeldWork(), HeldWork()]
    with ExitStack() as stack:
        for work in works:
            stack.enter_context(process.submitted(work, key=None))
        assert works[0].thread is not works[1].thread
        for _ in range(20):
            with pytest.raises(Busy, match="2 explanations") as raised:
                process.pool.acquire(time.monotonic() + 60)
            assert (raised.value.status, raised.value.code) == (503, "busy")
            assert 1 <= (raised.value.retry_after or 0) <= 30
    acquired(process.pool).release()


@pytest.mark.parametrize(
    ("durations", "budget", "since", "expected"),
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
def test_retry_after_follows_usual_durations(
    durations: tuple[float, ...], budget: float, since: float, expected: int
) -> None:
    clock = Clock()
    pool = BoundedPool(1, now=clock)
    for seconds in durations:
        permit = pool.acquire(clock() + 1000)
        clock.seconds += seconds
        permit.release()
    pool.acquire(clock() + budget)
    clock.seconds += since
    with pytest.raises(Busy, match=f"in {expected} s") as raised:
        pool.acquire(clock())
    assert raised.value.retry_after == expected


def test_a_request_that_leaves_frees_permit_and_resources_only_when_its_work_ends() -> None:
    process, client, work = Process(), Client(), HeldWork(deaf=True)
    with process.submitted(work, None, client) as outcome:
        client.left.set()
        wait_for(outcome)
        assert isinstance(outcome[0], ClientLeft)
        assert not work.released.is_set()  # it goes on with its version
        with pytest.raises(Busy):
            process.pool.acquire(0)
        work.deaf = False  # now it comes to its next look
        assert work.released.wait(PATIENCE)
        acquired(process.pool).release()
        assert not work.go.is_set()


def test_work_may_overrun_its_deadline_a_little() -> None:
    process, clock, work, client = Process(), Clock(), HeldWork(deaf=True), Client()
    with process.submitted(work, None, client, 3.0, clock) as outcome:
        clock.seconds += 3.5
        client.is_looked_for()
        assert not outcome  # it may end at its next look at the clock
        clock.seconds += 2
        wait_for(outcome)
        assert isinstance(outcome[0], OutOfTime) and "3000 ms" in str(outcome[0])
        with pytest.raises(Busy):
            process.pool.acquire(0)
    acquired(process.pool).release()


def test_work_that_overruns_too_far_is_answered_with_the_latest_partial() -> None:
    clock, work = Clock(), HeldWork(deaf=True, publishes=("older", "newer"))
    with Process().submitted(work, budget=3.0, now=clock) as outcome:
        clock.seconds += 5.5
        wait_for(outcome)
        assert value_and_source(outcome) == ("newer", "computed")


def test_a_pool_that_stops_gives_its_work_so_long() -> None:
    clock = Clock()
    process, work = Process(now=clock), HeldWork()
    with process.submitted(work, None) as outcome:
        process.scheduler.stop_within(5.0)
        clock.seconds += 4.9
        assert not work.released.wait(0.1)
        clock.seconds += 0.1
        wait_for(outcome)
        assert isinstance(outcome[0], Stopping)
        assert (outcome[0].status, outcome[0].code, outcome[0].retry_after) == (503, "stopping", 5)


def test_a_session_keeps_its_permit_for_its_next_picture() -> None:
    process = Process()
    with process.session() as session:
        process.pool.acquire(0).release()  # none is acquired before there is work
        for _ in range(2):
            assert session.submit(lambda publish, interrupt: 1).result().value == 1
            with pytest.raises(Busy):
                process.pool.acquire(0)
    acquired(process.pool).release()


def test_leaving_a_session_gives_up_what_still_runs() -> None:
    process, work = Process(), HeldWork()
    with process.session() as session:
        session.submit(work, KEY, work.resources())
        assert work.begun.wait(PATIENCE)
    assert work.released.wait(PATIENCE) and not work.go.is_set()
    acquired(process.pool).release()


@pytest.mark.parametrize("key", [None, KEY])
def test_a_thread_that_could_not_be_started_is_started_for_the_next(
    monkeypatch: pytest.MonkeyPatch, key: TaskKey | None
) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    process, work = Process(), HeldWork()
    with monkeypatch.context() as patched, process.session() as session:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError, match="can't start"):
            session.submit(work, key, work.resources())
        assert work.released.is_set()
    with process.session() as session:
        assert session.submit(lambda publish, interrupt: 1, key).result().value == 1


def test_threads_end_with_their_pool() -> None:
    process, work = Process(), HeldWork()
    with process.submitted(work):
        assert work.begun.wait(PATIENCE)
        thread = work.thread
    assert thread is not None
    del process
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# Equal work (single-flight).


def test_equal_work_is_computed_once_and_needs_one_permit() -> None:
    process, work = Process(), HeldWork()
    with ExitStack() as stack:
        outcomes = [stack.enter_context(process.submitted(work)) for _ in range(6)]
        with pytest.raises(Busy):
            process.pool.acquire(0)
        work.go.set()
        for outcome in outcomes:
            wait_for(outcome)
    assert work.runs == 1
    assert sorted(map(value_and_source, outcomes)) == [("done", "computed"), *[("done", "shared")] * 5]
    with process.session() as session:
        later = session.submit(work, KEY).result()
    assert value_and_source([later]) == ("done", "computed") and work.runs == 2  # nothing is kept without a cache


def test_no_more_requests_wait_for_others_than_may() -> None:
    process, work = Process(max_waiters=2), HeldWork()
    for _ in range(2):  # the second time, places are free again
        work.go.clear()
        with ExitStack() as stack:
            outcomes = [stack.enter_context(process.submitted(work)) for _ in range(3)]
            with process.session() as session:
                refused = caught(lambda session=session: session.submit(work, KEY))  # type: ignore[misc]
            assert isinstance(refused, Busy) and refused.retry_after == 1 and "2 others" in str(refused)
            work.go.set()
            for outcome in outcomes:
                wait_for(outcome)
        assert [value_and_source(outcome)[0] for outcome in outcomes] == ["done"] * 3
    assert work.runs == 2


def test_a_request_that_has_a_permit_computes_itself_where_it_may_not_wait() -> None:
    process, work, second_work = Process(2, max_waiters=0), HeldWork(), HeldWork("own")
    second_work.go.set()
    with process.submitted(work) as first, process.session() as session:
        session.submit(lambda publish, interrupt: 1).result()  # its first picture
        assert value_and_source([session.submit(second_work, KEY).result()]) == ("own", "computed")
        work.go.set()
        wait_for(first)
    assert value_and_source(first) == ("done", "computed")


def test_a_request_that_was_refused_does_not_count_as_waiting() -> None:
    process, work, client = Process(max_waiters=0), HeldWork(), Client()
    with process.submitted(work, client=client) as left:
        with process.session() as session:
            assert isinstance(caught(lambda: session.submit(work, KEY)), Busy)
        client.left.set()
        wait_for(left)
        assert work.released.wait(PATIENCE) and not work.go.is_set()  # no request waits for it


def test_work_that_has_ended_is_not_held_any_more() -> None:
    class Value:
        pass

    process = Process()
    with process.session() as session:
        found = weakref.ref(session.submit(lambda publish, interrupt: Value(), KEY).result().value)
    gc.collect()
    assert found() is None


def test_work_that_ends_late_does_not_take_its_successor_along() -> None:
    process, late, next_, client = Process(2), HeldWork("late", deaf=True), HeldWork("next"), Client()
    with process.submitted(late, client=client) as left:
        client.left.set()
        wait_for(left)
        with process.submitted(next_) as first:
            late.deaf = False
            assert late.released.wait(PATIENCE)
            acquired(process.pool).release()
            with process.submitted(HeldWork()) as second:
                next_.go.set()
                wait_for(first)
                wait_for(second)
    assert (value_and_source(first), value_and_source(second)) == (("next", "computed"), ("next", "shared"))


@pytest.mark.parametrize("other", [None, TaskKey("another"), TaskKey(KEY.id, frozenset({"quality"}))])
def test_work_that_is_not_equal_is_not_shared(other: TaskKey | None) -> None:
    process, one, two = Process(2), HeldWork("one"), HeldWork("two")
    with process.submitted(one) as first, process.submitted(two, other) as second:
        one.go.set()
        two.go.set()
        wait_for(first)
        wait_for(second)
    assert (value_and_source(first), value_and_source(second)) == (("one", "computed"), ("two", "computed"))


def test_work_without_a_key_is_neither_shared_nor_kept() -> None:
    process, work = Process(2, cache=InMemory()), HeldWork()
    with process.submitted(work, None) as first, process.submitted(work, None) as second:
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert work.runs == 2 and process.cache == InMemory()


def test_the_first_may_leave() -> None:
    process, work, first = Process(), HeldWork(), Client()
    with process.submitted(work, client=first) as left, process.submitted(HeldWork()) as stayed:
        first.left.set()
        wait_for(left)
        work.go.set()
        wait_for(stayed)
    assert isinstance(left[0], ClientLeft)
    assert value_and_source(stayed) == ("done", "shared") and work.runs == 1


def test_when_all_have_left_the_next_begins_anew() -> None:
    process, work, next_, clients = Process(), HeldWork(deaf=True), HeldWork("anew"), [Client(), Client()]
    with (
        process.submitted(work, client=clients[0]) as one,
        process.submitted(work, client=clients[1]) as two,
    ):
        for client in clients:
            client.left.set()
        wait_for(one)
        wait_for(two)
        with process.session() as session:  # no request joins a task that is about to end
            assert isinstance(caught(lambda: session.submit(next_, KEY)), Busy)
        work.deaf = False
        acquired(process.pool).release()
        with process.submitted(next_) as third:
            next_.go.set()
            wait_for(third)
    assert value_and_source(third) == ("anew", "computed") and (work.runs, next_.runs) == (1, 1)


@pytest.mark.parametrize("gives", [PART, OutOfTime("too little"), PackageBusy("of the first")])
def test_a_request_with_more_time_than_the_first_computes_itself(gives: Any) -> None:
    clock = Clock()
    process, work, second_work = Process(2), HeldWork(gives), HeldWork("whole")
    with (
        process.submitted(work, budget=5, now=clock) as first,
        process.submitted(second_work, budget=60, now=clock) as second,
    ):
        clock.seconds += 5
        work.go.set()
        wait_for(first)
        second_work.go.set()
        wait_for(second)
    assert value_and_source(second) == ("whole", "computed") and second_work.runs == 1
    assert first == [gives] if isinstance(gives, Exception) else value_and_source(first) == (PART, "computed")


@pytest.mark.parametrize("gives", [PART, OutOfTime("too little")])
def test_a_request_with_no_more_time_than_the_first_takes_what_it_got(gives: Any) -> None:
    clock = Clock()
    process, work, second_work = Process(), HeldWork(gives), HeldWork()
    with (
        process.submitted(work, budget=5, now=clock) as first,
        process.submitted(second_work, budget=6, now=clock) as second,
    ):
        clock.seconds += 4
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert second_work.runs == 0
    if isinstance(gives, Exception):
        assert isinstance(second[0], OutOfTime) and "6000 ms" in str(second[0])  # not what the first had
    else:
        assert value_and_source(second) == (PART, "shared")


def test_a_request_that_cannot_compute_itself_takes_the_part() -> None:
    process, work, second_work, clock, client = Process(), HeldWork(PART), HeldWork(), Clock(), Client()
    keeping = process.scheduler.session(client.context(5, clock))  # its permit, for its next picture
    with keeping:
        task = keeping.submit(work, KEY, is_enough=is_whole)
        with process.submitted(second_work, now=clock) as second:
            work.go.set()
            assert task.result().value == PART
            wait_for(second)
    assert value_and_source(second) == (PART, "shared") and second_work.runs == 0


def test_a_request_with_less_time_gets_the_latest_partial_at_its_deadline() -> None:
    clock, cache = Clock(), InMemory()
    process, second_work, client = Process(cache=cache), HeldWork(), Client()
    work = HeldWork("whole", publishes=("older", "newer"))
    with (
        process.submitted(work, budget=60, now=clock) as first,
        process.submitted(second_work, budget=10, now=clock, client=client) as second,
    ):
        assert work.begun.wait(PATIENCE)
        clock.seconds += 9.9
        client.is_looked_for()
        assert not second
        clock.seconds += 0.1
        wait_for(second)
        assert value_and_source(second) == ("newer", "shared") and not first  # the first goes on
        work.go.set()
        wait_for(first)
    assert (
        value_and_source(first) == ("whole", "computed") and second_work.runs == 0 and cache.kept == {KEY.id: "whole"}
    )


def test_a_request_with_less_time_is_out_of_time_when_nothing_was_published() -> None:
    clock, client = Clock(), Client()
    process, work, second_work = Process(), HeldWork(), HeldWork()
    with (
        process.submitted(work, budget=60, now=clock) as first,
        process.submitted(second_work, budget=10, now=clock, client=client) as second,
    ):
        client.is_looked_for()
        assert not second
        clock.seconds += 10
        wait_for(second)
        work.go.set()
        wait_for(first)
    assert isinstance(second[0], OutOfTime) and "10000 ms" in str(second[0]) and value_and_source(first)[0] == "done"


def test_all_waiting_requests_get_the_failure() -> None:
    process, work = Process(), HeldWork(FloatingPointError("of the model"))
    with process.submitted(work) as first, process.submitted(work) as second:
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert first == second == [work.gives] and work.runs == 1


# What is kept.


def test_a_kept_value_is_not_computed() -> None:
    process, work = Process(cache=InMemory({KEY.id: "kept"})), HeldWork()
    with process.session() as session:
        found = session.submit(work, KEY, is_enough=is_whole).result()
        assert (found.value, found.source) == ("kept", "cache") and work.runs == 0
        process.pool.acquire(0).release()  # nor is a permit acquired


def test_a_kept_value_that_is_not_all_that_is_wanted_is_computed_and_replaced() -> None:
    process, work = Process(cache=InMemory({KEY.id: PART})), HeldWork("whole")
    work.go.set()
    with process.session() as session:
        assert session.submit(work, KEY, is_enough=is_whole).result().value == "whole"
    assert process.cache == InMemory({KEY.id: "whole"})


def test_an_incomplete_value_is_not_kept() -> None:
    process, work = Process(cache=InMemory()), HeldWork(PART)
    work.go.set()
    with process.session() as session:
        assert session.submit(work, KEY, is_enough=is_whole).result().value == PART
    assert process.cache == InMemory()


def test_a_lease_has_one_of_several_processes_compute() -> None:
    """Two schedulers with one cache and one lease: the second looks again when the first has ended."""
    lock, cache = threading.Lock(), InMemory()
    contended = threading.Event()

    @contextmanager
    def lease(identity: str, context: RequestContext) -> Iterator[bool]:
        assert identity == KEY.id
        waited = not lock.acquire(blocking=False)
        if waited:
            contended.set()
            while not lock.acquire(timeout=0.01):
                context.raise_if_cancelled()
        try:
            yield waited
        finally:
            lock.release()

    one, other = (Process(cache=cache, lease=lease) for _ in range(2))
    work, second_work = HeldWork(), HeldWork()
    with one.submitted(work) as first:
        assert work.begun.wait(PATIENCE)
        with other.submitted(second_work) as second:
            assert contended.wait(PATIENCE)
            work.go.set()
            wait_for(first)
            wait_for(second)
    assert (value_and_source(first), value_and_source(second)) == (("done", "computed"), ("done", "cache"))
    assert (work.runs, second_work.runs) == (1, 0)


def test_without_a_lease_two_processes_compute_twice() -> None:
    cache, work = InMemory(), HeldWork()
    one, other = (Process(cache=cache) for _ in range(2))
    with one.submitted(work) as first, other.submitted(work) as second:
        work.go.set()
        wait_for(first)
        wait_for(second)
    assert (value_and_source(first), value_and_source(second)) == (
        ("done", "computed"),
        ("done", "computed"),
    ) and work.runs == 2


# Updates.


def test_updates_are_the_latest_partials_and_a_slow_reader_skips_the_others() -> None:
    steps: list[threading.Event] = [threading.Event() for _ in range(2)]
    made: list[int] = []

    def work(publish: Publish[int], interrupt: Interrupt) -> int:
        def offer(value: int) -> None:
            publish(lambda: made.append(value) or value)  # type: ignore[func-returns-value]

        offer(1)
        assert steps[0].wait(PATIENCE)
        for value in (2, 3, 4):
            offer(value)
        assert steps[1].wait(PATIENCE)
        return 5

    with Process().session() as session:
        task = session.submit(work, KEY)
        updates = task.updates()
        assert next(updates) == 1
        steps[0].set()
        found = [next(updates)]
        while found[-1] != 4:
            found.append(next(updates))
        assert found == sorted(set(found))
        steps[1].set()
        assert list(updates) == [] and task.result().value == 5
    assert made == [1, *found]  # a partial value that is not read is not made


def test_a_joined_request_sees_the_updates_too() -> None:
    process, work = Process(), HeldWork(publishes=("a",))
    with process.submitted(work) as first, process.session() as session:
        assert work.begun.wait(PATIENCE)
        task = session.submit(work, KEY)
        assert next(task.updates()) == "a"
        work.go.set()
        assert task.result().source == "shared"
        wait_for(first)


def test_updates_end_when_the_client_leaves() -> None:
    process, work, client = Process(), HeldWork(), Client()
    with process.scheduler.session(client.context()) as session:
        task = session.submit(work, KEY)
        client.left.set()
        with pytest.raises(ClientLeft):
            next(task.updates())
