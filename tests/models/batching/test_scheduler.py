"""Which rows are computed when, and together with which. Each property is a function of the class, so that broken
schedulers are seen to fail."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest

from server.errors import NotReady, OutOfTime, QueueFull
from server.models.batching.request import CallOptions, Limits
from server.models.batching.scheduler import BatchScheduler
from tests.support.batching import EXPLANATION, LARGE, PREDICTION, Doubling, Request, Scene, busy
from tests.support.clock import PATIENCE


def what_waits_goes_together(kind: type[BatchScheduler]) -> None:
    with busy(kind) as scene:
        for name, row in (("a", 1), ("b", 2), ("c", 3)):
            scene.ask(name, [row, row + 10])
    assert scene.compute.sizes == [1, 6]
    assert [scene.answered(name).tolist() for name in "abc"] == [[2, 22], [4, 24], [6, 26]]
    assert scene.reported == [2, 2, 2, -6]


def predictions_go_first_and_lead(kind: type[BatchScheduler]) -> None:
    """Also before those that waited longer, and never computed by the thread of an explanation that waited too."""
    with busy(kind) as scene:
        scene.ask("a", [1, 2])
        scene.ask("b", [3], PREDICTION)
        scene.ask("c", [4], PREDICTION)
    assert [rows.tolist() for rows in scene.compute.calls] == [[0], [3, 4], [1, 2]]
    assert scene.compute.by == ["busy", "b", "a"]


def a_prediction_waits_for_one_slice_at_most(kind: type[BatchScheduler]) -> None:
    scene = Scene(kind, Limits(batch=8, explain=4, queue=10_000))
    scene.ask("a", range(10))
    assert scene.compute.began.wait(PATIENCE)
    scene.ask("b", [50], PREDICTION)
    scene.end()
    assert [rows.tolist() for rows in scene.compute.calls] == [[0, 1, 2, 3], [50], [4, 5, 6, 7], [8, 9]]
    assert scene.answered("a").tolist() == [2 * row for row in range(10)]
    assert scene.reported == [6, 1, -1, -4, -2]


def large_requests_take_turns(kind: type[BatchScheduler]) -> None:
    with busy(kind, Limits(batch=8, explain=4, queue=10_000)) as scene:
        scene.ask("a", range(8))
        scene.ask("b", range(10, 15))
    assert [rows.tolist() for rows in scene.compute.calls[1:]] == [[0, 1, 2, 3], [10, 11, 12, 13], [4, 5, 6, 7], [14]]
    assert scene.answered("b").tolist() == [20, 22, 24, 26, 28]


def explanations_fill_up_a_turn_of_predictions(kind: type[BatchScheduler]) -> None:
    with busy(kind, Limits(batch=16, explain=16, queue=10_000, buckets=(4, 8, 16))) as scene:
        scene.ask("a", range(10, 20))
        scene.ask("b", [1, 2, 3, 4, 5], PREDICTION)
    assert scene.compute.calls[1].tolist() == [1, 2, 3, 4, 5, 10, 11, 12]
    assert scene.compute.calls[2].tolist() == [*range(13, 20), 19]
    assert scene.compute.sizes == [4, 8, 8]
    assert scene.answered("a").tolist() == [2 * row for row in range(10, 20)]


def late_rows_are_dropped_one_by_one(kind: type[BatchScheduler]) -> None:
    with busy(kind) as scene:
        scene.ask("a", [1], CallOptions(False, deadline=scene.clock.seconds + 1000))
        scene.ask("b", [2], CallOptions(False, deadline=scene.clock.seconds + 3000))
        scene.ask("c", [3], CallOptions(True, deadline=scene.clock.seconds + 1000))
        scene.clock.seconds += 2000
    assert isinstance(scene.requests["a"].error, OutOfTime) and isinstance(scene.requests["c"].error, OutOfTime)
    assert scene.answered("b").tolist() == [4]
    assert [rows.tolist() for rows in scene.compute.calls] == [[0], [2]]
    assert sum(scene.reported) == 0


def rows_that_nobody_waits_for_are_dropped(kind: type[BatchScheduler]) -> None:
    left = threading.Event()

    def cancel() -> None:
        if left.is_set():
            raise NotReady("nobody is there")

    with busy(kind) as scene:
        scene.ask("a", [1], CallOptions(False, raise_if_cancelled=cancel))
        scene.ask("b", [2])
        left.set()
    assert isinstance(scene.requests["a"].error, NotReady)
    assert [rows.tolist() for rows in scene.compute.calls] == [[0], [2]]


def one_that_fails_fails_alone(kind: type[BatchScheduler]) -> None:
    with busy(kind) as scene:
        scene.ask("a", [1])
        scene.ask("b", [666, 5])
        scene.ask("c", [3])
    assert isinstance(scene.requests["b"].error, ArithmeticError)
    assert [scene.answered(name).tolist() for name in "ac"] == [[2], [6]]


def the_queue_is_bounded(kind: type[BatchScheduler]) -> None:
    """In rows, of explanations and of predictions each; what comes alone is never too much."""
    with busy(kind, Limits(batch=8, explain=8, queue=10)) as scene:
        scene.ask("a", range(50))
        refused = scene.ask("b", [1])
        scene.ask("c", range(9), PREDICTION)
        scene.ask("d", [1], PREDICTION)
        late = scene.ask("e", [1], PREDICTION)
    assert isinstance(refused.error, QueueFull) and isinstance(late.error, QueueFull)
    assert (refused.error.status, refused.error.retry_after) == (503, 1)
    assert [len(scene.answered(name)) for name in "acd"] == [50, 9, 1]


class OneByOne(BatchScheduler):
    def _next_batch(self) -> Any:
        one, many = self.limits, Limits(1, 2, 10_000)
        self.limits = many
        try:
            return super()._next_batch()
        finally:
            self.limits = one


class Unordered(BatchScheduler):
    def submit(self, arrays: Any, options: CallOptions) -> Any:
        return super().submit(arrays, CallOptions(False, options.deadline, options.raise_if_cancelled))


class LeadsOn(BatchScheduler):
    """The lead goes to the request that has waited longest, prediction or not."""

    def _pass_lead(self, leader: Any) -> bool:
        predictions, self._predictions = self._predictions, type(self._predictions)()
        explanations = self._explanations
        try:
            if explanations or leader in predictions:
                return super()._pass_lead(leader)
        finally:
            self._predictions = predictions
        return super()._pass_lead(leader)


class Unsliced(BatchScheduler):
    def _next_batch(self) -> Any:
        limits, self.limits = self.limits, LARGE
        try:
            return super()._next_batch()
        finally:
            self.limits = limits


class Keeping(BatchScheduler):
    def submit(self, arrays: Any, options: CallOptions) -> Any:
        return super().submit(arrays, CallOptions(options.is_prediction))


class FailingAll(BatchScheduler):
    def _compute_batch(self, slices: Any, size: int) -> None:
        try:
            self._outputs_of(slices, size)
        except Exception as error:
            for one in slices:
                self._fail(one.request, error)
            return
        super()._compute_batch(slices, size)


class Unbounded(BatchScheduler):
    def submit(self, arrays: Any, options: CallOptions) -> Any:
        self.limits = Limits(self.limits.batch, self.limits.explain, 10_000)
        return super().submit(arrays, options)


class OneBound(BatchScheduler):
    """Explanations keep predictions out."""

    def submit(self, arrays: Any, options: CallOptions) -> Any:
        with self._lock:
            waiting = sum(request.rows for request in self._explanations)
        if options.is_prediction and waiting > self.limits.queue:
            raise QueueFull("full")
        return super().submit(arrays, options)


PROPERTIES: dict[Callable[[type[BatchScheduler]], None], list[type[BatchScheduler]]] = {
    what_waits_goes_together: [OneByOne],
    predictions_go_first_and_lead: [Unordered, LeadsOn],
    a_prediction_waits_for_one_slice_at_most: [Unsliced, Unordered],
    large_requests_take_turns: [Unsliced],
    explanations_fill_up_a_turn_of_predictions: [Unsliced, Unordered],
    late_rows_are_dropped_one_by_one: [Keeping],
    rows_that_nobody_waits_for_are_dropped: [Keeping],
    one_that_fails_fails_alone: [FailingAll],
    the_queue_is_bounded: [Unbounded, OneBound],
}
BROKEN = [(holds, kind) for holds, kinds in PROPERTIES.items() for kind in kinds]


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda one: one.__name__)
def test_scheduler_keeps_its_promises(holds: Callable[[type[BatchScheduler]], None]) -> None:
    holds(BatchScheduler)


@pytest.mark.parametrize(("holds", "kind"), BROKEN, ids=lambda one: one.__name__)
def test_broken_scheduler_is_noticed(holds: Callable[[type[BatchScheduler]], None], kind: type[BatchScheduler]) -> None:
    with pytest.raises(AssertionError):
        holds(kind)


def test_a_single_call_computes_at_once_with_its_own_rows_in_its_own_thread() -> None:
    scene = Scene(BatchScheduler)
    scene.compute.began.set()  # no call waits
    rows = np.arange(4.0)
    (answer, _) = scene.scheduler.submit([rows], EXPLANATION)
    assert scene.compute.calls[0] is rows
    assert scene.compute.by == [threading.current_thread().name]
    assert answer is not None and answer.tolist() == [0, 2, 4, 6]


def test_a_deadline_ends_waiting_while_the_model_is_busy() -> None:
    compute = Doubling()
    scheduler = BatchScheduler(compute, LARGE, time.monotonic, lambda change: None)
    first = Request("first", lambda: scheduler.submit([np.zeros(1)], EXPLANATION))
    assert compute.began.wait(PATIENCE)
    with pytest.raises(OutOfTime):
        scheduler.submit([np.ones(1)], CallOptions(False, time.monotonic() + 0.01))
    assert compute.sizes == [1]  # it is still at the first
    compute.go.set()
    assert first.join().error is None
    assert compute.sizes == [1]


def test_a_cancelled_call_returns_while_the_model_is_busy() -> None:
    left = threading.Event()

    def cancel() -> None:
        if left.is_set():
            raise NotReady("nobody is there")

    with busy(BatchScheduler) as scene:
        asked = scene.ask("a", [1, 2, 3], CallOptions(True, raise_if_cancelled=cancel))
        left.set()
        assert isinstance(asked.join().error, NotReady)
        assert scene.requests["busy"].thread.is_alive()  # the model is still at the first
        assert scene.reported == [3, -3]
    assert scene.compute.sizes == [1]


@pytest.mark.parametrize("options", [PREDICTION, EXPLANATION])
def test_a_single_call_does_not_wait(options: CallOptions) -> None:
    """The median call takes less than half a millisecond; in truth some ten microseconds."""
    scene = Scene(BatchScheduler)
    scene.compute.began.set()  # no call waits
    rows, seconds = [np.zeros(1)], []
    for _ in range(101):
        start = time.perf_counter()
        scene.scheduler.submit(rows, options)
        seconds.append(time.perf_counter() - start)
    assert median(seconds) < 0.0005


@pytest.mark.parametrize("broken", [KeyboardInterrupt, SystemExit])
def test_other_requests_survive_a_thread_that_is_ended(broken: type[BaseException]) -> None:
    with busy(BatchScheduler) as scene:
        inner, calls = scene.scheduler.compute, []

        def compute(rows: Any) -> Any:
            calls.append(rows)
            if len(calls) == 1:
                raise broken
            return inner(rows)

        scene.scheduler.compute = compute
        scene.ask("a", [1])
        scene.ask("b", [2], PREDICTION)
    assert isinstance(scene.requests["b"].error, broken)
    assert scene.answered("a").tolist() == [2]


def test_requests_survive_a_failing_callback(caplog: pytest.LogCaptureFixture) -> None:
    with busy(BatchScheduler) as scene:
        scene.scheduler.on_wait = {}.__getitem__
        scene.ask("a", [1])
    assert scene.answered("a").tolist() == [2]
    assert "KeyError" in caplog.text


def test_a_request_that_failed_keeps_nothing() -> None:
    compute = Doubling()
    compute.began.set()
    scheduler = BatchScheduler(compute, LARGE, time.monotonic, lambda change: None)
    rows = np.full(3, 666.0)
    gone = weakref.ref(rows)
    gc.disable()
    try:
        with pytest.raises(ArithmeticError):
            scheduler.submit([rows], EXPLANATION)
        compute.calls.clear()
        del rows
        assert gone() is None  # without a collection
    finally:
        gc.enable()


def test_many_threads_get_each_their_own() -> None:
    """Sizes from 1 to 40, deadlines, failures and both kinds, eight threads at once."""
    compute = Doubling()
    compute.began.set()
    scheduler = BatchScheduler(compute, Limits(32, 8, 10_000, (4, 8, 16, 32)), time.monotonic, lambda change: None)

    def work(thread: int) -> int:
        rng, right = np.random.default_rng(thread), 0
        for repetition in range(60):
            rows = rng.integers(0, 600, rng.integers(1, 41)).astype(float)
            if repetition % 7 == thread % 7:
                rows[0] = 666
            try:
                (answer, _) = scheduler.submit([rows], CallOptions(repetition % 3 == 0))
            except ArithmeticError:
                right += rows[0] == 666
            else:
                right += rows[0] != 666 and answer is not None and np.array_equal(answer, rows * 2)
        return int(right)

    threads = [Request(str(number), lambda number=number: work(number)) for number in range(8)]
    assert [request.join().answer for request in threads] == [60] * 8
    assert scheduler.submit([np.ones(1)], PREDICTION)[0] is not None  # no request has kept the lead
