"""The express way of small pictures: its answers are the application's, to whom all else goes whole."""

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from PIL import ImageOps
from werkzeug.datastructures import Headers
from werkzeug.test import Client, TestResponse

from server.routes.express import Express
from server.routes.service import EXTENSION
from tests.answers import check_error
from tests.conftest import MakeApp
from tests.fakes import Linear
from tests.stores import SEVEN, draw_seven, encoded, form
from tests.test_keys import write_keys

OTHER = b"the application's"
MOST = 12 << 20
PLAIN = encoded(ImageOps.invert(draw_seven(28)))
PNG: dict[str, Any] = {"data": SEVEN, "content_type": "image/png"}
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a PNG": ("", PNG),
    "a JPEG": ("", {"data": encoded(draw_seven(80), "JPEG"), "content_type": "image/jpeg; q=1"}),
    "a model": ("?model=plain", PNG),
    "a picture that is the model's": ("", {"data": PLAIN, "content_type": "image/x-png"}),
    "an id": ("", {**PNG, "headers": {"X-Request-ID": "mine-7"}}),
    "an id that is none": ("", {**PNG, "headers": {"X-Request-ID": "a b"}}),
}
LEFT: dict[str, tuple[str, dict[str, Any]]] = {
    "another address": ("/v1/explain", PNG),
    "another method": ("/v1/predict", {**PNG, "method": "PUT"}),
    "a version": ("/v1/predict?model=fake&version=1", PNG),
    "an unknown model": ("/v1/predict?model=nobody", PNG),
    "an unknown option": ("/v1/predict?modle=fake", PNG),
    "two models": ("/v1/predict?model=fake&model=plain", PNG),
    "no type": ("/v1/predict", {"data": SEVEN}),
    "a form": ("/v1/predict", {"data": form(SEVEN)}),
    "JSON": ("/v1/predict", {"data": b'{"pixels": []}', "content_type": "application/json"}),
    "JSON that says it is a picture": ("/v1/predict", {"data": b'{"pixels": []}', "content_type": "image/png"}),
    "nothing": ("/v1/predict", {"data": b"", "content_type": "image/png"}),
    "half a picture": ("/v1/predict", {"data": SEVEN[:-200], "content_type": "image/png"}),
    "a blank one": ("/v1/predict", {"data": encoded(draw_seven().point(lambda _: 255)), "content_type": "image/png"}),
    "much": ("/v1/predict", {"data": SEVEN + bytes(10_000), "content_type": "image/png"}),
}


class Application:
    """Answers whatever it is asked, and keeps the bodies."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [OTHER]


def sent(application: Any, path: str, request: dict[str, Any]) -> TestResponse:
    return Client(application).open(path, **{"method": "POST", **request})


def told(response: TestResponse) -> dict[str, str]:
    """The headers, without what is new each time."""
    headers = {name: value for name, value in response.headers.items() if name != "Server-Timing"}
    assert [part.partition(";dur=")[0] for part in response.headers["Server-Timing"].split(", ")] == [
        "decode", "predict", "total",
    ]  # fmt: skip
    if "mine-7" not in headers["X-Request-ID"]:
        assert len(headers.pop("X-Request-ID")) == 32
    return headers


@pytest.mark.parametrize(("query", "request_"), TAKEN.values(), ids=TAKEN)
def test_its_answer_is_the_applications_to_the_letter(make_app: MakeApp, query: str, request_: dict[str, Any]) -> None:
    app, application = make_app(access_log="on"), Application()
    express = Express(application, app.extensions[EXTENSION], MOST)
    found, expected = (sent(one, f"/v1/predict{query}", request_) for one in (express, app))
    assert application.bodies == []  # it was not asked
    assert (found.status, found.data) == (expected.status, expected.data)
    assert told(found) == told(expected)


@pytest.mark.parametrize(("path", "request_"), LEFT.values(), ids=LEFT)
def test_all_else_reaches_the_application_whole(make_app: MakeApp, path: str, request_: dict[str, Any]) -> None:
    application = Application()
    express = Express(application, make_app().extensions[EXTENSION], MOST)
    assert sent(express, path, request_).data == OTHER
    body = request_["data"]
    assert application.bodies == [body] if isinstance(body, bytes) else body is not None


def test_a_body_of_no_known_length_reaches_the_application(make_app: MakeApp) -> None:
    application = Application()
    express = Express(application, make_app().extensions[EXTENSION], MOST)
    unknown = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    chunked = {"input_stream": io.BytesIO(SEVEN), "content_type": "image/png", "environ_overrides": unknown}
    assert sent(express, "/v1/predict", chunked).data == OTHER
    assert application.bodies == [SEVEN]


def test_a_body_that_breaks_off_reaches_the_application(make_app: MakeApp) -> None:
    application = Application()
    express = Express(application, make_app().extensions[EXTENSION], MOST)
    longer = {"CONTENT_LENGTH": str(len(SEVEN) + 1)}
    assert sent(express, "/v1/predict", {**PNG, "environ_overrides": longer}).data == OTHER
    assert application.bodies == [SEVEN]


class Broken(io.BytesIO):
    """A connection that the client has reset."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


def test_a_broken_connection_is_the_applications_to_answer(make_app: MakeApp) -> None:
    broken = {"wsgi.input": Broken(), "CONTENT_LENGTH": "9"}
    response = sent(make_app(), "/v1/predict", {"content_type": "image/png", "environ_overrides": broken})
    check_error(response, 400, "bad_request")


def test_a_small_picture_may_be_larger_than_bodies_may_be(make_app: MakeApp) -> None:
    picture = {"data": SEVEN + bytes(2000), "content_type": "image/png"}
    assert sent(make_app(max_body_bytes=4096), "/v1/predict", picture).status_code == 200
    check_error(sent(make_app(max_body_bytes=2000), "/v1/predict", picture), 413, "body_too_large", ("2000 bytes",))


