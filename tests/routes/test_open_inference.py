"""The Open Inference Protocol on fake versions: JSON and binary tensors, metadata, repository, and mistakes."""

import gzip
import json
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.errors import OutOfTime, UnknownModel
from server.inference import tensors
from server.inference.explain import ExplainRequest
from server.inference.predict import Stages
from server.models.wrappers import probabilities_of
from server.protocols import RequestContext
from server.routes.service import EXTENSION
from server.scheduling import ImmediateSession
from server.types import Array, Model, ModelCard
from tests.conftest import MakeApp
from tests.support.answers import MODEL, check_error, errors_in
from tests.support.clock import Clock
from tests.support.models.stores import linear, write_version

INFER = "/v2/models/fake/infer"
EXPLAIN = "/v2/models/fake/explain"
LENGTH = "Inference-Header-Content-Length"
ROWS: Array = np.random.default_rng(0).random((3, 28, 28), np.float32)
LOGITS = MODEL.forward(ROWS)
PROBABILITIES = probabilities_of(LOGITS, MODEL.card.temperature)
LOGITS_OUTPUT, BOTH = [{"name": "logits"}], ["logits", "probabilities"]
RAW_LOGITS = {"name": "logits", "parameters": {"binary_data": True}}


def tensor(array: Array = ROWS, **changes: Any) -> dict[str, Any]:
    """The input as JSON, its numbers in one list."""
    sent = {"name": "images", "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
    return {name: value for name, value in (sent | changes).items() if value is not None}


def request(array: Array = ROWS, **changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor(array)], **changes}


def binary(array: Array = ROWS, dtype: str = "<f4", datatype: str = "FP32", **changes: Any) -> tuple[bytes, str]:
    """A body with the numbers behind the JSON, and the length of the JSON."""
    blob = array.astype(dtype).tobytes()
    sent = tensor(array, data=None, datatype=datatype, parameters={"binary_data_size": len(blob)})
    head = json.dumps({"inputs": [sent], **changes}).encode()
    return head + blob, str(len(head))


def post(client: FlaskClient, body: Any, path: str = INFER, **headers: str) -> TestResponse:
    if isinstance(body, tuple):
        return client.post(path, data=body[0], headers={LENGTH: body[1], **headers})
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, data=data, headers=headers)


def outputs(response: TestResponse) -> dict[str, Any]:
    """The outputs by name, from JSON or from raw bytes."""
    assert response.status_code == 200, response.data
    size = int(response.headers.get(LENGTH, len(response.data)))
    reported, blob = json.loads(response.data[:size]), response.data[size:]
    assert response.headers["Content-Type"] == ("application/octet-stream" if blob else "application/json")
    found: dict[str, Any] = {}
    for one in reported["outputs"]:
        if "parameters" in one:
            mine, blob = blob[: one["parameters"]["binary_data_size"]], blob[one["parameters"]["binary_data_size"] :]
            assert "data" not in one
            values: Any = unpacked(mine) if one["datatype"] == "BYTES" else np.frombuffer(mine, TYPES[one["datatype"]])
        else:
            values = one["data"] if one["datatype"] == "BYTES" else np.array(one["data"], TYPES[one["datatype"]])
        found[one["name"]] = values if one["datatype"] == "BYTES" else values.reshape(one["shape"])
    assert not blob
    return found


TYPES = {"FP32": "<f4", "INT64": "<i8"}


def unpacked(blob: bytes) -> list[str]:
    found = []
    while blob:
        (size,) = struct.unpack("<I", blob[:4])
        found.append(blob[4 : 4 + size].decode())
        blob = blob[4 + size :]
    return found


def check_outputs(response: TestResponse, names: list[str] = BOTH, rows: int = 3) -> None:
    found = outputs(response)
    assert list(found) == names
    for name, right in (("logits", LOGITS), ("probabilities", PROBABILITIES)):
        if name in names:
            assert found[name] == pytest.approx(right[:rows].astype(np.float32), rel=1e-6)


