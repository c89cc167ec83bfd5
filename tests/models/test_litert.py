"""LiteRT files as a Model: they answer as the SavedModel does, also beside other work, within their memory."""

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import ClientLeft, OutOfTime
from server.explainers import build, methods_for
from server.models.interpreters import InterpreterPool
from server.models.litert import LiteRTModel, explaining_model, plan_blocks, predictor
from server.models.wrappers import ProbabilityModel
from server.protocols import RequestContext
from server.types import Array, Attribution, Model, Target
from tests.support.models.nets import NAMES, card, digits, folder, lite, net, twin

every_net = pytest.mark.parametrize("name", NAMES)
SAME = 1e-4  # of the largest value


def weights(rows: int) -> Array:
    """One-hot and contrast rows by turns."""
    found = np.eye(10, dtype=np.float32)[np.arange(rows) % 10]
    found[1::2] -= np.roll(found[1::2], 3, axis=1)
    return found


def apart(computed: Array, reference: Array) -> float:
    return float(np.abs(computed - reference).max() / np.abs(reference).max())


# Answers.


@every_net
def test_it_answers_as_the_savedmodel_does(name: str) -> None:
    computed, reference, images = lite(name), net(name), digits()
    assert np.abs(computed.forward(images) - reference.forward(images)).max() < SAME
    assert apart(computed.gradient(images, weights(200)), reference.gradient(images, weights(200))) < SAME
    found, expected = (model.features(images[:20], weights(20)) for model in (computed, reference))
    for inner in ("embedding", "feature_map", "feature_gradient", "attention"):
        one, other = getattr(found, inner), getattr(expected, inner)
        assert (one is None) == (other is None)
        assert one is None or apart(one, other) < SAME
    assert computed.verbs == reference.verbs


@every_net
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 40, 41, 64, 100])
def test_any_number_of_rows_is_answered_row_for_row(name: str, rows: int) -> None:
    model, images = lite(name), digits()[:rows]
    logits, slopes = model.forward(images), model.gradient(images, weights(rows))
    single = np.concatenate([model.forward(images[row : row + 1]) for row in range(rows)])
    assert (logits.shape, slopes.shape) == ((rows, 10), (rows, 28, 28))
    assert apart(logits, single) < 1e-6
    some = range(0, rows, 7)
    single = np.concatenate([model.gradient(images[row : row + 1], weights(rows)[row : row + 1]) for row in some])
    assert apart(slopes[list(some)], single) < 1e-5


@every_net
def test_no_rows(name: str) -> None:
    assert lite(name).forward(digits()[:0]).shape == twin(name).forward(digits()[:0]).shape == (0, 10)
    assert lite(name).gradient(digits()[:0], weights(0)).shape == (0, 28, 28)


METHODS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"n_steps": 32, "tolerance": 1},  # without rounds of their own, which may end otherwise
    "expected_gradients": {"n_samples": 100},
}


def explained(model: Model, method: str, image: Array, target: Target) -> Attribution:
    *_, last = build(method, METHODS.get(method, {}), model.card, model.verbs).refine(model, image, target, 3)
    return last


CONTRASTS = {"a class": Target.of_class(4, card("cnn").classes), "two": Target.contrast(4, 9, card("cnn").classes)}


@every_net
@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_every_method_says_the_same_by_litert_and_by_tensorflow(name: str, contrast: str, output: str) -> None:
    image, target = digits()[4], CONTRASTS[contrast]
    for method in methods_for(lite(name).verbs):
        models: list[Any] = [lite(name), net(name)]
        if output == "probability":
            models = [ProbabilityModel(model) for model in models]
        computed, reference = (explained(model, method, image, target) for model in models)
        assert computed.rows == reference.rows, method
        assert apart(computed.values, reference.values) < SAME, method


