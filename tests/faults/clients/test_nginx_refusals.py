"""What nginx refuses itself, by deploy/nginx.conf: in the shape of our errors, and readable for allowed pages."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.faults.clients.test_slow_clients import check_error, nginx
from tests.support.processes.servers import Running, serving

PAGE = "https://a.example"
LIMIT = 12 << 20  # bytes of a body
LINE = b" HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /livez" + LINE
POST = b"POST /v1/predict" + LINE


@dataclass(frozen=True)
class Proxied:
    server: Running
    port: int


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    with (
        serving(folder, {"EXPLAIN": "off", "CORS_ORIGINS": f"{PAGE},https://b.example"}) as server,
        nginx(folder, int(server.url.rpartition(":")[2]), PAGE) as port,
    ):
        yield Proxied(server, port)


def answer(proxied: Proxied, sent: bytes, status: int, code: str) -> Message:
    """The headers of the error that is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", proxied.port), timeout=30) as client, HTTPResponse(client) as response:
        client.sendall(sent)
        response.begin()
        headers = check_error(response, status, code)
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    return headers


UNREAD = {
    "a word": (b"GARBAGE\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(50), 400),
    "another version": (GET.replace(b"1.1", b"2.0") + b"\r\n", 400),
    "two hosts": (GET + b"Host: x\r\n\r\n", 400),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "a path out of the site": (b"GET /../x" + LINE + b"\r\n", 400),
    "a long first line": (b"GET /livez?" + b"x" * 9000 + LINE + b"\r\n", 414),
    "a long field": (GET + b"X: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    "many fields": (GET + b"X: x\r\n" * 200 + b"\r\n", 431),  # refused by gunicorn
    "a length and chunks": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks that are none": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), UNREAD.values(), ids=UNREAD)
def test_what_cannot_be_read(proxied: Proxied, sent: bytes, status: int) -> None:
    answer(proxied, sent, status, "bad_request")


ANSWERED = {
    "TRACE": (b"TRACE /livez" + LINE, 405, "method_not_allowed"),
    "compressed chunks": (POST + b"Transfer-Encoding: gzip, chunked\r\n", 501, "not_implemented"),
    "too much": (POST + b"Content-Length: %d\r\n" % (LIMIT + 1), 413, "body_too_large"),
    "no picture, by the server": (POST + b"Content-Length: 0\r\n", 400, "empty_body"),
    "no such page, by the server": (b"GET /v1//models" + LINE, 404, "not_found"),
}


@pytest.mark.parametrize(("sent", "status", "code"), ANSWERED.values(), ids=ANSWERED)
@pytest.mark.parametrize("origin", [PAGE, "https://evil.example"])
def test_an_allowed_page_may_read_it(proxied: Proxied, sent: bytes, status: int, code: str, origin: str) -> None:
    fields = b"Origin: %s\r\nX-Request-ID: mine\r\n\r\n" % origin.encode()
    headers = answer(proxied, sent + fields, status, code)
    allowed = PAGE if origin == PAGE else None
    assert headers["Access-Control-Allow-Origin"] == allowed and headers["X-Request-ID"] == "mine"
    if allowed:
        assert "Origin" in headers["Vary"]
        assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]


def test_an_id_that_is_none_is_not_repeated(proxied: Proxied) -> None:
    headers = answer(proxied, b"TRACE /livez" + LINE + b'X-Request-ID: a"b\r\n\r\n', 405, "method_not_allowed")
    assert len(headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_client_that_sends_all_first_is_told_that_it_is_too_much(proxied: Proxied, chunked: bool) -> None:
    body = iter([bytes(1 << 20)] * 24) if chunked else bytes(24 << 20)
    request = Request(f"http://127.0.0.1:{proxied.port}/v1/predict", body, {"Content-Type": "image/png"})
    with pytest.raises(HTTPError) as raised, urlopen(request, timeout=30):
        pass
    with raised.value as error:
        assert (error.code, json.load(error)["code"]) == (413, "body_too_large")


def test_as_much_as_is_read_reaches_the_server(proxied: Proxied) -> None:
    with closing(HTTPConnection("127.0.0.1", proxied.port, timeout=30)) as connection:
        connection.request("POST", "/v1/predict", bytes(LIMIT))
        check_error(connection.getresponse(), 415, "unsupported_image")


def test_a_server_that_is_away_is_to_be_asked_again(tmp_path: Path) -> None:
    with serving(tmp_path, {"EXPLAIN": "off"}) as server, nginx(tmp_path, int(server.url.rpartition(":")[2])) as port:
        server.process.terminate()
        server.process.wait(30)
        headers = answer(Proxied(server, port), POST + b"Content-Length: 1\r\n\r\nx", 503, "not_ready")
    assert headers["Retry-After"] == "2" and "Access-Control-Allow-Origin" not in headers
