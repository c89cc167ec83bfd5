"""Asking the service and checking its answers; shared by the tests over HTTP."""

import logging
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.images import decode
from server.types import Array, Digit
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import SEVEN, card_28

MODEL: Fake = Linear(card_28())  # what `linear` loads for every version


def digit() -> Digit:
    return decode(SEVEN, MODEL.card.image)


def logits() -> Array:
    return MODEL.forward(digit().pixels[None])[0]


def post_predict(client: FlaskClient, query: str = "") -> dict[str, Any]:
    response = client.post(f"/v1/predict{query}", data=SEVEN)
    assert response.status_code == 200, response.data
    return response.get_json()


def post_explain(client: FlaskClient, query: str = "") -> dict[str, Any]:
    response = client.post(f"/v1/explain{query}", data=SEVEN)
    assert response.status_code == 200, response.data
    return response.get_json()


def check_error(response: TestResponse, status: int, code: str, words: tuple[str, ...] = ()) -> None:
    """The one shape of errors, with a message that has these words."""
    assert response.status_code == status, response.data
    assert response.headers["Content-Type"] == "application/json"
    reported = response.get_json()
    assert set(reported) == {"error", "code", "request_id"}
    assert reported["code"] == code
    assert reported["request_id"] == response.headers["X-Request-ID"]
    for word in words:
        assert word in reported["error"]


def check_next(client: FlaskClient) -> None:
    """The next good request is answered."""
    assert post_explain(client, "?version=2")["prediction"]["class"] == int(logits().argmax())


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]
