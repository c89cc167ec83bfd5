"""TensorFlow Serving's REST API and KServe V1 on fake versions: what is answered, and every documented mistake."""

import gzip
import json
import tracemalloc
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from server.images import plain_pixels
from server.models.wrappers import probabilities_of
from server.render import json_text
from server.routes.tensorflow_serving import messages
from server.types import Array
from tests.conftest import MakeApp
from tests.support.answers import MODEL, check_error, errors_in
from tests.support.models.stores import SEVEN, draw_seven, encoded

PREDICT = "/v1/models/fake:predict"
ROWS: Array = np.random.default_rng(0).random((3, 28, 28), np.float32)
INSTANCES = ROWS.tolist()
B64 = {"b64": b64encode(SEVEN).decode()}


def post(client: FlaskClient, body: Any, path: str = PREDICT, **options: Any) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, data=data, **options)


def answered(client: FlaskClient, body: Any, path: str = PREDICT, **options: Any) -> Any:
    response = post(client, body, path, **options)
    assert response.status_code == 200, response.data
    assert response.headers["Content-Type"] == "application/json"
    return response.get_json()


def expected(images: Array = ROWS) -> tuple[Array, Array]:
    logits = MODEL.forward(images)
    return logits, probabilities_of(logits, MODEL.card.temperature)


def check_rows(predictions: list[Any], images: Array = ROWS) -> None:
    logits, probabilities = expected(images)
    assert [list(row) for row in predictions] == [["logits", "probabilities"]] * len(images)
    assert np.array([row["logits"] for row in predictions]) == pytest.approx(logits, rel=1e-6)
    assert np.array([row["probabilities"] for row in predictions]) == pytest.approx(probabilities, rel=1e-6)


@pytest.mark.parametrize("shape", [(-1, 28, 28), (-1, 28, 28, 1), (-1, 784)], ids=str)
@pytest.mark.parametrize("named", [False, True], ids=["bare", "named"])
def test_predict_by_rows(client: FlaskClient, shape: tuple[int, ...], named: bool) -> None:
    rows = ROWS.reshape(shape).tolist()
    answer = answered(client, {"instances": [{"images": row} for row in rows] if named else rows})
    assert list(answer) == ["predictions"]
    check_rows(answer["predictions"])


@pytest.mark.parametrize("inputs", [INSTANCES, {"images": INSTANCES, "other": 1}], ids=["bare", "named"])
def test_predict_by_columns_ignores_inputs_that_there_are_not(client: FlaskClient, inputs: Any) -> None:
    outputs = answered(client, {"inputs": inputs, "signature_name": "serving_default", "unknown": 1})["outputs"]
    logits, probabilities = expected()
    assert np.array(outputs["logits"]) == pytest.approx(logits, rel=1e-6)
    assert np.array(outputs["probabilities"]) == pytest.approx(probabilities, rel=1e-6)


@pytest.mark.parametrize("address", ["fake", "fake/versions/1", "fake/versions/010", "fake/labels/canary"])
@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_every_address_and_content_type(client: FlaskClient, address: str, content_type: str | None) -> None:
    answer = answered(client, {"instances": INSTANCES}, f"/v1/models/{address}:predict", content_type=content_type)
    check_rows(answer["predictions"])


def test_whole_numbers_and_the_ends_of_the_range(client: FlaskClient) -> None:
    images = np.zeros((2, 28, 28), np.float32)
    images[1] = 1
    check_rows(answered(client, {"instances": images.astype(int).tolist()})["predictions"], images)


def test_the_number_of_a_version_chooses_it(make_app: MakeApp) -> None:
    class Half(type(MODEL)):  # type: ignore[misc]
        def forward(self, images: Array) -> Array:
            return super().forward(images) * int(self.card.version)

    client = make_app(load_twin=lambda path, card: Half(card)).test_client()
    logits = expected()[0]
    for address, factor in (("", 2), ("/versions/1", 1), ("/labels/stable", 2), ("/labels/canary", 10)):
        found = answered(client, {"instances": INSTANCES}, f"/v1/models/fake{address}:predict")["predictions"]
        assert np.array([row["logits"] for row in found]) == pytest.approx(logits * factor, rel=1e-6)


