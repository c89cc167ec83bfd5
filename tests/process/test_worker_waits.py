"""Slow clients wait in the worker's poller: they hold no thread, and get the answers that gthread would give them."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from gunicorn.workers.gthread import ThreadWorker

from server.process import gunicorn_worker as waits
from server.process import lingering
from server.process.gunicorn_worker import COLLECTED, Worker
from tests.process.test_request_framing import OPEN, REFUSED, WHOLE
from tests.support.processes.workers import SOON, RunningWorker, rest, running_worker

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = 0.3  # seconds
LARGE = 4 * COLLECTED


def post(size: int, path: str = "/upload") -> bytes:
    """A head with such a length."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()


@pytest.fixture
def running() -> Iterator[RunningWorker]:
    with running_worker(Worker, threads=2) as found:
        yield found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningWorker]:
    """Nobody is waited for any longer than SHORT."""
    for name in ("PATIENCE", "UPLOAD_PATIENCE"):
        monkeypatch.setattr(waits, name, SHORT)
    monkeypatch.setattr(lingering, "LINGER", SHORT)
    monkeypatch.setattr(waits, "CHECKS", 0.0)
    with running_worker(Worker, threads=2, keepalive=1) as found:
        yield found


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end, what
        threading.Event().wait(0.005)


def connections(running: RunningWorker, number: int) -> None:
    """Wait until the worker has so many."""
    until(lambda: running.worker.nr_conns == number, f"{number} connections")


def begun(running: RunningWorker, path: str) -> None:
    """Wait until a thread has the request."""
    until(lambda: path in running.application.paths, f"{path} is begun")


def reported(answer: bytes) -> bytes:
    """Without what is new each time; of a refusal the status, as the rest is in another shape than gthread's."""
    if answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
        return answer[:12]
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))


def one_answer(connection: socket.socket) -> bytes:
    """The body of the next answer, which has a length; no byte more is read."""
    file = connection.makefile("rb", buffering=0)
    assert file.readline().startswith(b"HTTP/1.1 200")
    fields = dict(line.strip().split(b": ", 1) for line in iter(file.readline, b"\r\n"))
    return file.read(int(fields[b"Content-Length"])) or b""


def silent(connection: socket.socket) -> bool:
    """Whether nothing was said to it, for a moment."""
    connection.settimeout(0.1)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(SOON)
    return False


DATA = [*WHOLE.values(), *REFUSED.values(), *OPEN.values(), b"", GET[:9], GET[:-2], post(5) + b"abc"]


def test_what_is_answered_or_refused_is_as_gthread_does_it(running: RunningWorker) -> None:
    with running_worker(ThreadWorker, threads=2) as gthread:
        expected = [reported(gthread.ask(data)) for data in DATA]
    assert [reported(running.ask(data)) for data in DATA] == expected
    assert {answer[9:12] for answer in expected} >= {b"200", b"400", b""}
    connections(running, 0)


@pytest.mark.parametrize("data", [data for data in WHOLE.values() if b"HTTP/1.0" not in data])
def test_a_request_may_come_byte_by_byte(running: RunningWorker, data: bytes) -> None:
    expected = reported(running.ask(data))
    with running.connected() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            connection.sendall(bytes([byte]))
        connection.shutdown(socket.SHUT_WR)
        assert reported(rest(connection)) == expected


