"""The client that is generated from the protocol's own OpenAPI, unmodified."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from open_inference.openapi import client as generated
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors import BadRequestError, NotFoundError
from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput

from tests.support.models.nets import card, digits, numbers_of, twin
from tests.support.processes.servers import Running

VERSION = card("cnn").version

ROWS = digits()[:3]


@pytest.fixture
def client(explaining: Running) -> Iterator[Any]:
    with httpx.Client(timeout=60) as connection:
        yield generated.OpenInferenceClient(base_url=explaining.url, httpx_client=connection)


def request(**changes: Any) -> Any:
    flat = ROWS.ravel().tolist()
    return InferenceRequest(
        id="7", inputs=[RequestInput(name="images", shape=list(ROWS.shape), datatype="FP32", data=flat)], **changes
    )


def test_health(client: Any) -> None:
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("cnn")
    client.check_model_version_readiness("cnn", VERSION)
    with pytest.raises(NotFoundError):
        client.check_model_readiness("nope")
    with pytest.raises(NotFoundError):
        client.check_model_version_readiness("cnn", "99")


def test_metadata(client: Any) -> None:
    assert client.read_server_metadata().name == "inkling"
    for reported in (client.read_model_metadata("cnn"), client.read_model_version_metadata("cnn", VERSION)):
        assert (reported.name, reported.versions, reported.platform) == (
            "cnn",
            numbers_of("cnn"),
            "tensorflow_savedmodel",
        )
        assert [(one.name, one.datatype, one.shape) for one in reported.inputs] == [("images", "FP32", [-1, 28, 28])]
        assert {one.name for one in reported.outputs} == {"logits", "probabilities"}
    with pytest.raises(ApiError, match="nope"):
        client.read_model_metadata("nope")


def test_infer(client: Any) -> None:
    wanted = [RequestOutput(name="logits")]
    for answer in (
        client.model_infer("cnn", request=request(outputs=wanted)),
        client.model_version_infer("cnn", VERSION, request=request(outputs=wanted)),
    ):
        assert (answer.model_name, answer.model_version, answer.id) == ("cnn", VERSION, "7")
        (logits,) = answer.outputs
        assert (logits.name, logits.shape, logits.datatype) == ("logits", [3, 10], "FP32")
        found = np.array(logits.data.dict()["__root__"]).reshape(3, 10)
        assert found == pytest.approx(twin("cnn").forward(ROWS), rel=1e-6)


def test_errors(client: Any) -> None:
    with pytest.raises(ApiError, match="unknown model 'nope'"):  # it has a class of its own for 400 only
        client.model_infer("nope", request=request())
    with pytest.raises(BadRequestError, match="unknown output 'x'"):
        client.model_infer("cnn", request=request(outputs=[RequestOutput(name="x")]))
