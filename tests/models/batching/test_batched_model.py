"""The batched model as a Model: what it answers, until when, and where batching is used."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from server.errors import NotReady, OutOfTime
from server.explainers import EXPLAINERS
from server.inference.attack import AttackedModel
from server.models.batching.batched_model import (
    BATCH_ROWS,
    BUCKETS,
    CPU_EXPLAIN_ROWS,
    BatchedModel,
    batched_model,
    batched_model_for,
)
from server.models.batching.request import Limits
from server.models.savedmodel import SavedModel
from server.models.wrappers import DeadlineModel, MemoizedModel
from server.protocols import RequestContext
from server.types import Array, Features, Model
from tests.explainers.test_oracles import agrees_with_lime
from tests.support.batching import Request, WatchedClock
from tests.support.clock import PATIENCE
from tests.support.models.fakes import Linear, Square, ink
from tests.support.models.nets import NAMES, card, digits, folder, net, one

WEIGHTS = np.eye(3, dtype=np.float32)


class Slow(Square):
    """Keeps the sizes of its calls; the first waits for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.began, self.go = threading.Event(), threading.Event()

    def logits(self, images: Array) -> Array:
        self.sizes.append(len(images))
        if not self.began.is_set():
            self.began.set()
            assert self.go.wait(PATIENCE)
        return super().logits(images)


def before(model: Model, now: Callable[[], float] = time.monotonic, **limits: Any) -> BatchedModel:
    each = Limits(**{"batch": 64, "explain": 64, "queue": 10_000, **limits})
    return batched_model(model, dict.fromkeys(BATCH_ROWS, each), now)


def within(seconds: float, cancel: Callable[[], None] = lambda: None) -> RequestContext:
    return RequestContext.within(seconds, raise_if_cancelled=cancel)


def images(count: int, seed: int = 0) -> Array:
    return np.stack([ink(seed + number) for number in range(count)])


def test_a_batched_model_answers_as_its_model_does() -> None:
    model = Square()
    found = before(model).for_explain(within(PATIENCE))
    assert found.card is model.card and found.verbs == model.verbs and isinstance(found, BatchedModel)
    assert np.array_equal(found.forward(images(5)), model.forward(images(5)))
    assert np.array_equal(found.gradient(images(3), WEIGHTS), model.gradient(images(3), WEIGHTS))
    computed, reference = found.features(images(3), WEIGHTS), model.features(images(3), WEIGHTS)
    for name in ("embedding", "feature_map", "feature_gradient", "attention"):
        assert np.array_equal(getattr(computed, name), getattr(reference, name))


def test_what_a_model_does_not_have_stays_away() -> None:
    class Plain(Linear):
        def features(self, images: Array, weights: Array) -> Features:
            return Features(images.reshape(len(images), -1), None, None, None)

    found = before(Plain(), batch=2, explain=2).features(images(3), WEIGHTS)
    assert found.embedding.shape == (3, 64)
    assert (found.feature_map, found.feature_gradient, found.attention) == (None, None, None)


def test_rows_of_different_explanations_are_put_together() -> None:
    """Four `occlusion` at once, in a third of the calls of one after the other, with the same answers."""
    explainer, target = EXPLAINERS["occlusion"](patch=2, stride=2, baseline="black"), one("mlp", 1)
    target = type(target)(WEIGHTS[1], 1, None, "1")
    single = Slow()
    single.began.set()
    expected = [next(iter(explainer.refine(single, ink(seed), target, 0))).values for seed in range(4)]
    clock, model = WatchedClock(), Slow()
    found = before(model, clock)
    busy = Request("busy", lambda: found.forward(images(3)))
    assert model.began.wait(PATIENCE)
    asked = []
    for seed in range(4):
        explain = found.for_explain(within(1000))
        asked.append(
            Request(str(seed), lambda explain=explain, seed=seed: [*explainer.refine(explain, ink(seed), target, 0)])
        )
        assert clock.seen(str(seed)).wait(PATIENCE)
    model.go.set()
    assert busy.join().error is None
    for request, values in zip(asked, expected, strict=True):
        assert request.join().answer[-1].values == pytest.approx(values, abs=1e-9)
    assert len(model.sizes) - 1 <= len(single.sizes) // 3
    assert sum(model.sizes) - 3 == sum(single.sizes)


