"""The worker of a real gunicorn: clients that hang up slowly delay no others, and kept connections lose nothing."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import ImageOps

from server.process.lingering import LINGER
from tests.support.models.stores import draw_seven, encoded
from tests.support.processes.servers import Running, ask, serving

PLAIN = encoded(ImageOps.invert(draw_seven(28)))
PREDICT = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s" % (
    len(PLAIN),
    PLAIN,
)
ALIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, {"EXPLAIN": "off"}) as running:
        yield running


def answered(server: Running) -> socket.socket:
    """A connection whose answer has been read to its end, and that this side keeps open."""
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=20)
    connection.sendall(CLOSING)
    read = b""
    while part := connection.recv(4096):
        read += part
    assert read.startswith(b"HTTP/1.1 200") and read.endswith(b"}\n")
    return connection


def test_clients_that_hang_up_slowly_do_not_delay_others(server: Running) -> None:
    with ExitStack() as stack:
        start = time.monotonic()
        for _ in range(8):
            stack.enter_context(answered(server))
            assert ask(f"{server.url}/livez")[0] == 200
        assert time.monotonic() - start < LINGER  # gthread itself takes that for each


def sends_on(connection: socket.socket, size: int, pause: float) -> bool:
    """Whether the server went on taking what is sent, for much longer than it should."""
    start = time.monotonic()
    try:
        while time.monotonic() - start < 10 * LINGER:
            connection.sendall(b"x" * size)
            time.sleep(pause)  # polls another process
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("size", "pause"), [(100, 0.05), (65536, 0.0)])
def test_a_connection_that_never_hangs_up_is_closed(server: Running, size: int, pause: float) -> None:
    with answered(server) as connection:
        assert not sends_on(connection, size, pause)
    assert ask(f"{server.url}/livez")[0] == 200


def test_a_stop_waits_for_them_no_longer_than_that(server: Running) -> None:
    with answered(server):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5 * LINGER) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Running]:
    """With one thread."""
    with serving(tmp_path, {"EXPLAIN": "off", "THREADS": "1", "WORKERS": "1"}) as running:
        yield running


def connected(server: Running, sent: bytes = b"") -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=20)
    connection.sendall(sent)
    return connection


def one_answer(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    """Status line and headers, without what is new each time, and the body; no byte more is read."""
    file = connection.makefile("rb", buffering=0)
    line = file.readline().decode()
    fields = dict(field.decode().strip().split(": ", 1) for field in iter(file.readline, b"\r\n"))
    body = b""
    while len(body) < int(fields["Content-Length"]):
        body += file.read(int(fields["Content-Length"]) - len(body)) or b""
    for name in ("Date", "X-Request-ID", "Server-Timing"):
        assert fields.pop(name)
    return {"status": line, **fields}, body


@pytest.mark.parametrize(
    "parts",
    [
        [PREDICT[:40], PREDICT[40:-3], PREDICT[-3:]],
        [PREDICT * 3],
        [PREDICT + ALIVE],
        [ALIVE + PREDICT[:90], PREDICT[90:]],
    ],
    ids=["in parts", "three at a time", "and another", "the other way round"],
)
def test_a_kept_connection_loses_nothing(single: Running, parts: list[bytes]) -> None:
    expected = (b"".join(parts).count(b"POST"), b"".join(parts).count(b"GET"))
    with connected(single, PREDICT) as connection:
        first = one_answer(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)  # another process reads; what it has read by then is what this is about
        answers = [one_answer(connection) for _ in range(sum(expected))]
        assert sum(answer == first for answer in answers) == expected[0]
        connection.sendall(PREDICT)
        assert one_answer(connection) == first


def test_a_stopping_worker_says_that_it_closes_a_kept_connection(single: Running) -> None:
    with connected(single, PREDICT) as connection:
        first = one_answer(connection)
        single.process.send_signal(signal.SIGTERM)
        reported = "keep-alive"
        while reported == "keep-alive":  # until the worker, too, has been told
            connection.sendall(PREDICT)
            fields, body = one_answer(connection)
            assert body == first[1]
            reported = fields["Connection"]
        assert reported == "close" and connection.recv(1) == b""
    assert single.process.wait(20) == 0


def test_gunicorns_own_log_of_requests_has_every_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--access-logfile=-")
    with serving(tmp_path, {"EXPLAIN": "off"}) as running, connected(running) as connection:
        for _ in range(5):
            connection.sendall(PREDICT)
            one_answer(connection)
        running.process.terminate()  # gunicorn writes a line after its answer
        assert running.process.wait(20) == 0
    assert running.log.read_text().count("POST /v1/predict") == 5


def test_no_collection_of_garbage_looks_at_what_is_loaded(tmp_path: Path) -> None:
    """It would hold up every thread: large bodies make so many lists that there is one every few milliseconds."""
    with serving(tmp_path, {"EXPLAIN": "off"}, app="tests.support.models.counting_app:app") as server:
        _, _, counted = ask(f"{server.url}/objects")
        assert counted["looked_at"] < counted["frozen"] / 4
