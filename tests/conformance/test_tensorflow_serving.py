"""TensorFlow Serving: its own protobufs read what is answered, and `serving_bytes` answers as the SavedModel does."""

import json
from base64 import b64encode
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from server.images import decode
from tests.support.models.nets import card, digits, net, numbers_of, twin
from tests.support.models.stores import encoded
from tests.support.processes.servers import ROOT, Running, ask

VERSION = card("cnn").version

ROWS = digits()[:3]
FILES = [(ROOT / "examples" / name).read_bytes() for name in ("7.png", "photo.jpg")]


def get(explaining: Running, path: str) -> bytes:
    with urlopen(f"{explaining.url}/v1/models/{path}", timeout=30) as response:
        body: bytes = response.read()
    return body


def post_predict(explaining: Running, body: Any, address: str = "cnn") -> Any:
    status, _, answer = ask(f"{explaining.url}/v1/models/{address}:predict", json.dumps(body).encode())
    assert status == 200, answer
    return answer


@pytest.mark.parametrize(("path", "strict"), [(f"cnn/versions/{VERSION}", True), ("cnn", False)])
def test_status_is_the_protobuf(explaining: Running, path: str, strict: bool) -> None:
    """The plain address answers Inkling and KServe too, so that unknown fields are there to be ignored."""
    found = json_format.Parse(
        get(explaining, path), get_model_status_pb2.GetModelStatusResponse(), ignore_unknown_fields=not strict
    )
    told = {str(state.version): state for state in found.model_version_status}
    assert set(told) == ({VERSION} if strict else set(numbers_of("cnn")))
    for state in told.values():
        assert state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        assert (state.status.error_code, state.status.error_message) == (0, "")


def test_metadata_is_the_protobufs(explaining: Running) -> None:
    reported = json.loads(get(explaining, "cnn/metadata"))
    spec = json_format.ParseDict(reported["model_spec"], model_pb2.ModelSpec())
    assert (spec.name, spec.version.value) == ("cnn", int(VERSION))
    found = json_format.ParseDict(reported["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap())
    signatures = net("cnn").signatures
    for name, described in found.signature_def.items():
        (inputs,) = signatures[name].structured_input_signature[1].values()
        (ours,) = described.inputs.values()
        assert [one.size for one in ours.tensor_shape.dim] == [-1 if one is None else one for one in inputs.shape]
        assert ours.dtype == inputs.dtype.as_datatype_enum
        assert ours.name == signatures[name].inputs[0].name or ours.name.startswith(f"{name}_")
        assert set(described.outputs) == set(signatures[name].structured_outputs)


def test_predict_as_the_savedmodel(explaining: Running) -> None:
    rows = post_predict(explaining, {"instances": ROWS.tolist()})["predictions"]
    columns = post_predict(explaining, {"inputs": {"images": ROWS.tolist()}}, f"cnn/versions/{VERSION}")["outputs"]
    for found in ([row["logits"] for row in rows], columns["logits"]):
        assert np.array(found) == pytest.approx(twin("cnn").forward(ROWS), rel=1e-6)
        assert np.array(found) == pytest.approx(net("cnn").forward(ROWS), abs=1e-3)
    serve = net("cnn").signatures["serving_default"](images=ROWS)
    assert np.array(columns["probabilities"]) == pytest.approx(serve["probabilities"].numpy(), abs=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_bytes_as_the_savedmodel(explaining: Running, count: int) -> None:
    """The second is a JPEG."""
    sent = [{"b64": b64encode(one).decode()} for one in FILES[:count]]
    found = post_predict(explaining, {"signature_name": "serving_bytes", "instances": sent})["predictions"]
    serve = net("cnn").signatures["serving_bytes"](image_bytes=FILES[:count])
    for name in ("logits", "probabilities"):
        assert np.array([row[name] for row in found]) == pytest.approx(serve[name].numpy(), rel=1e-3, abs=1e-3)


def test_bytes_that_cannot_be_decoded(explaining: Running) -> None:
    broken = FILES[0][: len(FILES[0]) // 2]
    sent = [{"b64": b64encode(one).decode()} for one in (FILES[0], broken)]
    body = json.dumps({"signature_name": "serving_bytes", "instances": sent}).encode()
    status, kind, answer = ask(f"{explaining.url}/v1/models/cnn:predict", body)
    assert (status, kind, answer["code"]) == (400, "application/json", "damaged_image")


def test_a_small_grey_picture_is_the_same_by_bytes_and_by_numbers(explaining: Running) -> None:
    levels = np.rint(ROWS[0] * 255).astype(np.uint8)
    file = encoded(Image.fromarray(levels))
    sent = {"signature_name": "serving_bytes", "instances": [{"b64": b64encode(file).decode()}]}
    (by_bytes,) = post_predict(explaining, sent)["predictions"]
    (by_numbers,) = post_predict(explaining, {"instances": [(levels / np.float32(255)).tolist()]})["predictions"]
    assert by_bytes["logits"] == pytest.approx(by_numbers["logits"], abs=1e-3)
    assert decode(file, card("cnn").image, "none").pixels == pytest.approx(levels / 255)
