"""The door of a real server: whatever arrives, the answer is JSON in the one shape, and the log tells nothing of it."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.process.upload_reader import MOST_CHUNKS
from tests.support.models.stores import SEVEN
from tests.support.processes.servers import Running, ask, serving

PATIENCE = 10  # seconds; less than the server waits for the end of a request
LIMIT = 1 << 20  # bytes of a body
TOO_LARGE = 24 << 20  # bytes, more than sockets keep
HOST = b"Host: x\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST
POST = b"POST /v1/predict HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECRET = b"swordfish"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = {"EXPLAIN": "off", "MAX_BODY_BYTES": str(LIMIT), "CORS_ORIGINS": "https://a.example"}
    with serving(tmp_path_factory.mktemp("door"), settings) as running:
        yield running
        log = running.log.read_text()
        assert "Traceback" not in log and SECRET.decode() not in log
        assert not [line for line in log.splitlines() if "refused" in line and "127.0.0.1" in line]
        assert 'status="500"' not in ask(f"{running.url}/metrics")[2].decode()


def connected(server: Running, sent: bytes) -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def check(server: Running, sent: bytes, status: int, ends: bool = False) -> dict[str, str]:
    """The answer to these bytes is JSON, with what every answer has; its fields. No more bytes come if it `ends`."""
    method = sent.partition(b" ")[0].decode("latin-1")
    with connected(server, sent) as connection:
        if ends:
            connection.shutdown(socket.SHUT_WR)
        with HTTPResponse(connection, method=method if method == "HEAD" else None) as response:
            response.begin()
            body = response.read()
    assert response.status == status, body
    assert response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["X-Request-ID"]
    assert response.headers["Access-Control-Allow-Origin"]
    assert response.headers["Content-Type"] == "application/json" and "Location" not in response.headers
    if not body:
        assert method in ("HEAD", "OPTIONS")
        return {}
    fields: dict[str, str] = json.loads(body)
    if status >= 400:
        assert set(fields) == {"error", "code", "request_id"} and fields["error"]
        assert fields["request_id"] == response.headers["X-Request-ID"]
    return fields


def chunks(extension: bytes = b"", trailer: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return CHUNKED + b"%x%s\r\n%s\r\n0\r\n%s%s" % (len(SEVEN), extension, SEVEN, trailer, end)


@pytest.mark.parametrize("sent", [
    chunks(), chunks(b";a=b"), chunks(b" ;a"), chunks(trailer=b"A: b\r\n"), CHUNKED.replace(b"chunked", b"Chunked")
    + b"".join(b"1\r\n%c\r\n" % byte for byte in SEVEN) + b"0\r\n\r\n",
])  # fmt: skip
def test_chunks_are_read(server: Running, sent: bytes) -> None:
    assert "prediction" in check(server, sent, 200)


BAD_CHUNKS = {
    "letters": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "negative": CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    "with a prefix": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "with underscores": CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "a space before": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "a space after": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "none": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "an endless one": CHUNKED + b"1" * 9000,
    "data that goes on": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a quote that stays open": chunks(b';a="'),
    "a bare CR": chunks(b";a\rb"),
    "a trailer without a colon": chunks(trailer=b"garbage\r\n"),
    "a trailer with a length": chunks(trailer=b"Content-Length: 5\r\n"),
    "too many trailers": chunks(trailer=b"A: b\r\n" * 2000),
    "a line feed in the trailer": chunks(trailer=b"A: b\n"),
    "too many": CHUNKED + b"1\r\nx\r\n" * (MOST_CHUNKS + 1) + b"0\r\n\r\n",
    "to nowhere": CHUNKED.replace(b"/v1/predict", b"/nowhere") + b"zz\r\n",
}
CUT_CHUNKS = {
    "before the first": CHUNKED,
    "in a size": CHUNKED + b"5",
    "in the data": CHUNKED + b"5\r\nab",
    "after the data": CHUNKED + b"5\r\nabcde",
    "of more than there can be": CHUNKED + b"f" * 20 + b"\r\nabc",
    "in the trailer": chunks(end=b"A: "),
    "before the end": chunks(end=b""),
}


@pytest.mark.parametrize("sent", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_chunks_that_are_none_are_the_clients_mistake(server: Running, sent: bytes) -> None:
    assert "chunks" in check(server, sent, 400)["error"]


def test_very_many_chunks_are_read(server: Running) -> None:
    check(server, CHUNKED + b"1\r\nx\r\n" * MOST_CHUNKS + b"0\r\n\r\n", 415)


@pytest.mark.parametrize("sent", CUT_CHUNKS.values(), ids=CUT_CHUNKS)
def test_a_client_that_leaves_within_chunks_is_no_error_of_ours(server: Running, sent: bytes) -> None:
    assert "breaks off" in check(server, sent, 400, ends=True)["error"]
    with connected(server, sent) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
    check(server, GET + b"\r\n", 200)


UNREADABLE = {
    "a word": (b"GARBAGE\r\n\r\n", 400),
    "another protocol": (b"SSH-2.0-x\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(50), 400),
    "line feeds": (b"GET /livez HTTP/1.1\nHost: x\n\n", 400),
    "NUL in the path": (b"GET /\0 HTTP/1.1\r\n\r\n", 400),
    "NUL in a field": (GET + b"A: \0\r\n\r\n", 400),
    "a method in small letters": (b"get /livez HTTP/1.1\r\n\r\n", 400),
    "a method that is none": (b"G@T /livez HTTP/1.1\r\n\r\n", 400),
    "a path without a slash": (b"GET %2Flivez HTTP/1.1\r\n\r\n", 400),
    "an address that is none": (b"GET http://[/ HTTP/1.1\r\n\r\n", 400),
    "letters that are not ASCII": ("GET /é HTTP/1.1\r\n\r\n".encode(), 400),
    "a long first line": (b"GET /?" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long field": (GET + b"A: " + b"x" * 9000 + b"\r\n\r\n", 431),
    "many fields": (GET + b"A: b\r\n" * 200 + b"\r\n", 431),
    "a long head": (GET + b"A: b\r\n" * 20_000, 431),
    "a field on two lines": (GET + b"A: b\r\n c\r\n\r\n", 400),
    "a field without a colon": (GET + b"A\r\n\r\n", 400),
    "two hosts": (GET + HOST + b"\r\n", 400),
    "a secret in the first line": (b"GET /livez?key=%s HTTP/9.9\r\n\r\n" % SECRET, 400),
    "a secret in a field": (GET + b"Authorization %s\r\n\r\n" % SECRET, 400),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length and chunks": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a length that is no number": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "a length of 5000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "not chunked in the end": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "chunks of HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "compressed chunks": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "another coding": (POST + b"Transfer-Encoding: x\r\n\r\n", 501),
    "another expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
}


@pytest.mark.parametrize(("sent", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_request_is_refused_in_json(server: Running, sent: bytes, status: int) -> None:
    code = "not_implemented" if status == 501 else "bad_request"
    assert check(server, sent, status)["code"] == code


def test_refusals_are_counted(server: Running) -> None:
    check(server, UNREADABLE["a long first line"][0], 414)
    assert '{method="other",route="none",status="414"}' in ask(f"{server.url}/metrics")[2].decode()


ODD = {
    "GET //livez": 200, "GET //other.example/livez": 404, "GET /v1//models": 404, "POST /v1//predict": 404,
    "GET /livez/": 404, "GET /docs/": 404, "GET /./livez": 404, "GET /docs/../livez": 404, "GET /docs/%2e%2e/x": 404,
    "GET /livez%00": 404, "GET /%2F/other.example": 404, "GET /v1/models/%ff%fe": 404, "GET /%zz": 404,
    "GET /x%0d%0aSet-Cookie:%20a": 404, "GET /x//%0d%0aSet-Cookie:%20a": 404, "GET /" + 4000 * "x": 404,
    "POST /v1/models/" + 4000 * "x": 405, "GET http://x/livez": 200, "GET http://other.example/livez": 200,
    "GET http://other.example": 200, "GET http://other.example//v1//models": 404, "GET /livez#x": 200,
    "OPTIONS *": 404, "OPTIONS /v1/predict": 200, "OPTIONS /v1//predict": 404, "OPTIONS /nowhere": 404,
    "HEAD /livez": 200, "HEAD /v1/predict": 405, "HEAD /v1//models": 404, "TRACE /livez": 405, "CONNECT x:80": 404,
    "CONNECT /livez": 405, "BREW /livez": 405, "DELETE /v1/models": 405,
}  # fmt: skip


@pytest.mark.parametrize(("line", "status"), ODD.items())
def test_an_odd_address_or_method_has_an_answer_in_json_and_leads_nowhere(
    server: Running, line: str, status: int
) -> None:
    fields = check(server, line.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", status)
    assert len(fields.get("error", "")) < 600


@pytest.mark.parametrize("fields", [b"SCRIPT_NAME: /v1", b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off"])
def test_no_header_moves_a_path(server: Running, fields: bytes) -> None:
    """gunicorn believes some of a local peer."""
    sent = b"GET /v1/models HTTP/1.1\r\n" + HOST + fields + b"\r\nConnection: close\r\n\r\n"
    assert check(server, sent, 200)["models"]


def test_a_websocket_is_refused_with_the_reason(server: Running) -> None:
    sent = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert "no websockets" in check(server, sent, 400)["error"]


@pytest.mark.parametrize("path", ["/v1/predict", "/v2/models/cnn/infer", "/v1/models/cnn:predict"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_client_that_sends_all_before_it_reads_is_told_that_it_is_too_much(
    server: Running, path: str, chunked: bool
) -> None:
    """As urllib and requests do."""
    address = urlsplit(server.url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE)) as connection:
        if chunked:
            connection.request("POST", path, iter([bytes(LIMIT)] * (TOO_LARGE // LIMIT)), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        else:
            connection.request("POST", path, bytes(TOO_LARGE))
        response = connection.getresponse()
        assert (response.status, response.headers["Connection"]) == (413, "close")
        assert json.loads(response.read())["code"] == "body_too_large"


def test_no_page_may_read_refusals_where_none_may_ask(tmp_path: Path) -> None:
    with (
        serving(tmp_path, {"EXPLAIN": "off"}) as running,
        connected(running, b"GARBAGE\r\n\r\n") as connection,
        HTTPResponse(connection) as response,
    ):
        response.begin()
        assert response.status == 400
        assert not [name for name in response.headers if name.startswith(("Access-Control", "Cross-Origin"))]