SLOW = {
    "silent": b"",
    "half a head": GET[:20],
    "a head but for its end": GET[:-1],
    "half of a small body": post(50) + b"abc",
    "most of a large body": post(LARGE) + bytes(COLLECTED // 2),
    "a large body that breaks off": post(LARGE) + bytes(COLLECTED),
    "a chunk": b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "a request and half of another": GET + GET[:20],
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_other_requests_are_answered_beside_more_slow_clients_than_threads(running: RunningWorker, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            connection = stack.enter_context(running.connected(sent))
            if sent.startswith(GET):
                assert one_answer(connection) == b"GET /livez 0"
        connections(running, 6)
        for _ in range(3):
            with running.connected(GET) as other:
                assert one_answer(other) == b"GET /livez 0"
                other.sendall(post(50) + bytes(50))
                assert one_answer(other) == b"POST /upload 50"
    connections(running, 0)


def test_a_kept_connection_goes_on_with_what_was_left_over(running: RunningWorker) -> None:
    with running.connected(GET + post(5)[:30]) as connection:
        assert one_answer(connection) == b"GET /livez 0"
        connection.sendall(post(5)[30:] + b"abcde" + GET)
        assert [one_answer(connection) for _ in range(2)] == [b"POST /upload 5", b"GET /livez 0"]
        until(lambda: len(running.worker.keepalived_conns) == 1, "it is kept")
        connections(running, 1)


def test_uploads_have_half_of_the_threads_in_the_order_in_which_they_came(running: RunningWorker) -> None:
    with ExitStack() as stack:
        first, *others = [stack.enter_context(running.connected()) for _ in range(3)]
        first.sendall(post(LARGE) + bytes(COLLECTED))
        begun(running, "/upload")
        for number, other in enumerate(others, 1):
            other.sendall(post(LARGE, f"/{number}") + bytes(LARGE))
            assert silent(other)
        first.sendall(bytes(LARGE - COLLECTED))
        assert one_answer(first) == b"POST /upload %d" % LARGE
        assert [one_answer(other) for other in others] == [b"POST /1 %d" % LARGE, b"POST /2 %d" % LARGE]
        assert running.application.paths == ["/upload", "/1", "/2"]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_upload_that_is_given_up_while_it_waits_is_let_go(running: RunningWorker, reset: bool) -> None:
    with running.connected(post(LARGE) + bytes(COLLECTED)) as first:
        begun(running, "/upload")
        with running.connected(post(LARGE) + bytes(COLLECTED)) as second:
            assert silent(second)
            if reset:
                second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connections(running, 1)
        first.sendall(bytes(LARGE - COLLECTED))
        assert one_answer(first) == b"POST /upload %d" % LARGE


def test_a_client_that_expects_100_continue_gets_it(running: RunningWorker) -> None:
    head = post(5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with running.connected(head) as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abcde")
        assert one_answer(connection) == b"POST /upload 5"


LATE = {
    "silent": (b"", b""),
    "half a head": (GET[:20], b""),
    "half a head that is none": (b"GARBAGE\r\n", b"HTTP/1.1 400"),
    "half a body": (post(50) + b"abc", b"HTTP/1.1 200"),
    "half an upload": (post(LARGE) + bytes(COLLECTED), b""),
}


@pytest.mark.parametrize(("sent", "begin"), LATE.values(), ids=LATE)
def test_every_wait_for_a_client_is_bounded(impatient: RunningWorker, sent: bytes, begin: bytes) -> None:
    """gunicorn and the application see a client that hung up, and answer as they do then."""
    with impatient.connected(sent) as connection:
        answer = rest(connection)
    assert answer.startswith(begin) and bool(answer) == bool(begin)
    connections(impatient, 0)


def test_a_head_that_comes_byte_by_byte_has_no_more_time(impatient: RunningWorker) -> None:
    with impatient.connected(b"GET / HTTP/1.1\r\n") as connection:
        start = time.monotonic()
        with suppress(OSError):
            while silent(connection):
                connection.sendall(b"A: b\r\n")
                assert time.monotonic() < start + SOON
        assert time.monotonic() > start + SHORT / 2


def test_the_next_upload_begins_when_one_has_been_read(running: RunningWorker) -> None:
    with running.connected(post(LARGE, "/hold") + bytes(LARGE)) as first:
        begun(running, "/hold")
        with running.connected(post(LARGE) + bytes(LARGE)) as second:
            assert one_answer(second) == b"POST /upload %d" % LARGE
        assert silent(first)
        running.application.released.set()
        assert one_answer(first) == b"POST /hold %d" % LARGE


def test_a_head_that_is_too_long_is_refused_as_the_application_refuses(running: RunningWorker) -> None:
    with running.connected(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * COLLECTED) as connection:
        refused = rest(connection)
    assert (
        refused.startswith(b"HTTP/1.1 431 ") and b"application/json" in refused and b'"code":"bad_request"' in refused
    )
    connections(running, 0)


def test_a_client_that_does_not_read_its_answer_is_let_go(
    capfd: pytest.CaptureFixture[str], impatient: RunningWorker
) -> None:
    with impatient.connected(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2) as connection:
        begun(impatient, "/large")
        connections(impatient, 0)
        assert connection.recv(1) == b"H"
    assert "Traceback" not in capfd.readouterr().err


def test_an_upload_that_waits_too_long_is_refused(running: RunningWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "UPLOAD_PATIENCE", SHORT)
    monkeypatch.setattr(waits, "CHECKS", SHORT / 10)
    with running.connected(post(LARGE, "/hold") + bytes(COLLECTED)) as first:
        begun(running, "/hold")
        with running.connected(post(LARGE) + bytes(LARGE)) as second:
            refused = rest(second)
            assert (
                refused.startswith(b"HTTP/1.1 503") and b"application/json" in refused and b'"code":"busy"' in refused
            )
        first.sendall(bytes(LARGE - COLLECTED))
        running.application.released.set()
        assert one_answer(first) == b"POST /hold %d" % LARGE


def test_connections_are_no_more_than_they_may_be() -> None:
    with running_worker(Worker, threads=2, worker_connections=4) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.connected(GET[: 5 * number])) for number in range(4)]
        connections(running, 4)
        with running.connected(GET) as late:
            assert silent(late) and running.worker.nr_conns == 4
            clients[2].close()
            assert one_answer(late) == b"GET /livez 0"


def test_a_client_that_sends_while_the_worker_stops_is_answered() -> None:
    with ExitStack() as stack:
        with running_worker(Worker, threads=2) as running:
            clients = [stack.enter_context(running.connected(sent)) for sent in (GET[:-2], post(50) + bytes(20))]
            uploads = [stack.enter_context(running.connected(post(LARGE) + bytes(COLLECTED))) for _ in range(2)]
            connections(running, 4)
            begun(running, "/upload")
            running.worker.handle_exit(15, None)
            for client, left in zip((*clients, *uploads), (2, 30, LARGE - COLLECTED, LARGE - COLLECTED), strict=True):
                client.sendall(b"\r\n" if left == 2 else bytes(left))
            answers = [rest(client) for client in (*clients, *uploads)]
        assert [answer[9:12] for answer in answers] == [b"200"] * 4
        closing = [b"\r\nConnection: close\r\n" in answer for answer in answers]
        assert closing[:2] == [True, True]
        assert sorted(closing[2:]) == [False, True]  # a thread had begun with one before the stop


def test_another_protocol_is_read_as_gthread_reads_it() -> None:
    proxied = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
    with running_worker(Worker, threads=2, proxy_protocol="v1") as running, running.connected(proxied + GET) as client:
        assert one_answer(client) == b"GET /livez 0"


def test_a_quit_that_comes_while_a_thread_is_given_a_request_ends_the_worker(running: RunningWorker) -> None:
    """The handler of a signal runs in the thread that it interrupts, which may have the lock of the pool."""
    ended = threading.Event()

    def interrupted() -> None:
        with running.worker.tpool._shutdown_lock, suppress(SystemExit):
            running.worker.handle_quit(3, None)
        ended.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert ended.wait(SOON)