@pytest.mark.parametrize("array", [ROWS, ROWS[..., None], ROWS.reshape(3, 784)], ids=lambda one: str(one.shape))
@pytest.mark.parametrize("form", ["flat", "nested", "binary", "gzip", "binary and gzip"])
def test_infer(client: FlaskClient, array: Array, form: str) -> None:
    body: Any = request(array)
    headers = {}
    if form == "nested":
        body = {"inputs": [tensor(array, data=array.tolist())]}
    if form.startswith("binary"):
        body = binary(array)
    if form.endswith("gzip"):
        headers = {"Content-Encoding": "gzip"}
        raw = body if isinstance(body, tuple) else (json.dumps(body).encode(), "")
        body = (gzip.compress(raw[0]), raw[1]) if raw[1] else gzip.compress(raw[0])
    check_outputs(post(client, body, **headers))


@pytest.mark.parametrize(
    ("datatype", "dtype", "exact"), [("FP16", "<f2", 1e-2), ("FP32", "<f4", 0), ("FP64", "<f8", 0)]
)
def test_datatypes_of_pixels(client: FlaskClient, datatype: str, dtype: str, exact: float) -> None:
    found = outputs(post(client, binary(dtype=dtype, datatype=datatype)))["logits"]
    right = MODEL.forward(ROWS.astype(dtype).astype(np.float32))
    assert found == pytest.approx(right, rel=1e-6)
    check = outputs(post(client, {"inputs": [tensor(datatype=datatype)]}))["logits"]
    assert check == pytest.approx(LOGITS, rel=1e-6)


def test_the_answer_names_what_answered_and_echoes_the_id(client: FlaskClient) -> None:
    reported = post(client, request(id="7", model_name="x", unknown=1)).get_json()
    assert (reported["model_name"], reported["model_version"], reported["id"]) == ("fake", "2", "7")
    logits, probabilities = reported["outputs"]
    assert (logits["name"], logits["shape"], logits["datatype"]) == ("logits", [3, 10], "FP32")
    assert len(probabilities["data"]) == 30
    assert "id" not in post(client, request()).get_json()
    assert post(client, request(id="a\ud800")).get_json()["id"] == "a\ud800"  # half of a pair, as JSON may have it
    for address, version in (("1", "1"), ("canary", "10")):
        reported = post(client, request(), f"/v2/models/fake/versions/{address}/infer").get_json()
        assert reported["model_version"] == version


@pytest.mark.parametrize(("changes", "names", "raw"), [
    ({}, BOTH, []),
    ({"outputs": []}, BOTH, []),
    ({"outputs": [{"name": "probabilities"}]}, ["probabilities"], []),
    ({"outputs": [{"name": "probabilities"}, {"name": "logits"}]}, ["probabilities", "logits"], []),
    ({"parameters": {"binary_data_output": True}}, BOTH, BOTH),
    ({"parameters": {"binary_data_output": True}, "outputs": LOGITS_OUTPUT}, ["logits"], ["logits"]),
    ({"outputs": [RAW_LOGITS, {"name": "probabilities"}]}, BOTH, ["logits"]),
    ({
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "logits", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
    }, BOTH, ["probabilities"]),
], ids=str)  # fmt: skip
def test_outputs_that_are_wanted(client: FlaskClient, changes: Any, names: list[str], raw: list[str]) -> None:
    for body in (request(**changes), binary(**changes)):
        response = post(client, body)
        check_outputs(response, names)
        reported = json.loads(response.data[: int(response.headers.get(LENGTH, len(response.data)))])
        assert [one["name"] for one in reported["outputs"] if "parameters" in one] == raw


def wrong_tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor(**changes)]}


def deep(value: Any) -> Any:
    """In more lists than an array can have dimensions."""
    for _ in range(70):
        value = [value]
    return value


def cut(body: tuple[bytes, str], end: int) -> tuple[bytes, str]:
    return body[0][:end], body[1]