@every_net
def test_the_same_request_gives_the_same_bits_beside_other_work(name: str) -> None:
    pool = InterpreterPool(64 << 20)
    with ThreadPoolExecutor(3) as helpers:
        models = [explaining_model(folder(one), card(one), pool, helpers, 4) for one in NAMES]
        model = models[NAMES.index(name)]
        target, over = CONTRASTS["two"], threading.Event()
        methods = ("shapley", "smooth_grad", "integrated_gradients", "lime")
        expected = {method: explained(lite(name), method, digits()[4], target).values for method in methods}

        def others(number: int) -> None:
            random = np.random.default_rng(number)
            while not over.is_set():
                other = models[random.integers(len(models))]
                rows = int(random.integers(1, 90))
                other.forward(digits()[:rows])
                other.gradient(digits()[:rows], weights(rows))

        busy = [threading.Thread(target=others, args=(number,)) for number in range(2)]
        for thread in busy:
            thread.start()
        try:
            found = {method: explained(model, method, digits()[4], target).values for method in methods}
        finally:
            over.set()
            for thread in busy:
                thread.join()
    assert all(np.array_equal(found[method], expected[method]) for method in methods)


# Rows go in blocks.


@pytest.mark.parametrize(
    ("rows", "sizes", "expected"),
    [
        (0, (1, 32), []),
        (1, (1, 32), [1]),
        (8, (1, 32), [1] * 8),
        (9, (1, 32), [32]),
        (32, (1, 32), [32]),
        (72, (1, 32), [32, 32, *[1] * 8]),
        (73, (1, 32), [32, 32, 32]),
        (3, (1,), [1, 1, 1]),
        (5, (4,), [4, 4]),
        (3, (2, 16), [2, 2]),
    ],
)
def test_blocks_follow_from_the_number_of_rows(rows: int, sizes: tuple[int, ...], expected: list[int]) -> None:
    blocks = list(plan_blocks(rows, sizes))
    assert [size for size, _, _ in blocks] == expected
    covered = [row for _, start, stop in blocks for row in range(start, stop)]
    assert covered == list(range(rows))
    assert all(stop - start <= size for size, start, stop in blocks)


def counting(model: LiteRTModel, stop_at: int, error: Callable[[], Exception]) -> tuple[LiteRTModel, list[int]]:
    """The model for a request that is over after so many blocks, and the blocks that were begun."""
    begun: list[int] = []

    def before_block() -> None:
        if len(begun) == stop_at:
            raise error()
        begun.append(1)

    return replace(model, before_block=before_block), begun


def test_a_cancelled_request_ends_between_two_blocks() -> None:
    for context, error in (
        (RequestContext.within(-1), OutOfTime),
        (RequestContext.within(60).cancelled_by(lambda: (_ for _ in ()).throw(ClientLeft("gone"))), ClientLeft),
    ):
        bound = lite("cnn").for_explain(context)
        with pytest.raises(error):
            bound.forward(digits()[:100])
        with pytest.raises(error):
            bound.gradient(digits()[:3], weights(3))
    model, begun = counting(lite("cnn"), 2, lambda: ClientLeft("gone"))
    with pytest.raises(ClientLeft):
        model.forward(digits())
    assert len(begun) == 2 < len(list(plan_blocks(200, (1, 32))))


def test_what_fails_beside_a_helper_fails_the_request_and_nothing_hangs() -> None:
    with ThreadPoolExecutor(2) as helpers:
        model, _ = counting(replace(lite("cnn"), helpers=helpers, cores=8), 3, lambda: ClientLeft("gone"))
        for _ in range(20):
            with pytest.raises(ClientLeft):
                model.forward(digits())
        assert np.array_equal(
            replace(model, before_block=lambda: None).forward(digits()), lite("cnn").forward(digits())
        )


