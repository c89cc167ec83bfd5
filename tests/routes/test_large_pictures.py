"""Pictures that would cost too much over HTTP, in whatever way they come in: a 413, or what another protocol calls it;
those that do not get their turn are a 503.
"""

import json
from base64 import b64encode
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.images.files.costs import MOST_WORK
from server.images.files.in_flight import CAPACITY, IN_FLIGHT
from tests.conftest import MakeApp
from tests.images.files.test_blocks import progressive
from tests.images.files.test_costs import ARITHMETIC_PROGRESSIVE, jpeg, png, webp
from tests.support.answers import check_error, check_next, errors_in, post_predict
from tests.support.models.stores import SEVEN, draw_seven, encoded, form

Sent = Callable[[FlaskClient, bytes], TestResponse]


def in_v1(client: FlaskClient, *bodies: bytes) -> TestResponse:
    files = [{"b64": b64encode(body).decode()} for body in bodies]
    sent = {"signature_name": "serving_bytes", "instances": files}
    return client.post("/v1/models/fake:predict", data=json.dumps(sent))


WAYS: dict[str, tuple[Sent, int]] = {
    "body": (lambda client, body: client.post("/v1/predict", data=body), 413),
    "form": (lambda client, body: client.post("/v1/predict", data=form(body)), 413),
    "JSON": (lambda client, body: client.post("/v1/predict", json={"image": {"b64": b64encode(body).decode()}}), 413),
    "explain": (lambda client, body: client.post("/v1/explain", data=body), 413),
    "compare": (lambda client, body: client.post("/v1/compare?methods=saliency,lime", data=body), 413),
    "adversarial": (lambda client, body: client.post("/v1/adversarial", data=body), 413),
    "V1": (in_v1, 400),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "body", [progressive(scans=501), png(8000, 8000), webp(6000, 6000)], ids=["JPEG", "PNG", "WebP"]
)
def test_what_costs_too_much_is_refused(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, way: str, body: bytes
) -> None:
    send, status = WAYS[way]
    response = send(client, body)
    if way == "V1" and response.get_json()["code"] == "bad_request":  # too many pixels for the protocol
        check_error(response, 400, "bad_request", ("pixels together",))
    else:
        check_error(response, status, "image_too_large")
    assert not errors_in(caplog)
    check_next(client)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v1/compare?methods=saliency,lime", "/v1/adversarial"])
def test_pictures_that_cost_too_much_together_are_refused(client: FlaskClient, path: str) -> None:
    files = [png(5000, 5000)] * 13
    check_error(client.post(path, data=form(*files)), 413, "image_too_large", (f"{MOST_WORK:,}", "several requests"))
    check_next(client)


def test_scans_count_in_v1(client: FlaskClient) -> None:
    body = jpeg(ARITHMETIC_PROGRESSIVE, 400, 400, scans=50)
    assert in_v1(client, body).status_code == 200
    check_error(in_v1(client, *[body] * 40), 400, "image_too_large", (f"{MOST_WORK:,}",))
    check_next(client)


def test_a_bad_picture_in_a_form_costs_nothing(client: FlaskClient) -> None:
    results = client.post("/v1/predict", data=form(SEVEN, png(8000, 8000), SEVEN[:40], SEVEN)).get_json()["results"]
    assert [one.get("code") for one in results] == [None, "image_too_large", "damaged_image", None]


@pytest.mark.parametrize("way", WAYS)
def test_who_gets_no_turn_is_to_come_again(make_app: MakeApp, way: str) -> None:
    client = make_app(threads=5, explain_slots=1).test_client()
    large, waits = encoded(draw_seven(2500).convert("RGB")), IN_FLIGHT.patience
    IN_FLIGHT.patience = 0.01
    try:
        with IN_FLIGHT.taken(CAPACITY):
            response = WAYS[way][0](client, large)
            check_error(response, 503, "busy", ("large", "try again in 5 s"))
            assert response.headers["Retry-After"] == "5"
            assert post_predict(client)
    finally:
        IN_FLIGHT.patience = waits
    assert WAYS[way][0](client, large).status_code == 200
    assert IN_FLIGHT.free == CAPACITY


def test_one_of_a_form_that_gets_no_turn_fails_all(client: FlaskClient) -> None:
    large = encoded(draw_seven(2500).convert("RGB"))
    waits, IN_FLIGHT.patience = IN_FLIGHT.patience, 0.01
    try:
        with IN_FLIGHT.taken(CAPACITY):
            check_error(client.post("/v1/predict", data=form(SEVEN, large)), 503, "busy")
    finally:
        IN_FLIGHT.patience = waits