CASES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "no JSON": (b"", "bad_request", ("JSON Parse error",)),
    "no object": ([], "bad_request", ("object",)),
    "no inputs": ({}, "bad_request", ("inputs", "images")),
    "two inputs": ({"inputs": [tensor(), tensor()]}, "bad_request", ("one object",)),
    "input no object": ({"inputs": [1]}, "bad_request", ("one object",)),
    "another input": (wrong_tensor(name="x"), "unknown_signature", ("'x'", "images")),
    "no name": (wrong_tensor(name=None), "unknown_signature", ("None", "images")),
    "whole numbers": (wrong_tensor(datatype="UINT8"), "invalid_tensor", ("UINT8", "FP32")),
    "no datatype": (wrong_tensor(datatype=None), "invalid_tensor", ("None", "FP32")),
    "datatype a list": (wrong_tensor(datatype=[]), "invalid_tensor", ("FP32",)),
    "no shape": (wrong_tensor(shape=None), "invalid_tensor", ("shape", "None")),
    "negative shape": (wrong_tensor(shape=[-1, 28, 28]), "invalid_tensor", ("-1",)),
    "shape of fractions": (wrong_tensor(shape=[3.0, 28, 28]), "invalid_tensor", ("3.0",)),
    "huge shape": (wrong_tensor(shape=[2**63, 2**63, 28]), "invalid_tensor", ("92233", "2**63")),
    "nearly as huge": (wrong_tensor(shape=[2**63 - 1, 2**63 - 1, 28]), "invalid_tensor", ("nested",)),
    "larger than can be written": (wrong_tensor(shape=[int("9" * 4000)] * 8), "invalid_tensor", ("shape",)),
    "larger than can be written, in bytes": (
        wrong_tensor(shape=[int("9" * 4000)] * 8, data=None, parameters={"binary_data_size": 1}), "invalid_tensor", (),
    ),
    "deeper than an array": (wrong_tensor(data=deep(0.5)), "invalid_tensor", ("data", "deep")),
    "another shape": (wrong_tensor(shape=[3, 784, 1]), "invalid_tensor", ("[3, 784, 1]", "[n, 784]")),
    "too few numbers": (wrong_tensor(shape=[4, 28, 28]), "invalid_tensor", ("[2352]", "[4, 28, 28]")),
    "nested otherwise": (
        wrong_tensor(data=ROWS.reshape(3, 784).tolist()), "invalid_tensor", ("[3, 784]", "[3, 28, 28]"),
    ),
    "no data": (wrong_tensor(data=None), "invalid_tensor", ("data", "None")),
    "texts": (wrong_tensor(data=["x"] * 2352), "invalid_tensor", ("texts",)),
    "out of range": (wrong_tensor(data=(ROWS * 255).ravel().tolist()), "invalid_tensor", ("row 0", "255")),
    "no rows": (wrong_tensor(shape=[0, 28, 28], data=[]), "bad_request", ("no row",)),
    "nothing of too much": (wrong_tensor(shape=[2**62, 0], data=[]), "bad_request", ("no row",)),
    "no bytes of too much": (
        wrong_tensor(shape=[2**62, 0, 28], data=None, parameters={"binary_data_size": 0}), "bad_request", ("no row",),
    ),
    "NaN in bytes": (binary(np.full((1, 28, 28), np.nan)), "invalid_tensor", ("nan", "finite")),
    "big-endian": (binary(dtype=">f4"), "invalid_tensor", ("row",)),
    "too few bytes": (cut(binary(), -4), "invalid_tensor", ("9408", "9404")),
    "too many bytes": ((binary()[0] + b"0000", binary()[1]), "invalid_tensor", ("9408", "9412")),
    "no length of the JSON": (binary()[0], "bad_request", ("JSON Parse error",)),
    "length no number": ((binary()[0], "x"), "bad_request", (LENGTH, "'x'")),
    "length negative": ((binary()[0], "-1"), "bad_request", (LENGTH,)),
    "length of more": ((binary()[0], "99999"), "bad_request", ("99999", "length of its JSON")),
    "length of part": ((binary()[0], "9"), "bad_request", ("JSON Parse error",)),
    "bytes that are not announced": (
        (json.dumps(request()).encode() + b"0000", str(len(json.dumps(request())))), "bad_request", ("4 bytes",),
    ),
    "announced bytes that are not there": (
        wrong_tensor(data=None, parameters={"binary_data_size": 9408}), "invalid_tensor", ("9408", "0 bytes", LENGTH),
    ),
    "both": (wrong_tensor(parameters={"binary_data_size": 9408}), "bad_request", ("both",)),
    "size no number": (wrong_tensor(data=None, parameters={"binary_data_size": "x"}), "invalid_tensor", ("'x'",)),
    "unknown output": (request(outputs=[{"name": "x"}]), "unknown_signature", ("'x'", "logits, probabilities")),
    "output no object": (request(outputs=["logits"]), "bad_request", ("outputs", "objects")),
    "outputs no list": (request(outputs={"name": "logits"}), "bad_request", ("outputs",)),
    "output without a name": (request(outputs=[{}]), "bad_request", ("name", "None")),
    "classification": (
        request(outputs=[{"name": "logits", "parameters": {"classification": 3}}]), "bad_request", ("probabilities",),
    ),
    "id no text": (request(id=7), "bad_request", ("id is 7",)),
    "parameters no object": (request(parameters=[1]), "bad_request", ("parameters", "list")),
    "parameter an object": (request(parameters={"x": {}}), "bad_request", ("'x'", "text")),
    "timeout a text": (request(parameters={"timeout": "1"}), "bad_request", ("timeout is '1'", "microseconds")),
    "timeout negative": (request(parameters={"timeout": -1}), "bad_request", ("timeout is -1",)),
    "timeout a boolean": (request(parameters={"timeout": True}), "bad_request", ("timeout is True",)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("path", [INFER, EXPLAIN])
def test_a_callers_mistake(client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str, name: str) -> None:
    body, code, words = CASES[name]
    if name == "unknown output":
        words = words[:1]
    check_error(post(client, body, path), 400, code, words)
    assert not errors_in(caplog)


@pytest.mark.parametrize("path", [
    "/v2/models/nope", "/v2/models/nope/config", "/v2/models/fake/versions/99/config", "/v2/models/nope/ready",
    "/v2/models/fake/versions/99", "/v2/models/fake/versions/99/ready", "/v2/models/nope/versions/1",
    "POST /v2/models/nope/infer", "POST /v2/models/fake/versions/99/infer", "POST /v2/models/nope/explain",
    "POST /v2/repository/models/nope/load", "POST /v2/repository/models/nope/unload",
])  # fmt: skip
def test_unknown_names_are_404(make_app: MakeApp, path: str) -> None:
    client = make_app(repository="open").test_client()
    method, _, address = path.rpartition(" ")
    response = client.open(address, method=method or "GET", data=json.dumps(request()))
    check_error(response, 404, "unknown_model", ("nope" if "nope" in path else "99",))


def test_more_rows_than_are_answered(make_app: MakeApp) -> None:
    client = make_app(max_rows=2, max_images=1).test_client()
    for body in (request(), binary()):
        check_error(post(client, body), 400, "bad_request", ("3 rows", "at most 2"))
        check_error(post(client, body, EXPLAIN), 400, "bad_request", ("3 rows", "at most 1"))
    check_outputs(post(client, binary(ROWS[:2])), rows=2)


def until(seconds: float) -> RequestContext:
    """A request that waits until then, by such a clock."""
    return RequestContext(seconds, seconds, Clock(0.0, step=1.0))


class One:
    """A version that is one model."""

    card, verbs = MODEL.card, MODEL.verbs

    def for_predict(self, context: RequestContext) -> Model:
        return MODEL

    for_explain = for_predict


def test_a_deadline_ends_a_prediction_between_rows() -> None:
    many = np.zeros((tensors.STEP * 4, 28, 28), np.float32)
    assert len(tensors.predict_rows(One(), many, until(4.5))["logits"]) == len(many)
    with pytest.raises(OutOfTime, match=f"{tensors.STEP * 2} of {tensors.STEP * 4} rows"):
        tensors.predict_rows(One(), many, until(2.5))
    assert len(tensors.predict_rows(One(), many)["logits"]) == len(many)


def test_a_timeout_is_in_microseconds(client: FlaskClient) -> None:
    check_error(post(client, request(parameters={"timeout": 1})), 504, "out_of_time", ("0 of 3 rows", "timeout"))
    check_error(post(client, request(parameters={"timeout": 1}), EXPLAIN), 504, "out_of_time", ())
    for enough in (0, 30_000_000):
        check_outputs(post(client, request(parameters={"timeout": enough, "priority": 1})))


def test_explain_answers_typed_tensors(client: FlaskClient) -> None:
    parameters = {"method": "gradient_x_input", "target": 7, "priority": 1}
    for body in (request(parameters=parameters), binary(parameters={**parameters, "binary_data_output": True})):
        found = outputs(post(client, body, "/v2/models/fake/versions/1/explain"))
        assert list(found) == ["attributions", "predictions", "probabilities", "target", "certificates"]
        assert found["attributions"] == pytest.approx(ROWS * MODEL.directions()[7], rel=1e-5, abs=1e-6)
        assert found["predictions"].tolist() == LOGITS.argmax(axis=1).tolist()
        assert found["probabilities"] == pytest.approx(PROBABILITIES, rel=1e-6)
        assert found["target"].tolist() == [7, 7, 7]
        for text in found["certificates"]:
            reported = json.loads(text)
            assert reported["model"]["version"] == "1"
            assert reported["explanation"]["certificate"]["state"] == "exact"
            assert reported["explanation"]["method"] == "gradient_x_input"
            assert "values" not in reported["explanation"]


def test_the_predicted_class_is_explained_and_outputs_can_be_chosen(client: FlaskClient) -> None:
    sent = request(parameters={"method": "saliency"}, outputs=[{"name": "target"}, {"name": "attributions"}])
    found = outputs(post(client, sent, EXPLAIN))
    assert list(found) == ["target", "attributions"]
    assert found["target"].tolist() == LOGITS.argmax(axis=1).tolist()


def test_a_misspelt_option_is_not_ignored(client: FlaskClient) -> None:
    check_error(
        post(client, request(parameters={"metod": "lime"}), EXPLAIN), 400, "unknown_option", ("'metod'", "'method'")
    )


class Ticking(type(MODEL)):  # type: ignore[misc]
    """A second passes with every question."""

    seconds = 0.0

    def forward(self, images: Array) -> Array:
        self.seconds += 1
        return super().forward(images)


def test_rows_share_the_time_that_is_left() -> None:
    slow = Ticking(MODEL.card)

    class Slow(One):
        runtime = "litert"

        def for_explain(self, context: RequestContext) -> Model:
            return slow

    request = ExplainRequest("rise", {"n_samples": 8000})
    session = ImmediateSession(RequestContext.within(30, lambda: slow.seconds))
    found = tensors.explain_rows(Slow(), ROWS, request, session, ExitStack(), Stages())
    assert [one.attribution.state for one in found] == ["partial"] * 3
    assert 30 <= slow.seconds <= 33
    rows = [one.attribution.rows for one in found]
    assert max(rows) <= 1.3 * min(rows)


def test_server_and_model_metadata(client: FlaskClient) -> None:
    for path in ("/v2", "/v2/"):
        reported = client.get(path).get_json()
        assert reported["name"] == "inkling"
        assert {"binary_tensor_data", "model_repository", "explain"} <= set(reported["extensions"])
    assert client.get("/v2/models").get_json() == {"models": ["fake", "plain"]}
    for path in ("/v2/models/fake", "/v2/models/fake/versions/1"):
        assert client.get(path).get_json() == {
            "name": "fake",
            "versions": ["1", "2", "10"],
            "platform": "tensorflow_savedmodel",
            "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 28, 28]}],
            "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [-1, 10]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            ],
        }


def test_a_model_that_is_unloaded_meanwhile_is_unknown(make_app: MakeApp) -> None:
    app = make_app()
    service = app.extensions[EXTENSION]

    class Leaving:
        """Everything is unloaded as soon as a request holds it."""

        served_models: Mapping[str, Any] = {}

        def handle(self, name: str, version: str | None) -> Any:
            return service.store.handle(name, version)

        def served_model(self, name: str) -> Any:
            raise UnknownModel(f"{name} is unloaded")

    app.extensions[EXTENSION] = replace(service, store=Leaving())
    check_error(app.test_client().get("/v2/models/fake"), 404, "unknown_model", ("unloaded",))


def test_the_version_is_that_of_the_project(client: FlaskClient) -> None:
    project = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert f'version = "{client.get("/v2").get_json()["version"]}"' in project.split("\n")


def test_health(client: FlaskClient) -> None:
    assert client.get("/v2/health/live").get_json() == {"live": True}
    assert client.get("/v2/health/ready").get_json() == {"live": True, "ready": True}
    assert client.get("/v2/models/fake/ready").get_json() == {"name": "fake", "ready": True}
    assert client.get("/v2/models/fake/versions/1/ready").get_json() == {"name": "fake", "ready": True}


def test_a_version_that_cannot_predict_is_not_ready(make_app: MakeApp, tmp_path: Path) -> None:
    def broken(folder: Path, card: ModelCard) -> Model:
        if card.version == "1":
            raise RuntimeError("no such operation")
        return linear(folder, card)

    write_version(tmp_path, version="1", twin=False)
    client = make_app(broken, model_store=tmp_path).test_client()
    ready = client.get("/v2/health/ready")
    assert (ready.status_code, ready.get_json()) == (503, {"live": True, "ready": False})
    assert client.get("/v2/health/live").status_code == 200
    for path in ("/v2/models/fake/ready", "/v2/models/fake/versions/1/ready"):
        check_error(client.get(path), 503, "not_ready", ("fake", "not ready"))
    check_error(post(client, request()), 503, "not_ready", ("could not be loaded",))
    reported = client.get("/v1/models/fake")
    assert (reported.status_code, reported.get_json()["ready"]) == (200, False)
    (state,) = reported.get_json()["model_version_status"]
    assert (state["state"], state["status"]["error_code"]) == ("END", "UNKNOWN")
    assert "could not be loaded" in state["status"]["error_message"]
    (entry,) = client.post("/v2/repository/index").get_json()
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", state["status"]["error_message"])


def test_the_repository_is_listed(client: FlaskClient) -> None:
    for body in (b"", b"{}", b'{"ready": true}'):
        listed = client.post("/v2/repository/index", data=body).get_json()
        assert {(one["name"], one["version"]) for one in listed} == {
            ("fake", "1"), ("fake", "2"), ("fake", "10"), ("plain", "1"),
        }  # fmt: skip
        assert {(one["state"], one["reason"]) for one in listed} == {("READY", "")}
    check_error(client.post("/v2/repository/index", data=b"["), 400, "bad_request", ("JSON",))


def test_unload_and_load(make_app: MakeApp) -> None:
    client = make_app(repository="open").test_client()
    assert client.post("/v2/repository/models/plain/unload").status_code == 200
    check_error(client.get("/v2/models/plain"), 404, "unknown_model", ("plain",))
    states = {one["name"]: one["state"] for one in client.post("/v2/repository/index").get_json()}
    assert states == {"fake": "READY", "plain": "UNAVAILABLE"}
    assert {one["name"] for one in client.post("/v2/repository/index", json={"ready": True}).get_json()} == {"fake"}
    assert client.post("/v2/repository/models/plain/load", json={"parameters": {}}).status_code == 200
    assert client.get("/v2/models/plain/ready").status_code == 200
