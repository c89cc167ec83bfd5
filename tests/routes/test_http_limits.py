"""What needs a smaller, slower or broken service to be seen over HTTP: sizes, time, and mistakes of our own."""

import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.types import Array, ModelCard
from tests.conftest import MakeApp
from tests.support.answers import check_error, check_next, errors_in, post_predict
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import SEVEN, form, linear

LIMIT = 50_000
PADDED = SEVEN + bytes(LIMIT)


CHUNKED = {"Transfer-Encoding": "chunked"}  # has no length, and gunicorn says that it ends the stream itself
ENDED = {"wsgi.input_terminated": True}


@pytest.mark.parametrize("sent", [
    {"data": PADDED},
    {"data": PADDED, "content_type": "application/x-www-form-urlencoded"},
    {"json": {"image": {"b64": b64encode(PADDED).decode()}}},
    {"data": form(SEVEN, PADDED)},
    {"data": PADDED, "headers": CHUNKED, "environ_overrides": ENDED},
], ids=["raw", "as a form", "JSON", "multipart", "chunked"])  # fmt: skip
def test_a_body_that_is_too_large(make_app: MakeApp, caplog: pytest.LogCaptureFixture, sent: dict[str, Any]) -> None:
    client = make_app(max_body_bytes=LIMIT).test_client()
    check_error(client.post("/v1/predict", **sent), 413, "body_too_large", (str(LIMIT), "smaller"))
    assert not errors_in(caplog)
    check_next(client)


@pytest.mark.parametrize("sent", [
    {"data": PADDED[:LIMIT]},
    {"data": PADDED[: LIMIT - 1], "headers": CHUNKED, "environ_overrides": ENDED},
    {"data": SEVEN, "headers": CHUNKED, "environ_overrides": ENDED},
], ids=["with a length", "chunked", "chunked and small"])  # fmt: skip
def test_a_body_that_is_just_small_enough_is_read(make_app: MakeApp, sent: dict[str, Any]) -> None:
    client = make_app(max_body_bytes=LIMIT).test_client()
    assert client.post("/v1/predict", **sent).get_json() == post_predict(client)


def test_a_form_of_too_many_fields_is_not_said_to_be_too_long(client: FlaskClient) -> None:
    sent = form(SEVEN) | {f"field{number}": "x" for number in range(1100)}
    response = client.post("/v1/predict", data=sent)
    assert response.status_code in (400, 413)
    assert "bytes" not in response.get_json()["error"]


def test_more_pictures_than_are_answered(make_app: MakeApp) -> None:
    client = make_app(max_images=2).test_client()
    assert len(client.post("/v1/predict", data=form(SEVEN, SEVEN)).get_json()["results"]) == 2
    check_error(client.post("/v1/predict", data=form(SEVEN, SEVEN, SEVEN)), 400, "bad_request", ("3", "at most 2"))


class Broken(Linear):
    def forward(self, images: Array) -> Array:
        raise RuntimeError("the password is swordfish")


class NotANumber(Linear):
    def forward(self, images: Array) -> Array:
        return np.full((len(images), 10), np.nan)


class Slow(Linear):
    """Answers only when two milliseconds have passed."""

    def forward(self, images: Array) -> Array:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return super().forward(images)


def only_version_1(kind: type[Fake]) -> Any:
    """A loader: version 1 is of this kind."""

    def load(path: Path, card: ModelCard) -> Fake:
        return kind(card, card.verbs) if card.version == "1" else linear(path, card)

    return load


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_an_unexpected_error_is_logged_once_and_not_shown(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    client = make_app(load_twin=only_version_1(Broken)).test_client()
    response = client.post(f"{path}?version=1&model=fake", data=SEVEN)
    check_error(response, 500, "internal_error", ("our side", "request id"))
    assert "swordfish" not in response.text
    (record,) = errors_in(caplog)
    assert record.exc_info is not None and "swordfish" in str(record.exc_info[1])
    assert response.headers["X-Request-ID"] in record.getMessage()
    check_next(client)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v1/explain?format=png"])
def test_logits_that_are_not_finite_are_a_500(make_app: MakeApp, path: str) -> None:
    client = make_app(load_twin=only_version_1(NotANumber)).test_client()
    query = "&version=1" if "?" in path else "?version=1"
    check_error(client.post(path + query, data=SEVEN), 500, "internal_error", ("our side",))
    check_next(client)


def test_no_time(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    client = make_app(load_twin=only_version_1(Slow)).test_client()
    late = client.post("/v1/explain?version=1&budget_ms=1", data=SEVEN)
    check_error(late, 504, "out_of_time", ("within 1 ms", "budget_ms", "cheaper"))
    assert not errors_in(caplog)
    assert client.post("/v1/explain?version=1", data=SEVEN).status_code == 200
    check_next(client)
