"""A version without a twin: its SavedModel predicts in batches, and with no less priority than anything else."""

import gc
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from flask import Flask
from werkzeug.test import TestResponse

from server.app import create_app
from server.config import Settings
from server.models.batching.batched_model import BATCH_ROWS, BatchedModel, batched_model
from server.models.batching.request import Limits
from server.models.card import CARD
from server.models.repository.store import LoadedModel
from server.models.savedmodel import SavedModel
from server.protocols import NO_DEADLINE
from server.routes.service import EXTENSION
from server.types import Array, Model, ModelCard
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.batching import Request
from tests.support.clock import PATIENCE
from tests.support.models.fakes import Linear
from tests.support.models.nets import digits, twin
from tests.support.models.stores import SEVEN, copy_version, linear, loaded, write_version
from tests.support.processes.servers import ask, serving
from tests.test_metrics import number, scraped


@pytest.fixture(scope="module")
def without_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the MLP as a trainer leaves it whose twin did not agree."""
    store = tmp_path_factory.mktemp("without_twin")
    folder = copy_version(store, 1)
    stored = json.loads((folder / CARD).read_text())
    for file in folder.rglob("*.tflite"):
        file.unlink()
        del stored["files"][file.relative_to(folder).as_posix()]
    (folder / CARD).write_text(json.dumps({**stored, "format": 1}))
    return store


def test_predictions_are_answered_while_explanations_are_computed(without_twin: Path, tmp_path: Path) -> None:
    images = digits()[:24]
    settings = {"MODEL_STORE": str(without_twin), "MODEL": "mlp", "DEVICE": "cpu"}
    with serving(tmp_path, settings, explain="ready") as server, ThreadPoolExecutor(8) as threads:
        body = {"signature_name": "serving_default", "instances": images[:1].tolist()}
        explanation = threads.submit(ask, f"{server.url}/v1/models/mlp:explain", json.dumps(body).encode())
        bodies = [json.dumps({"instances": [image.tolist()]}).encode() for image in images]
        answers = list(threads.map(lambda body: ask(f"{server.url}/v1/models/mlp:predict", body), bodies))
        assert explanation.result()[0] == 200
        status, _, metrics = ask(f"{server.url}/metrics")
    assert [status for status, _, _ in answers] == [200] * 24
    logits = np.array([answer["predictions"][0]["logits"] for _, _, answer in answers])
    assert logits == pytest.approx(twin("mlp").forward(images), abs=1e-4)
    lines = dict(line.rsplit(" ", 1) for line in metrics.decode().splitlines() if not line.startswith("#"))
    assert status == 200 and float(lines["inkling_batch_rows_sum"]) > 24
    assert float(lines["inkling_queue_rows"]) == 0 and float(lines["inkling_retraces_total"]) == 0


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="threads have no priority of their own here")
@pytest.mark.parametrize("predicted_by_twins", [True, False])
def test_threads_that_predict_have_no_low_priority(predicted_by_twins: bool, make_app: MakeApp, tmp_path: Path) -> None:
    """TensorFlow's threads inherit it from the one that loads."""
    found = []

    def load(path: Path, card: ModelCard) -> Model:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return linear(path, card)

    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "other", "1", twin=predicted_by_twins)
    leader = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    make_app(load, model_store=tmp_path)
    assert len(found) == 2
    assert all((one > leader) is predicted_by_twins for one in found)


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="threads have no priority of their own here")
def test_explanations_are_computed_by_threads_of_lower_priority_than_answers(make_app: MakeApp) -> None:
    found: dict[str, list[int]] = {"twin": [], "full": []}

    def loading(name: str) -> Callable[[Path, ModelCard], Model]:
        class Watched(Linear):
            def forward(self, images: Array) -> Array:
                found[name].append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
                return super().forward(images)

        return lambda path, card: Watched(card, card.verbs)

    client = make_app(load_savedmodel=loading("full"), load_twin=loading("twin")).test_client()
    leader = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert client.post("/v1/explain?method=occlusion", data=SEVEN).status_code == 200
    assert found["twin"] and all(one == leader for one in found["twin"])
    assert found["full"] and all(one > leader for one in found["full"])


@dataclass
class Held(Linear):
    """Whose calls wait for `go`."""

    sizes: list[int] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def forward(self, images: Array) -> Array:
        self.sizes.append(len(images))
        self.began.set()
        assert self.go.wait(PATIENCE)
        return super().forward(images)


@dataclass
class Busy:
    """An application whose only model is busy with a request for one row."""

    app: Flask
    model: Held
    waits: threading.Event  # set when rows begin to wait

    def infer(self, rows: int, timeout: int = 0) -> TestResponse:
        """What is answered to so many rows that have `timeout` microseconds."""
        return infer(self.app, "fake", np.zeros((rows, 28, 28)), {"timeout": timeout})

    def later(self, name: str, send: Callable[[], Any]) -> Request:
        """A request in a thread of its own, when its rows wait."""
        self.waits.clear()
        request = Request(name, send)
        assert self.waits.wait(PATIENCE)
        return request


