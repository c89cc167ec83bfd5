"""Thousands of spoilt pictures and bodies: each is answered, none is our fault, and nothing grows."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.faults.clients.mutations import corpus, spoilt, spoilt_json
from tests.faults.processes import resident, workers
from tests.support.processes.servers import Running, serving

NUMBER = 2000
EXPLAIN_PATHS = 150  # of each kind
WARM = 300 / NUMBER  # share of the requests before the memory is first looked at
GROWTH, TENSORFLOW = 24 << 20, 64 << 20  # bytes, after that; where new shapes come, TensorFlow keeps room for each
TENSOR = {"name": "images", "shape": [1, 784], "datatype": "FP32", "data": [0.5] * 784}
PIXELS = np.random.default_rng(3).integers(0, 256, (28, 28)).tolist()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("rubbish"), {"EXPLAIN": "off", "LOG_LEVEL": "ERROR"}) as running:
        yield running


class Client:
    """Posts over one connection, opened again when the server closes it."""

    def __init__(self, server: Running) -> None:
        address = urlsplit(server.url)
        self.connection = HTTPConnection(str(address.hostname), address.port, timeout=30)

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes, str]:
        self.connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = self.connection.getresponse()
        return response.status, response.read(), response.headers["Content-Type"]


def check(status: int, answer: bytes, kind: str, sent: bytes, also: int = 200) -> None:
    assert status in (200, also) or 400 <= status < 500, (status, answer[:300], sent[:200])
    assert kind == "application/json"
    reported = json.loads(answer)
    if status != 200:
        assert reported["error"] and reported["code"] != "internal_error"


def repetitions(server: Running, number: int, limit: int = GROWTH) -> Iterator[int]:
    """0 to `number`, in which the worker's memory must not grow by more than `most`, and in the second half by half as
    much: caches are filled then."""
    (worker,) = workers(server)
    for repetition in range(number):
        if repetition == int(WARM * number):
            before = resident(worker)
        if repetition == int((1 + WARM) / 2 * number):
            middle = resident(worker)
        yield repetition
    after = resident(worker)
    assert after - before < limit and after - middle < limit / 2, (before, middle, after)
    assert workers(server) == [worker]


def test_spoilt_pictures(server: Running) -> None:
    rng, seeds, statuses = np.random.default_rng(0), corpus(), Counter[int]()
    with closing((client := Client(server)).connection):
        for number in repetitions(server, NUMBER):
            repetition, seed = divmod(number, len(seeds))
            body = spoilt(seeds[seed], rng)
            reported = {"Content_Type": "image/png"} if repetition % 2 else {}
            status, answer, kind = client.post("/v1/predict", body, **reported)
            check(status, answer, kind, body)
            statuses[status] += 1
    assert {200, 400, 415} <= set(statuses)  # they reach beyond the first look, and some do no harm


DOCUMENTS: dict[str, Any] = {
    "/v1/predict": {"pixels": PIXELS},
    "/v1/predict?model=mlp": {"image": {"b64": "iVBORw0KGgo="}},
    "/v1/models/mlp:predict": {
        "instances": [(np.array(PIXELS) / 255).round(3).tolist()],
        "signature_name": "serving_default",
    },
    "/v1/models/mlp:explain": {
        "inputs": {"images": [(np.array(PIXELS) / 255).round(3).tolist()]},
        "parameters": {"seed": 1},
    },
    "/v2/models/mlp/infer": {
        "inputs": [TENSOR],
        "outputs": [{"name": "logits"}],
        "id": "1",
        "parameters": {"timeout": 0},
    },
}
PREDICTS_ONLY = {"/v1/models/mlp:explain": 503}  # what else may be answered


@pytest.mark.parametrize("path", DOCUMENTS)
def test_spoilt_json(server: Running, path: str) -> None:
    rng, statuses = np.random.default_rng(1), Counter[int]()
    with closing((client := Client(server)).connection):
        for _ in repetitions(server, NUMBER // len(DOCUMENTS)):
            body = spoilt_json(DOCUMENTS[path], rng)
            status, answer, kind = client.post(path, body)
            check(status, answer, kind, body, PREDICTS_ONLY.get(path, 200))
            statuses[status] += 1
    assert statuses[400] > 0


def test_spoilt_binary_tensors(server: Running) -> None:
    """The JSON, the bytes behind it and the length that parts them, one or all of them wrong."""
    rng, statuses = np.random.default_rng(2), Counter[int]()
    raw = rng.random(784, np.float32).tobytes()
    inputs = {
        **{name: TENSOR[name] for name in ("name", "shape", "datatype")},
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [inputs], "parameters": {"binary_data_output": True}}).encode()
    with closing((client := Client(server)).connection):
        for _ in repetitions(server, NUMBER):
            length = len(head) if rng.random() < 0.7 else int(rng.integers(-2, 2 * len(head)))
            body = spoilt(head, rng) + raw if rng.random() < 0.5 else head + spoilt(raw, rng)
            status, answer, kind = client.post(
                "/v2/models/mlp/infer", body, Inference_Header_Content_Length=str(length)
            )
            if kind == "application/octet-stream":
                assert status == 200
            else:
                check(status, answer, kind, body)
            statuses[status] += 1
    assert {200, 400} <= set(statuses)


IMAGE = (np.array(PIXELS) / 255).round(3).tolist()
TO_EXPLAIN: dict[str, Any] = {
    "/v1/explain?method=saliency": {"pixels": PIXELS},
    "/v1/explain?method=saliency&model=mlp": {"image": {"b64": b64encode(corpus()[0]).decode()}},
    "/v1/models/mlp:explain": {"instances": [IMAGE], "parameters": {"method": "saliency", "target": 3}},
    "/v2/models/mlp/explain": {"inputs": [TENSOR], "id": "1", "parameters": {"method": "saliency", "seed": 1}},
}


@pytest.mark.parametrize("path", TO_EXPLAIN)
def test_spoilt_json_to_explain(explaining: Running, path: str) -> None:
    """By a server that explains: not even a 503, as there are no other requests."""
    rng, statuses = np.random.default_rng(4), Counter[int]()
    with closing((client := Client(explaining)).connection):
        assert client.post(path, json.dumps(TO_EXPLAIN[path]).encode())[0] == 200
        for _ in repetitions(explaining, EXPLAIN_PATHS, TENSORFLOW):
            body = spoilt_json(TO_EXPLAIN[path], rng)
            status, answer, kind = client.post(path, body)
            check(status, answer, kind, body)
            statuses[status] += 1
    assert statuses[400] > 0


def test_spoilt_pictures_to_explain(explaining: Running) -> None:
    rng, seeds, statuses = np.random.default_rng(5), corpus(), Counter[int]()
    with closing((client := Client(explaining)).connection):
        for number in repetitions(explaining, EXPLAIN_PATHS, TENSORFLOW):
            body = spoilt(seeds[number % len(seeds)], rng)
            status, answer, kind = client.post("/v1/explain?method=saliency", body)
            check(status, answer, kind, body)
            statuses[status] += 1
    assert {200, 400, 415} <= set(statuses)