BAD = {
    "another shape": np.zeros((3, 8, 9), np.float32),
    "no rows of images": np.zeros((8, 8), np.float32),
    "words": np.full((3, 8, 8), "ink"),
    "NaN": np.where(np.arange(8) == 3, np.nan, images(3)),
    "infinity": np.where(np.arange(8) == 3, -np.inf, images(3)),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_refused_before_it_waits(bad: str) -> None:
    model = Slow()
    model.began.set()
    for found in (before(model), before(model).for_explain(within(PATIENCE))):
        with pytest.raises(ValueError, match=r"expected|NaN|convert"):
            found.forward(BAD[bad])
    with pytest.raises(ValueError, match="weights"):
        before(model).gradient(images(3), WEIGHTS[:2])
    assert model.sizes == []


def test_large_numbers_are_numbers() -> None:
    large = np.full((3, 8, 8), 3e38, np.float32)
    with np.errstate(over="ignore"):
        assert before(Linear()).forward(large).shape == (3, 3)


def test_logits_of_the_background_are_kept() -> None:
    """While the model is busy with others: every explanation asks it."""
    clock, model = WatchedClock(), Slow()
    found = before(model, clock)
    busy = Request("busy", lambda: found.forward(images(5)))
    assert model.began.wait(PATIENCE)
    assert found.for_explain(within(1000)).forward(model.card.background) is not None
    assert model.sizes == [5, 6]
    model.go.set()
    assert busy.join().error is None


WRAPPED: dict[str, Callable[[BatchedModel], Model]] = {
    "bare": lambda found: found,
    "memoised": MemoizedModel,
    "of an attack": lambda found: AttackedModel(found, found),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_a_request_is_an_explanation_that_ends_with_its_time(wrapper: str) -> None:
    """Through any wrappers: predictions overtake its rows, and they are dropped at its deadline."""
    clock, model = WatchedClock(), Slow()
    found = before(model, clock)
    busy = Request("busy", lambda: found.forward(images(1)))
    assert model.began.wait(PATIENCE)
    timed = {}
    for name, left in (("a", 500), ("b", 900)):
        context = RequestContext.within(left, WatchedClock())
        timed[name] = DeadlineModel(WRAPPED[wrapper](found.for_explain(context)), context)
    asked = []
    for number, (name, model_of_request) in enumerate(timed.items()):
        asked.append(
            Request(name, lambda leader=model_of_request, rows=4 + number: leader.forward(images(rows, 10 * rows)))
        )
        assert clock.seen(name).wait(PATIENCE)
    predicted = Request("predicted", lambda: found.forward(images(2)))
    assert clock.seen("predicted").wait(PATIENCE)
    clock.seconds += 700
    model.go.set()
    assert isinstance(asked[0].join().error, OutOfTime)
    assert len(asked[1].join().answer) == 5 and len(predicted.join().answer) == 2 and busy.join().error is None
    assert model.sizes == [1, 2, 5]


def test_an_interrupt_reaches_what_waits() -> None:
    clock, model = WatchedClock(), Slow()
    found = before(model, clock)
    busy = Request("busy", lambda: found.forward(images(1)))
    assert model.began.wait(PATIENCE)
    stopped = threading.Event()

    def cancel() -> None:
        if stopped.is_set():
            raise NotReady("nobody waits")

    asked = Request("asked", lambda: found.for_explain(within(1000, cancel)).forward(images(4)))
    assert clock.seen("asked").wait(PATIENCE)
    stopped.set()
    model.go.set()
    assert isinstance(asked.join().error, NotReady) and busy.join().error is None
    assert model.sizes == [1]


def test_a_prediction_with_a_deadline_comes_first_and_ends_with_it() -> None:
    clock, model = WatchedClock(), Slow()
    found = before(model, clock)
    busy = Request("busy", lambda: found.forward(images(1)))
    assert model.began.wait(PATIENCE)
    explained = Request("explained", lambda: found.for_explain(within(1000)).forward(images(4)))
    assert clock.seen("explained").wait(PATIENCE)
    asked = {}
    for name, seconds, rows in (("short", 500, 2), ("long", 900, 3)):
        asked[name] = Request(
            name, lambda seconds=seconds, rows=rows: found.for_predict(within(seconds)).forward(images(rows))
        )
        assert clock.seen(name).wait(PATIENCE)
    clock.seconds += 700
    assert isinstance(asked["short"].join().error, OutOfTime)
    model.go.set()
    assert len(asked["long"].join().answer) == 3 and len(explained.join().answer) == 4 and busy.join().error is None
    assert model.sizes == [1, 3, 4]


def test_a_twin_leaves_the_cpu_to_explanations() -> None:
    model = Linear()
    assert batched_model_for(model, gpu=False, twin=True) is None
    assert model.rows == 0


def test_without_a_twin_a_prediction_waits_for_a_slice() -> None:
    found = batched_model_for(Slow(), gpu=False, twin=False)
    assert isinstance(found, BatchedModel)
    assert {scheduler.limits.explain for scheduler in found.schedulers.values()} == {CPU_EXPLAIN_ROWS}
    assert {scheduler.limits.buckets for scheduler in found.schedulers.values()} == {()}


def test_on_a_gpu_only_sizes_are_met_that_were_run_at_the_start() -> None:
    model = Slow()
    model.began.set()
    found = batched_model_for(model, gpu=True, twin=True)
    assert isinstance(found, BatchedModel)
    assert set(model.sizes) == set(BUCKETS)
    warm = len(model.sizes)
    explain = found.for_explain(within(PATIENCE))
    for rows in (3, 31, 33, 200, 512, 513, 1100):
        assert explain.forward(images(rows)) == pytest.approx(Square().forward(images(rows)), rel=1e-9)
    assert len(model.sizes) == warm + 7 + 1 + 2
    assert set(model.sizes) == set(BUCKETS)


# The shipped nets.


def busily(model: Model, work: Callable[[int], object], threads: int = 3) -> list[Request]:
    """`work` in some threads at once."""
    return [Request(str(number), lambda number=number: work(number)) for number in range(threads)]


@pytest.mark.parametrize("name", NAMES)
def test_answers_do_not_depend_on_what_they_are_put_together_with(name: str) -> None:
    model = net(name)
    found = batched_model_for(model, gpu=False, twin=False)
    assert isinstance(found, BatchedModel)
    weights = np.repeat(one(name).weights[None], 200, axis=0)
    logits, slopes = model.forward(digits()), model.gradient(digits(), weights)

    def work(thread: int) -> float:
        rng, worst = np.random.default_rng(thread), 0.0
        asked = found if thread == 0 else found.for_explain(within(60))
        for _ in range(4):
            rows = rng.integers(0, 200, rng.choice([1, 2, 3, 17, 40]))
            worst = max(worst, np.abs(asked.forward(digits()[rows]) - logits[rows]).max())
            worst = max(worst, np.abs(asked.gradient(digits()[rows], weights[rows]) - slopes[rows]).max())
        return worst

    before_all = model.retraces
    assert all(request.join().answer < 1e-5 for request in busily(found, work))
    assert model.retraces == before_all


@pytest.mark.filterwarnings("default")
def test_lime_stays_what_the_package_gives_beside_others() -> None:
    model = net("cnn")
    found = batched_model_for(model, gpu=False, twin=False)
    assert isinstance(found, BatchedModel)
    over = threading.Event()

    def others(thread: int) -> None:
        rng = np.random.default_rng(thread)
        while not over.is_set():
            found.for_explain(within(60)).forward(digits()[: rng.integers(1, 100)])

    requests = busily(found, others, 2)
    try:
        agrees_with_lime(found.for_explain(within(60)), digits()[5], seed=3, within=4e-6)
    finally:
        over.set()
    assert all(request.join().error is None for request in requests)


@pytest.mark.parametrize("name", NAMES)
def test_200_requests_of_many_sizes_trace_nothing(name: str) -> None:
    model, rng = net(name), np.random.default_rng(0)
    weights = np.repeat(one(name).weights[None], 200, axis=0)
    traced = model.retraces
    for repetition in range(200):
        rows = rng.integers(0, 200, rng.integers(1, 40))
        if repetition % 3 == 0:
            model.forward(digits()[rows])
        elif repetition % 3 == 1:
            model.gradient(digits()[rows], weights[rows])
        else:
            model.features(digits()[rows], weights[rows])
    assert model.retraces == traced


def test_a_trace_would_be_counted() -> None:
    reported: list[None] = []
    model = SavedModel(folder("mlp"), card("mlp"), on_retrace=lambda: reported.append(None))
    assert model.retraces == 0
    model._gradient = tf.function(model._taped)  # without a signature every size is traced anew
    for rows in (3, 4, 5):
        model.gradient(digits()[:rows], np.zeros((rows, 10), np.float32))
    assert model.retraces == len(reported) == 3