def test_a_single_output_is_bare() -> None:
    logits = {"logits": np.array([[1.5, -2.0]], np.float32)}
    assert json_text(messages.by_row(logits)) == json_text(messages.by_output(logits)) == b"[[1.5,-2.0]]"
    two = logits | {"probabilities": np.array([[0.0, 1.0]], np.float32)}
    assert json_text(messages.by_row(two)) == b'[{"logits":[1.5,-2.0],"probabilities":[0.0,1.0]}]'
    assert json_text(messages.by_output(two)) == b'{"logits":[[1.5,-2.0]],"probabilities":[[0.0,1.0]]}'


@pytest.mark.parametrize(("encoding", "squeezed"), [
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", lambda body: zlib.compress(body)[2:-4]),
    ("identity", bytes),
], ids=["gzip", "deflate", "deflate, bare", "identity"])  # fmt: skip
def test_compressed_bodies(client: FlaskClient, encoding: str, squeezed: Any) -> None:
    body = squeezed(json.dumps({"instances": INSTANCES}).encode())
    check_rows(answered(client, body, headers={"Content-Encoding": encoding})["predictions"])


def test_the_limit_holds_after_inflation(make_app: MakeApp) -> None:
    client = make_app(max_body_bytes=20_000).test_client()
    small, large = (json.dumps({"instances": [[0] * 784], "pad": "x" * pad}).encode() for pad in (0, 20_000))
    for encoding, squeeze in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        headers = {"Content-Encoding": encoding}
        assert len(squeeze(large)) < 1000
        answered(client, squeeze(small), headers=headers)
        check_error(post(client, squeeze(large), headers=headers), 413, "body_too_large", ("20000", "inflates"))
    check_error(post(client, large), 413, "body_too_large", ("20000",))


def test_a_bomb_is_not_inflated(make_app: MakeApp) -> None:
    client = make_app(max_body_bytes=100_000).test_client()
    bomb = gzip.compress(bytes(32 << 20))
    tracemalloc.start()
    try:
        check_error(post(client, bomb, headers={"Content-Encoding": "gzip"}), 413, "body_too_large", ("inflates",))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@dataclass(frozen=True)
class Case:
    """What is sent and what it must be answered with."""

    body: Any
    status: int
    code: str
    words: tuple[str, ...]
    path: str = PREDICT
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


def wrong(body: Any, *words: str, code: str = "bad_request", **changes: Any) -> Case:
    return Case(body, 400, code, words, **changes)


def pixel(value: Any, row: int = 1) -> Any:
    """Three rows with one unusual pixel."""
    rows = [list(map(list, image)) for image in INSTANCES]
    rows[row][2][3] = value
    return {"instances": rows}


def missing(address: str, words: str, method: str = "POST", body: Any = None) -> Case:
    return Case(body or {"instances": INSTANCES}, 404, "unknown_model", (words,), f"/v1/models/{address}", method)


def unlabelled(address: str, method: str = "POST") -> Case:
    words = ("Unrecognized servable version label: nope", "canary, stable")
    return wrong({"instances": INSTANCES}, *words, code="unknown_label", path=f"/v1/models/{address}", method=method)


