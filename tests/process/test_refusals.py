"""Refusals and early answers: clients that send all before they read get them, and nobody gains by sending on."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from server.process import lingering
from server.process.gunicorn_worker import Worker
from tests.process.test_worker_waits import GET, LARGE, connections, one_answer, post, silent
from tests.support.processes.workers import SOON, RunningWorker, rest, running_worker

HUGE = 32 << 20  # bytes, more than sockets keep
UNREAD = post(HUGE, "/unread")
REFUSED = b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"


class Counting(Worker):
    """Keeps what was refused."""

    refused_with = ("X-More: 1",)

    def on_refusal(self, status: int, code: str) -> None:
        refused.append((status, code))


refused: list[tuple[int, str]] = []


@pytest.fixture
def running() -> Iterator[RunningWorker]:
    refused.clear()
    with running_worker(Counting, threads=1) as found:
        yield found


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, running: RunningWorker) -> RunningWorker:
    """A worker that waits for clients to hang up for longer than any test."""
    monkeypatch.setattr(lingering, "LINGER", 10.0 * SOON)
    return running


def taken(client: socket.socket, limit: int = HUGE) -> int:
    """Bytes that the other side takes until it breaks off, `limit` at most."""
    sent = 0
    with suppress(OSError):
        while sent < limit:
            sent += client.send(bytes(65536))
    return sent


def kept_by_sockets() -> int:
    """Bytes that nobody needs to read."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        client.settimeout(0.2)
        return taken(client)


def test_an_answer_that_comes_before_the_end_of_a_body_reaches_who_sends_all_first(running: RunningWorker) -> None:
    with running.connected(UNREAD) as client:
        client.sendall(bytes(HUGE))
        answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 200") and b"\r\nConnection: close\r\n" in answer
    connections(running, 0)


def test_a_body_that_was_read_keeps_its_connection(running: RunningWorker) -> None:
    with running.connected(post(LARGE) + bytes(LARGE)) as client:
        assert one_answer(client) == b"POST /upload %d" % LARGE
        client.sendall(GET)
        assert one_answer(client) == b"GET /livez 0"


def test_what_is_read_and_dropped_holds_no_thread(patient: RunningWorker) -> None:
    with patient.connected(UNREAD) as client:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        with patient.connected(GET) as other:
            assert one_answer(other) == b"GET /livez 0"
        client.sendall(bytes(1000))


def test_who_sends_on_for_ever_is_cut_off(patient: RunningWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "DRAINED", 1 << 20)
    with patient.connected(UNREAD) as client:
        assert taken(client) < HUGE
    connections(patient, 0)


def test_who_is_silent_for_ever_is_cut_off(running: RunningWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER", 0.3)
    with running.connected(UNREAD) as client:
        assert rest(client).startswith(b"HTTP/1.1 200")
        connections(running, 0)


def test_no_more_than_so_many_are_read_at_once(patient: RunningWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "DRAINS", 1)
    with patient.connected(UNREAD) as first, patient.connected() as second:
        assert first.recv(15) == b"HTTP/1.1 200 OK"
        second.sendall(UNREAD)
        assert taken(second) <= kept_by_sockets() + 4 * lingering.READ
        assert taken(first) == HUGE
    connections(patient, 0)


def test_a_tls_client_is_told_at_once(patient: RunningWorker) -> None:
    with patient.connected(b"\x16\x03\x01") as client:
        answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (REFUSED, 400, "bad_request"),
        (GET[:-2] + b"A: b\r\n" * 20_000, 431, "bad_request"),
        (post(5).replace(b"Content-Length: 5", b"Transfer-Encoding: gzip, chunked"), 501, "not_implemented"),
        (post(0, "/fail"), 500, "internal_error"),
    ],
)
def test_a_refusal_has_the_shape_of_the_applications_errors_and_is_counted(
    running: RunningWorker, sent: bytes, status: int, code: str
) -> None:
    with running.connected(sent) as client:
        head, _, body = rest(client).partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 %d " % status) and fields[b"Content-Type"] == b"application/json"
    assert fields[b"X-Content-Type-Options"] == b"nosniff" and fields[b"X-More"] == b"1"
    shown = json.loads(body)
    assert set(shown) == {"error", "code", "request_id"} and shown["code"] == code and "secret" not in shown["error"]
    assert shown["request_id"].encode() == fields[b"X-Request-ID"]
    assert refused == [(status, code)]


def test_the_log_has_a_refusal_by_its_id_and_a_failure_of_ours_whole(
    running: RunningWorker, caplog: pytest.LogCaptureFixture
) -> None:
    shown = [json.loads(running.ask(sent).partition(b"\r\n\r\n")[2]) for sent in (REFUSED, post(0, "/fail"))]
    log = caplog.text
    assert all(one["request_id"] in log for one in shown)
    assert "127.0.0.1" not in log and "9.9" not in log and log.count("Traceback") == 1 and "a secret" in log


def test_a_refused_client_that_reads_nothing_holds_nobody_up(patient: RunningWorker) -> None:
    clients = [patient.connected(REFUSED + bytes(1000)) for _ in range(20)]
    with patient.connected(GET) as other:
        assert one_answer(other) == b"GET /livez 0"
    assert not silent(clients[0])
    for client in clients:
        client.close()
    connections(patient, 0)