def test_it_counts_as_the_application_does(make_app: MakeApp) -> None:
    lines = [counted(make_app(access_log=log)) for log in ("off", "on")]
    assert lines[0] == lines[1]
    assert 'inkling_requests_total{method="POST",route="/v1/predict",status="200"} 3.0' in lines[0]


def counted(app: Flask) -> list[str]:
    for _ in range(3):
        assert sent(app, "/v1/predict?model=plain", PNG).status_code == 200
    text = sent(app, "/metrics", {"method": "GET"}).text
    numbers = [line for line in text.splitlines() if "predict" in line and not line.startswith("#")]
    return [line for line in numbers if "_sum" not in line and "_bucket" not in line and "_created" not in line]


def test_a_small_picture_takes_it_and_what_must_be_seen_first_closes_it(make_app: MakeApp, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", web="predict")
    assert isinstance(make_app().wsgi_app, Express)
    for closing in (
        {"keys_file": tmp_path / "keys"},
        {"rate_limit": "1/hour"},
        {"cors_origins": "https://a.example"},
        {"access_log": "on"},
    ):
        assert not isinstance(make_app(**closing).wsgi_app, Express)
    assert sent(make_app(keys_file=tmp_path / "keys"), "/v1/predict", PNG).status_code == 401
    limited = make_app(rate_limit="1/hour")
    assert [sent(limited, "/v1/predict", PNG).status_code for _ in range(2)] == [200, 429]


def wire(body: bytes = PLAIN, query: str = "", kind: str = "image/png", more: str = "") -> bytes:
    """A request as it comes over the wire."""
    head = f"POST /v1/predict{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{more}\r\n".encode() + body


@pytest.mark.parametrize(
    ("query", "more", "body"),
    [
        ("", "", PLAIN),
        ("?model=plain", "", PLAIN),
        ("", "X-Request-ID: mine-7\r\n", PLAIN),
        ("", "X-Request-ID: a b\r\n", PLAIN),
    ],
)
def test_what_is_answered_at_once_is_the_applications_to_the_letter(
    make_app: MakeApp, query: str, more: str, body: bytes
) -> None:
    app = make_app(access_log="on")
    found = Express(Application(), app.extensions[EXTENSION], MOST).at_once(wire(body, query, more=more))
    assert found is not None
    identifier = {"X-Request-ID": more.partition(": ")[2].strip()} if more else {}
    expected = sent(app, f"/v1/predict{query}", {"data": body, "content_type": "image/png", "headers": identifier})
    response = TestResponse([found[1]], "200 OK", Headers(found[0]), expected.request)
    assert (response.data, told(response)) == (expected.data, told(expected))


def stuffed(kind: bytes, content: bytes) -> bytes:
    """PLAIN with one more chunk after its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return PLAIN[:33] + chunk + PLAIN[33:]


LATER = {
    "a page": wire(encoded(draw_seven(28))),
    "text that unfolds": wire(stuffed(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 19), 9))),
    "a profile": wire(stuffed(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 19), 9))),
    "a picture of another size": wire(SEVEN),
    "a JPEG": wire(encoded(draw_seven(28), "JPEG"), kind="image/jpeg"),
    "colours": wire(encoded(draw_seven(28).convert("RGB"))),
    "half a picture": wire(PLAIN[:-60]),
    "half a request": wire()[:-1],
    "an unknown model": wire(query="?model=nobody"),
    "a blank one": wire(encoded(draw_seven(28).point(lambda _: 0))),
}


@pytest.mark.parametrize("request_", LATER.values(), ids=LATER)
def test_all_else_is_not_answered_at_once(make_app: MakeApp, request_: bytes) -> None:
    assert Express(Application(), make_app().extensions[EXTENSION], MOST).at_once(request_) is None


def test_a_body_beyond_the_limit_is_not_answered_at_once(make_app: MakeApp) -> None:
    service = make_app().extensions[EXTENSION]
    assert Express(Application(), service, len(PLAIN)).at_once(wire()) is not None
    assert Express(Application(), service, len(PLAIN) - 1).at_once(wire()) is None


class Replaced(Linear):
    """A twin that answers when its version is no longer the one that is served."""

    def at_once(self, images: Any) -> Any:
        self.replace()
        return self.forward(images)


def test_the_version_that_was_looked_at_is_the_one_that_answers(make_app: MakeApp) -> None:
    """One that takes its place may be slow, or have no twin."""
    service = make_app(load_twin=lambda path, card: Replaced(card, card.verbs)).extensions[EXTENSION]
    version, held = service.store.find("fake", None), []

    def replace() -> None:
        version.retire(lambda one: held.append(one.free()))
        held.append(version.free())

    version.twin.replace = replace
    assert Express(Application(), service, MOST).at_once(wire()) is not None
    assert held == [False, True]  # freed when it had answered


def test_a_twin_that_can_not_answer_at_once_is_not_waited_for(make_app: MakeApp) -> None:
    app = make_app()
    service = app.extensions[EXTENSION]
    service.store.find("fake", None).twin.at_once = lambda images: None
    assert Express(Application(), service, MOST).at_once(wire()) is None
    picture = {"data": PLAIN, "content_type": "image/png"}
    assert sent(app, "/v1/predict", picture).status_code == 200


def test_nobody_waits_for_a_savedmodel_at_once(make_app: MakeApp) -> None:
    app = make_app()
    service = app.extensions[EXTENSION]
    service.store.find("fake", None).twin = None
    assert Express(Application(), service, MOST).at_once(wire()) is None
    picture = {"data": PLAIN, "content_type": "image/png"}
    assert sent(app, "/v1/predict", picture).status_code == 200