def infer(app: Flask, model: str, rows: Array, parameters: Any = None) -> TestResponse:
    tensor = {"name": "images", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    body = {"inputs": [tensor], "parameters": parameters or {}}
    return app.test_client().post(f"/v2/models/{model}/infer", json=body)


@contextmanager
def busy(make_app: MakeApp, folder: Path, queue: int = 10_000) -> Iterator[Busy]:
    """It is let go in the end, and has then answered the request that it was busy with."""
    models: list[Held] = []
    waits = threading.Event()

    def load(path: Path, card: ModelCard) -> LoadedModel:
        models.append(Held(card, card.verbs))
        limits = dict.fromkeys(BATCH_ROWS, Limits(batch=64, explain=64, queue=queue))
        found = batched_model(models[0], limits, on_wait=lambda change: change > 0 and waits.set())
        return LoadedModel(models[0], per_request=found)

    write_version(folder, "fake", "1", twin=False)
    app = make_app(load, model_store=folder)
    scene = Busy(app, models[0], waits)
    first = Request("first", lambda: scene.infer(1))
    try:
        assert scene.model.began.wait(PATIENCE)
        yield scene
    finally:
        scene.model.go.set()
        assert first.join().answer.status_code == 200


def test_late_rows_are_refused_while_the_model_is_busy(make_app: MakeApp, tmp_path: Path) -> None:
    with busy(make_app, tmp_path) as scene:
        send = scene.later("asked", lambda: scene.infer(3, timeout=500_000))
        check_error(send.join().answer, 504, "out_of_time", ("others asked before", "timeout"))
        assert scene.model.sizes == [1]
    assert scene.infer(2, timeout=30_000_000).status_code == 200
    assert scene.model.sizes == [1, 2]


TENSOR = {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 784], "data": [0.5] * 784}]}
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/predict": {"data": SEVEN, "content_type": "image/png"},
    "/v1/predict?preprocess=none": {"data": SEVEN},
    "/v1/explain": {"data": SEVEN},
    "/v1/compare?methods=saliency,occlusion": {"data": SEVEN},
    "/v1/adversarial": {"data": SEVEN},
    "/v1/models/fake:predict": {"json": {"instances": [[0.5] * 784]}},
    "/v1/models/fake:explain": {"json": {"instances": [[0.5] * 784]}},
    "/v2/models/fake/infer": {"json": TENSOR},
    "/v2/models/fake/explain": {"json": TENSOR},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_rows_whose_client_has_left_are_dropped_while_the_model_is_busy(
    path: str, make_app: MakeApp, tmp_path: Path
) -> None:
    client, server = socket.socketpair()
    with closing(server), busy(make_app, tmp_path) as scene:
        connected = {"gunicorn.socket": server}
        send = scene.later(
            "asked", lambda: scene.app.test_client().post(path, environ_overrides=connected, **REQUESTS[path])
        )
        client.close()
        check_error(send.join().answer, 499, "client_left")
        assert scene.model.sizes == [1]
    assert scene.model.sizes == [1]


def test_rows_beyond_the_queue_are_refused_at_once(make_app: MakeApp, tmp_path: Path) -> None:
    with busy(make_app, tmp_path, queue=4) as scene:
        waiting = scene.later("waiting", lambda: scene.infer(3))
        for rows in (2, 4):
            refused = scene.infer(rows)
            check_error(refused, 503, "queue_full", ("3 rows wait",))
            assert refused.headers["Retry-After"] == "1"
        last = scene.later("last", lambda: scene.infer(1))
        numbers = scraped(scene.app.test_client())
        assert number(numbers, "inkling_refused_total", code="queue_full") == 2
    assert [one.join().answer.status_code for one in (waiting, last)] == [200, 200]
    assert scene.model.sizes == [1, 4]


@pytest.fixture(scope="module")
def app(without_twin: Path) -> Iterator[Flask]:
    """The application as it loads models itself, in this process."""
    made = create_app(Settings(model_store=without_twin, model="mlp", device="cpu", poll_ms=0))
    loaded()
    yield made
    gc.unfreeze()  # what the loader froze


def batched_model_of(app: Flask) -> BatchedModel:
    with app.extensions[EXTENSION].store.handle("mlp", None) as version:
        found = version.for_predict(NO_DEADLINE)
        assert isinstance(found, BatchedModel)
        return found


def test_rows_that_wait_are_counted_while_they_do(app: Flask) -> None:
    scheduler, client = batched_model_of(app).schedulers["forward"], app.test_client()
    compute, reported = scheduler.compute, scheduler.on_wait
    began, go, waits = threading.Event(), threading.Event(), threading.Event()

    def held(images: Array) -> Any:
        began.set()
        assert go.wait(PATIENCE)
        return compute(images)

    def tell(change: int) -> None:
        reported(change)
        waits.set()

    scheduler.compute = held
    scheduler.on_wait = tell
    try:
        first = Request("first", lambda: infer(app, "mlp", digits()[:1]))
        assert began.wait(PATIENCE)
        waits.clear()
        second = Request("second", lambda: infer(app, "mlp", digits()[:3]))
        assert waits.wait(PATIENCE)
        assert number(scraped(client), "inkling_queue_rows") == 3
    finally:
        go.set()
        scheduler.compute, scheduler.on_wait = compute, reported
    assert [one.join().answer.status_code for one in (first, second)] == [200, 200]
    assert number(scraped(client), "inkling_queue_rows") == 0


def test_a_trace_is_counted_where_others_read_it(app: Flask) -> None:
    model = batched_model_of(app).model
    assert isinstance(model, SavedModel)
    assert number(scraped(app.test_client()), "inkling_retraces_total") == 0
    right = model._gradient
    model._gradient = tf.function(model._taped)  # without a signature every size is traced anew
    try:
        for rows in (3, 4, 5):
            model.gradient(digits()[:rows], np.zeros((rows, 10), np.float32))
    finally:
        model._gradient = right
    assert number(scraped(app.test_client()), "inkling_retraces_total") == 3