def test_a_helper_takes_a_share_while_a_core_is_idle() -> None:
    threads: set[str] = set()
    with ThreadPoolExecutor(1, "helper") as helpers:
        meeting = threading.Barrier(2)

        def before_block() -> None:
            name = threading.current_thread().name
            if name not in threads:
                threads.add(name)
                meeting.wait(10)  # neither goes on alone

        replace(lite("cnn"), helpers=helpers, cores=2, before_block=before_block).forward(digits())
        assert len(threads) == 2
        threads.clear()
        for cores, rows in ((1, 200), (2, 20)):  # no idle core; one block
            replace(
                lite("cnn"),
                helpers=helpers,
                cores=cores,
                before_block=lambda: threads.add(threading.current_thread().name),
            ).forward(digits()[:rows])
        assert threads == {threading.current_thread().name}


def test_after_a_full_block_the_rest_needs_no_other_interpreter() -> None:
    """Those of an unrolled net lie in files of their own, and might push each other out again and again."""
    pool = InterpreterPool(64 << 20)
    model = explaining_model(folder("lstm"), card("lstm"), pool)
    (block,) = [file for file in card("lstm").litert if file.rows.get("gradient", (1,)) > (1,)]
    rows = block.rows["gradient"][0] + 2
    slopes = model.gradient(digits()[:rows], weights(rows))
    assert pool.used == block.memory_bytes
    assert apart(slopes, net("lstm").gradient(digits()[:rows], weights(rows))) < SAME


# Memory and files.


def test_it_needs_its_files_no_more_when_it_is_loaded(tmp_path: Path) -> None:
    """Its version may be replaced or removed while it is served, and interpreters are built for it later."""
    shutil.copytree(folder("mlp"), tmp_path / card("mlp").version)
    model, other = (
        explaining_model(tmp_path / card("mlp").version, card("mlp"), InterpreterPool(1)),
        predictor(tmp_path / card("mlp").version, card("mlp")),
    )
    shutil.rmtree(tmp_path / card("mlp").version)
    assert np.array_equal(model.forward(digits()), lite("mlp").forward(digits()))
    assert np.array_equal(model.gradient(digits(), weights(200)), lite("mlp").gradient(digits(), weights(200)))
    assert np.array_equal(other.forward(digits()[:3]), lite("mlp").forward(digits()[:3]))


def test_interpreters_stay_within_the_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = InterpreterPool(64 << 20)
    models = [explaining_model(folder(name), card(name), pool) for name in NAMES]
    for _ in range(2):
        for model in models:
            model.forward(digits()[:40])
            model.gradient(digits()[:40], weights(40))
            model.features(digits()[:1], weights(1))
            assert 0 < pool.used <= 64 << 20
    for model in models:
        model.close()
    assert (pool.used, pool.lent) == (0, 0)


def test_predictions_are_answered_by_many_threads_at_once() -> None:
    for largest in (1, 3):
        model, begin = predictor(folder("mlp"), card("mlp"), largest), threading.Barrier(8)

        def ask(number: int, model: LiteRTModel = model, begin: threading.Barrier = begin) -> Any:
            begin.wait(10)
            return [model.forward(digits()[row : row + 1])[0] for row in range(number, 40, 8)]

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(ask, range(8)))
        (source,) = set(model.sources.values())
        assert 1 <= source.pool.used <= largest
        expected = twin("mlp").forward(digits()[:40])
        for number, rows in enumerate(found):
            assert np.array_equal(np.array(rows), expected[number::8])


def test_litert_computes_with_one_thread_of_its_own() -> None:
    """Or explanations would take the cores of predictions."""
    before = len(os.listdir("/proc/self/task"))
    model = explaining_model(folder("cnn"), card("cnn"), InterpreterPool(64 << 20))
    model.forward(digits())
    model.gradient(digits(), weights(200))
    assert len(os.listdir("/proc/self/task")) <= before  # those of tests before may have ended


# What the store ships.


@every_net
def test_the_card_tells_of_every_file(name: str) -> None:
    files = {path.relative_to(folder(name)).as_posix() for path in folder(name).rglob("*.tflite")}
    reported = {file.path for file in card(name).litert}
    assert files == reported
    assert {verb for file in card(name).litert for verb in file.rows} == {"forward", "gradient", "features"}
    assert [file.path for file in card(name).litert if "predict" in file.roles] == ["assets.extra/model.tflite"]
