"""Triton's client, unmodified: the strictest of Open Inference V2, binary tensors above all."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from server.models.wrappers import probabilities_of
from server.types import Array
from tests.support.models.nets import NAMES, card, digits, net, numbers_of, twin
from tests.support.processes.servers import Running

VERSION = card("cnn").version

ROWS = digits()[:3]


@pytest.fixture
def client(explaining: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(explaining.url.removeprefix("http://")) as found:
        yield found


def tensor(rows: Array = ROWS, binary: bool = True) -> Any:
    made = triton.InferInput("images", list(rows.shape), "FP32")
    made.set_data_from_numpy(rows, binary_data=binary)
    return made


def check(result: Any, name: str = "cnn") -> None:
    logits = twin(name).forward(ROWS)
    assert result.as_numpy("logits") == pytest.approx(logits, rel=1e-6)
    expected = probabilities_of(logits, card(name).temperature)
    assert result.as_numpy("probabilities") == pytest.approx(expected, rel=1e-5)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cnn")
    assert client.is_model_ready("cnn", VERSION)
    assert not client.is_model_ready("nope")
    assert not client.is_model_ready("cnn", "99")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for version in ("", VERSION):
        reported = client.get_model_metadata("cnn", version)
        assert reported["versions"] == numbers_of("cnn")
        assert reported["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 28, 28]}]


def test_the_configuration(client: Any) -> None:
    """Triton's image_client.py cannot use it: it wants one output, and a channel beside height and width."""
    for version in ("", VERSION):
        assert client.get_model_config("cnn", version) == {
            "name": "cnn",
            "platform": "tensorflow_savedmodel",
            "backend": "tensorflow",
            "max_batch_size": 1024,
            "input": [{"name": "images", "data_type": "TYPE_FP32", "format": "FORMAT_NONE", "dims": [28, 28]}],
            "output": [
                {"name": "logits", "data_type": "TYPE_FP32", "dims": [10]},
                {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]},
            ],
        }
    reported = client.get_model_metadata("cnn")
    assert reported["inputs"][0]["shape"] == [-1, 28, 28]  # with the batch, which the configuration leaves out
    assert "model_configuration" in client.get_server_metadata()["extensions"]
    with pytest.raises(InferenceServerException, match="unknown model 'nope'"):
        client.get_model_config("nope")


@pytest.mark.parametrize("name", NAMES)
def test_every_net_predicts_as_its_twin(client: Any, name: str) -> None:
    check(client.infer(name, [tensor()]), name)


def test_a_prediction_is_that_of_the_savedmodel(client: Any) -> None:
    found = client.infer("cnn", [tensor()])
    serve = net("cnn").signatures["serving_default"](images=ROWS)
    for output in ("logits", "probabilities"):
        assert found.as_numpy(output) == pytest.approx(serve[output].numpy(), abs=1e-3)


@pytest.mark.parametrize("sent", [True, False], ids=["binary in", "JSON in"])
@pytest.mark.parametrize("answered", [True, False, None], ids=["binary out", "JSON out", "no outputs named"])
@pytest.mark.parametrize("squeezed", [None, "gzip", "deflate"])
def test_infer(client: Any, sent: bool, answered: bool | None, squeezed: str | None) -> None:
    outputs = None
    if answered is not None:
        outputs = [triton.InferRequestedOutput(name, binary_data=answered) for name in ("probabilities", "logits")]
    result = client.infer(
        "cnn", [tensor(binary=sent)], model_version=VERSION, outputs=outputs, request_id="7", priority=1,
        timeout=5_000_000, request_compression_algorithm=squeezed,
    )  # fmt: skip
    check(result)
    reported = result.get_response()
    assert (reported["model_name"], reported["model_version"], reported["id"]) == ("cnn", VERSION, "7")


def test_shapes_that_are_the_same_pixels(client: Any) -> None:
    for shape in ((3, 28, 28, 1), (3, 784)):
        check(client.infer("cnn", [tensor(ROWS.reshape(shape))]))


def test_errors_are_read(client: Any) -> None:
    for call, status, words in (
        (lambda: client.infer("nope", [tensor()]), "404", "unknown model 'nope'"),
        (lambda: client.infer("cnn", [tensor()], model_version="99"), "404", "'99'"),
        (lambda: client.infer("cnn", [tensor(ROWS + 2)]), "400", "row 0 of images"),
        (lambda: client.infer("cnn", [tensor()], outputs=[triton.InferRequestedOutput("x")]), "400", "output 'x'"),
        (lambda: client.infer("cnn", [tensor()], timeout=1), "504", "timeout"),
        (lambda: client.get_model_metadata("nope"), "404", "unknown model 'nope'"),
        (lambda: client.load_model("nope"), "404", "no model 'nope' to load"),
    ):
        with pytest.raises(InferenceServerException, match=words) as error:
            call()
        assert error.value.status() == status


def test_explanations_are_typed_tensors(explaining: Running, client: Any) -> None:
    """By the client's own codec: it has no call for this address."""
    body, size = client.generate_request_body([tensor()], parameters={"method": "saliency", "target": 3})
    response = client._post("v2/models/cnn/explain", body, {"Inference-Header-Content-Length": str(size)}, None)
    assert response.status_code == 200
    length = int(response.get("Inference-Header-Content-Length"))
    result = client.parse_response_body(response.read(), header_length=length)
    weights = np.zeros((len(ROWS), 10), np.float32)
    weights[:, 3] = 1
    slopes = np.abs(net("cnn").gradient(ROWS, weights))
    assert np.abs(result.as_numpy("attributions")) == pytest.approx(slopes, rel=1e-3, abs=1e-4)
    assert result.as_numpy("target").tolist() == [3, 3, 3]
    assert result.as_numpy("predictions").tolist() == twin("cnn").forward(ROWS).argmax(axis=1).tolist()
    reported = json.loads(result.as_numpy("certificates")[0])
    assert reported["explanation"]["certificate"]["state"] == "exact"


def test_the_repository(client: Any) -> None:
    listed = client.get_model_repository_index()
    assert {(one["name"], one["version"], one["state"]) for one in listed} == {
        (name, number, "READY") for name in NAMES for number in numbers_of(name)
    }
    client.unload_model("lstm")
    try:
        assert not client.is_model_ready("lstm")
        states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
        assert states["lstm"] != "READY"
        assert states["cnn"] == "READY"
    finally:
        client.load_model("lstm")
    assert client.is_model_ready("lstm")
    check(client.infer("lstm", [tensor()]), "lstm")