MALFORMED = "Malformed request: "
CASES = {
    "no JSON": wrong(b"", "JSON Parse error"),
    "JSON that breaks off": wrong(b'{"instances": [[1', "JSON Parse error"),
    "JSON that is not text": wrong(b"\xff\xfe\x00", "JSON Parse error"),
    "JSON too deep": wrong(b'{"instances": ' + b"[" * 100_000, "JSON Parse error"),
    "JSON that is no object": wrong([1], "list", "object"),
    "JSON is parsed before the model is looked up": wrong(b"{", "JSON Parse error", path="/v1/models/nope:predict"),
    "the same of classify": wrong(b"{", "JSON Parse error", path="/v1/models/nope:classify"),
    "neither key": wrong({}, "Missing 'inputs' or 'instances' key"),
    "both keys": wrong({"instances": INSTANCES, "inputs": INSTANCES}, "only one"),
    "instances no list": wrong({"instances": {"images": INSTANCES}}, "instances", "non-empty list"),
    "instances empty": wrong({"instances": []}, "non-empty list"),
    "instances null": wrong({"instances": None}, "non-empty list"),
    "another input": wrong({"instances": [{"pixels": INSTANCES[0]}]}, "instance 0", "pixels", "exactly", "images"),
    "an extra input": wrong({"instances": [{"images": INSTANCES[0], "x": 1}]}, "images, x", "exactly"),
    "one without a name": wrong({"instances": [{"images": INSTANCES[0]}, INSTANCES[0]]}, "instance 1", "a list"),
    "a missing input": wrong({"inputs": {"x": INSTANCES}}, "Missing named input: images in 'inputs' object."),
    "inputs null": wrong({"inputs": None}, "images is None", "list", code="invalid_tensor"),
    "ragged rows": wrong({"instances": [INSTANCES[0], INSTANCES[0][:27]]}, "same shape", code="invalid_tensor"),
    "ragged depths": wrong({"instances": [INSTANCES[0], 1]}, "same shape", code="invalid_tensor"),
    "base64 where numbers are due": wrong({"instances": [B64]}, "objects", "numbers", code="invalid_tensor"),
    "base64 in columns": wrong({"inputs": B64}, "list", code="invalid_tensor"),
    "texts": wrong(pixel("0.5"), "texts", "numbers", code="invalid_tensor"),
    "booleans": wrong(pixel(True), "booleans", "numbers", code="invalid_tensor"),
    "null": wrong(pixel(None), "null", "numbers", code="invalid_tensor"),
    "another shape": wrong({"instances": [[0.0] * 783]}, "[1, 783]", "[n, 28, 28]", "[n, 784]", code="invalid_tensor"),
    "no batch": wrong({"inputs": INSTANCES[0][0]}, "[28]", "[n, 28, 28]", code="invalid_tensor"),
    "the wrong side": wrong({"inputs": ROWS.reshape(3, 1, 28, 28).tolist()}, "[3, 1, 28, 28]", code="invalid_tensor"),
    "deeper than an array": wrong({"inputs": json.loads("[" * 70 + "0.5" + "]" * 70)}, "deep", code="invalid_tensor"),
    "a number": wrong({"inputs": 1}, "list", code="invalid_tensor"),
    "above 1": wrong(pixel(1.001), "row 1", "1.001", "[2, 3]", "255", code="invalid_tensor"),
    "below 0": wrong(pixel(-0.001, 2), "row 2", "-0.001", code="invalid_tensor"),
    "NaN": wrong(pixel(float("nan")), "nan", "finite", code="invalid_tensor"),
    "infinity": wrong(pixel(float("inf")), "inf", "finite", code="invalid_tensor"),
    "beyond float32": wrong(pixel(1e300), "finite", code="invalid_tensor"),
    "beyond float64": wrong(pixel(10**400), "too large", code="invalid_tensor"),
    "bytes of a picture": wrong(pixel(255), "255", code="invalid_tensor"),
    "unknown signature": wrong(
        {"signature_name": "x", "instances": INSTANCES}, 'Serving signature name: "x" not found in signature def',
        code="unknown_signature",
    ),
    "long signature": wrong({"signature_name": "x" * 9999}, f'"{"x" * 256}" not', code="unknown_signature"),
    "signature no text": wrong({"signature_name": 1}, "signature_name is 1"),
    "unknown encoding": wrong({}, "Content-Encoding 'br'", "gzip", headers={"Content-Encoding": "br"}),
    "not gzip": wrong({}, "not gzip", "Content-Encoding", headers={"Content-Encoding": "gzip"}),
    "not deflate": wrong({}, "not deflate", headers={"Content-Encoding": "deflate"}),
    "gzip cut short": wrong(gzip.compress(b"{}")[:-9], "breaks off", headers={"Content-Encoding": "gzip"}),
    "gzip of two texts": wrong(gzip.compress(b"{}") * 2, "Extra data", headers={"Content-Encoding": "gzip"}),
    "unknown model": missing("nope:predict", "Servable not found for request: Latest(nope)"),
    "unknown version": missing("fake/versions/99:predict", "Servable not found for request: Specific(fake, 99)"),
    "unknown model, version": missing("nope/versions/1:predict", "Specific(nope, 1)"),
    "unknown model, label": missing("nope/labels/x:predict", "Servable not found"),
    "unknown model to classify": missing("nope:classify", "Latest(nope)"),
    "unknown model's metadata": missing("nope/metadata", "Latest(nope)", "GET"),
    "unknown version's metadata": missing("fake/versions/99/metadata", "Specific(fake, 99)", "GET"),
    "unknown version's status": missing("fake/versions/99", "Could not find version 99 of model fake", "GET"),
    "unknown model's version": missing("nope/versions/1", "Could not find version 1 of model nope", "GET"),
    "unknown label": unlabelled("fake/labels/nope:predict"),
    "unknown label's metadata": unlabelled("fake/labels/nope/metadata", "GET"),
    "unknown label's status": unlabelled("fake/labels/nope", "GET"),
    "a number is no label": wrong(
        {"instances": INSTANCES}, "Unrecognized", code="unknown_label", path="/v1/models/fake/labels/1:predict",
    ),
    "classify": wrong(
        {"examples": [{}]}, "classification", "tensorflow/serving/classify. Was: tensorflow/serving/predict",
        path="/v1/models/fake:classify",
    ),
    "regress": wrong({"examples": [{}]}, "regression", path="/v1/models/fake/versions/1:regress"),
    "unknown verb": wrong({}, f"{MALFORMED}POST /v1/models/fake:frobnicate", path="/v1/models/fake:frobnicate"),
    "no verb": wrong({}, MALFORMED, path="/v1/models/fake/versions/1"),
    "verb asked for": wrong({}, f"{MALFORMED}GET {PREDICT}", method="GET"),
    "metadata posted": wrong({}, MALFORMED, path="/v1/models/fake/metadata"),
    "version and label": wrong({}, MALFORMED, path="/v1/models/fake/versions/1/labels/stable:predict"),
    "version no number": wrong({}, MALFORMED, path="/v1/models/fake/versions/one:predict"),
    "negative version": wrong({}, MALFORMED, path="/v1/models/fake/versions/-1", method="GET"),
    "no name": wrong({}, MALFORMED, path="/v1/models/", method="GET"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_callers_mistake(client: FlaskClient, caplog: pytest.LogCaptureFixture, name: str) -> None:
    case = CASES[name]
    data = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    response = client.open(case.path, method=case.method, data=data, headers=case.headers)
    check_error(response, case.status, case.code, case.words)
    assert not errors_in(caplog)


def test_more_rows_than_are_answered(make_app: MakeApp) -> None:
    client = make_app(max_rows=2, max_images=1).test_client()
    assert len(answered(client, {"instances": INSTANCES[:2]})["predictions"]) == 2
    check_error(post(client, {"instances": INSTANCES}), 400, "bad_request", ("3 rows", "at most 2"))
    explain = "/v1/models/fake:explain"
    assert len(answered(client, {"instances": INSTANCES[:1]}, explain)["explanations"]) == 1
    check_error(post(client, {"instances": INSTANCES[:2]}, explain), 400, "bad_request", ("2 rows", "at most 1"))


@pytest.mark.parametrize("explain", ["on", "off"])
@pytest.mark.parametrize("by", ["instances", "inputs", "rows with names", "columns with names"])
def test_bytes_are_pictures(make_app: MakeApp, by: str, explain: str) -> None:
    client = make_app(explain=explain).test_client()
    bodies = [SEVEN, encoded(draw_seven(99), "JPEG"), encoded(draw_seven(20), "BMP")]
    values = [{"b64": b64encode(body).decode()} for body in bodies]
    sent: dict[str, Any] = {
        "instances": {"instances": values},
        "inputs": {"inputs": values},
        "rows with names": {"instances": [{"image_bytes": one} for one in values]},
        "columns with names": {"inputs": {"image_bytes": values}},
    }[by]
    answer = answered(client, {"signature_name": "serving_bytes", **sent})
    if "outputs" in answer:
        columns = answer["outputs"].items()
        answer = {"predictions": [{name: column[row] for name, column in columns} for row in range(len(bodies))]}
    check_rows(answer["predictions"], np.stack([plain_pixels(body, MODEL.card.image) for body in bodies]))


BYTES = {"signature_name": "serving_bytes"}


@pytest.mark.parametrize(("sent", "code", "words"), [
    ({"instances": [{"b64": "!"}]}, "invalid_tensor", ("base64",)),
    ({"instances": [[1, 2]]}, "invalid_tensor", ("list of values", "b64")),
    ({"instances": [1]}, "invalid_tensor", ("holds 1", "b64")),
    ({"instances": [{"b64": "aa", "x": 1}]}, "bad_request", ("b64, x", "image_bytes")),
    ({"instances": [B64, {"b64": 1}]}, "invalid_tensor", ("b64",)),
    ({"inputs": B64}, "invalid_tensor", ("list of values",)),
    ({"inputs": []}, "bad_request", ("no row",)),
    ({"instances": [{"b64": ""}]}, "empty_body", ("empty",)),
    ({"instances": [{"b64": b64encode(b"text").decode()}]}, "unsupported_image", ("PNG",)),
    ({"instances": ["text"]}, "unsupported_image", ("PNG",)),
    ({"instances": [{"b64": b64encode(SEVEN[:20]).decode()}]}, "damaged_image", ("PNG",)),
    ({"instances": [B64] * 1000}, "bad_request", ("pixels", "16000000")),
    ({"instances": [B64] * 1025}, "bad_request", ("1025 rows", "at most 1024")),
    ({"instances": [B64, {"b64": b64encode(SEVEN[:200]).decode()}]}, "damaged_image", ("PNG",)),
], ids=str)  # fmt: skip
def test_invalid_bytes_are_refused(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, sent: Any, code: str, words: tuple[str, ...]
) -> None:
    check_error(post(client, BYTES | sent), 400, code, words)
    assert not errors_in(caplog)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_several_frames_are_refused_before_they_are_unpacked(client: FlaskClient, kind: str) -> None:
    first, *more = [Image.new("L", (2000, 2000), level) for level in (0, 60, 120, 180, 240)]
    body = encoded(first, kind, save_all=True, append_images=more)
    sent = BYTES | {"instances": [{"b64": b64encode(body).decode()}]}
    check_error(post(client, sent), 400, "unsupported_image", (kind, "several frames", "/v1/predict"))


def test_explain_answers_predictions_and_explanations(client: FlaskClient) -> None:
    options = {"method": "gradient_x_input", "target": 7, "versus": "3"}
    path = "/v1/models/fake/versions/1:explain"
    for sent in ({"instances": INSTANCES}, {"inputs": {"images": INSTANCES}}):
        answer = answered(client, {**sent, "parameters": options}, path)
        assert list(answer) == ["predictions", "explanations"]
        check_rows(answer["predictions"])
        directions = MODEL.directions()
        for image, reported in zip(ROWS, answer["explanations"], strict=True):
            assert reported["model"]["version"] == "1"
            assert reported["target"] == {"class": 7, "versus": 3, "label": "7, not 3"}
            values = np.array(reported["explanation"]["values"])
            assert values == pytest.approx(image * (directions[7] - directions[3]), rel=1e-5, abs=1e-6)
            assert reported["explanation"]["certificate"]["state"] == "exact"


def test_an_explanation_of_a_row_is_that_of_the_same_pixels(client: FlaskClient) -> None:
    levels = np.rint(ROWS[:1] * 255).astype(int)
    theirs = client.post("/v1/explain?method=saliency&seed=3", json={"pixels": levels[0].tolist()}).get_json()
    sent = {"instances": (levels / np.float32(255)).tolist(), "parameters": {"method": "saliency", "seed": 3}}
    (ours,) = answered(client, sent, "/v1/models/fake:explain")["explanations"]
    assert theirs["preprocessing"].pop("steps") == ["numbers read as 0 to 255"]
    assert ours["preprocessing"].pop("steps") == []
    assert ours == {name: value for name, value in theirs.items() if name in ours}
    assert ours["id"] == theirs["id"]


@pytest.mark.parametrize(("parameters", "code", "words"), [
    ({"methd": "lime"}, "unknown_option", ("'methd'", "'method'")),
    ({"method": "lime", "n_sample": 1}, "unknown_option", ("'n_samples'",)),
    ({"method": "nope"}, "unknown_method", ("nope", "shapley")),
    ({"method": 5}, "unknown_method", ("5",)),
    ({"method": "lime", "n_samples": 1.5}, "invalid_option", ("whole",)),
    ({"method": "lime", "n_samples": True}, "invalid_option", ("whole",)),
    ({"target": 10}, "invalid_option", ("target", "10")),
    ({"target": True}, "invalid_option", ("target",)),
    ({"frame": "model"}, "unknown_option", ("'frame'",)),
    ({"version": "1"}, "unknown_option", ("'version'",)),
    ({"method": ["lime"]}, "bad_request", ("method", "text")),
    ([1], "bad_request", ("parameters", "list")),
    ({"budget_ms": 0}, "invalid_option", ("budget_ms",)),
], ids=str)  # fmt: skip
def test_invalid_options_are_refused(client: FlaskClient, parameters: Any, code: str, words: tuple[str, ...]) -> None:
    response = post(client, {"instances": INSTANCES, "parameters": parameters}, "/v1/models/fake:explain")
    check_error(response, 400, code, words)


def test_an_impossible_method_is_a_400_here(client: FlaskClient) -> None:
    sent = {"instances": INSTANCES, "parameters": {"method": "grad_cam"}}
    check_error(post(client, sent, "/v1/models/plain:explain"), 400, "method_not_possible", ("plain", "lime"))


def test_bytes_are_not_explained(client: FlaskClient) -> None:
    sent = BYTES | {"instances": [B64]}
    check_error(post(client, sent, "/v1/models/fake:explain"), 400, "bad_request", ("/v1/explain",))


AVAILABLE = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


def test_status(client: FlaskClient) -> None:
    reported = client.get("/v1/models/fake").get_json()
    assert (reported["name"], reported["ready"], reported["default"]) == ("fake", True, "2")
    assert reported["model_version_status"] == [{"version": version, **AVAILABLE} for version in ("10", "2", "1")]
    for address, version in (("versions/1", "1"), ("labels/canary", "10")):
        pure = client.get(f"/v1/models/fake/{address}").get_json()
        assert pure == {"model_version_status": [{"version": version, **AVAILABLE}]}


def test_metadata(client: FlaskClient) -> None:
    for address, version in (("", "2"), ("/versions/1", "1"), ("/labels/canary", "10")):
        reported = client.get(f"/v1/models/fake{address}/metadata").get_json()
        assert reported["model_spec"] == {"name": "fake", "signature_name": "", "version": version}
        signature = reported["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["images"]["dtype"] == "DT_FLOAT"
        assert [one["size"] for one in signature["inputs"]["images"]["tensor_shape"]["dim"]] == ["-1", "28", "28"]
        assert [one["size"] for one in signature["outputs"]["logits"]["tensor_shape"]["dim"]] == ["-1", "10"]
