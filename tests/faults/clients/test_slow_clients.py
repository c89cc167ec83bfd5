"""Clients that send nothing, or a byte a second, do not delay others, at a bare worker and behind nginx."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import URLError

import pytest

from server.process.gunicorn_worker import COLLECTED
from tests.faults.processes import eventually
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT, ask, free_port, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
THREADS = 16
MANY = 500
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
TIMEOUT = 15  # seconds between two bytes of a body, for which nginx waits: deploy/nginx.conf
EXAMPLE = '# "https://your.site"'  # the line of an origin there
LONG_ENOUGH = 20  # seconds that are more than that
PATIENT = 1.0  # seconds that an ordinary client waits
DELAY = 0.1  # seconds that it may take beside slow clients


LARGE = 3 << 20  # bytes of a photo, of which no worker collects all
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
SMALL = HEAD + b"Content-Length: %d\r\n\r\n" % len(SEVEN)
BEGINS = {
    "small": SMALL,
    "large": HEAD + b"Content-Length: %d\r\n\r\n" % LARGE,
    "large, and begun": HEAD + b"Content-Length: %d\r\n\r\n" % LARGE + bytes(COLLECTED),
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(SEVEN),
}


@contextmanager
def slow_clients(port: int, number: int, begin: bytes = SMALL) -> Iterator[list[socket.socket]]:
    """`number` connections that have sent the begin of a request and go on with one byte of its body a second."""
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(begun(port, begin))) for _ in range(number)]

        def drip() -> None:
            for byte in range(len(SEVEN)):
                for client in clients:
                    with suppress(OSError):  # the test sees who is there
                        client.send(SEVEN[byte : byte + 1], socket.MSG_DONTWAIT)
                if stop.wait(1):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield clients
        finally:
            stop.set()
            thread.join()


def begun(port: int, begin: bytes = SMALL) -> socket.socket:
    """A connection on which that has been sent."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.settimeout(None)  # else a look whether something has come waits for so long
    client.sendall(begin)
    return client


def waits(client: socket.socket) -> bool:
    """Whether it is connected and nothing was said to it."""
    try:
        client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@contextmanager
def nginx(folder: Path, upstream: int, origin: str = "") -> Iterator[int]:
    """deploy/nginx.conf as it is shipped, but for its ports and an allowed `origin`; gives the port of nginx."""
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    assert f"client_body_timeout {TIMEOUT}s;" in site and "127.0.0.1:8000" in site
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    if origin:
        assert EXAMPLE in site
        site = site.replace(EXAMPLE, f'"{origin}"')
    with nginx_with(folder, site) as port:
        yield port


@contextmanager
def nginx_with(folder: Path, site: str) -> Iterator[int]:
    """nginx with this site, but for the port that it listens on, which is given."""
    if NGINX is None:
        lacking("nginx is not installed")
    port = free_port()
    assert "listen 8080;" in site
    site = site.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(
        f"daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; "
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; "
        f"include {folder}/site.conf; }}\n"
    )
    with subprocess.Popen([str(NGINX), "-p", folder, "-c", "nginx.conf", "-e", folder / "error.log"]) as process:
        try:
            eventually(lambda: answers(port), "nginx answers", 10)
            yield port
        finally:
            process.terminate()


def answers(port: int, patience: float = 5) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}/livez", timeout=patience)[0] == 200
    except (URLError, OSError):
        return False


def seconds_to_predict(port: int) -> float:
    start = time.perf_counter()
    assert ask(f"http://127.0.0.1:{port}/v1/predict", SEVEN, timeout=PATIENT)[0] == 200
    return time.perf_counter() - start


@contextmanager
def bare(folder: Path) -> Iterator[int]:
    """A server of one worker, with nothing in front of it; gives its port."""
    with serving(folder, {"EXPLAIN": "off", "THREADS": str(THREADS)}) as server:
        yield int(server.url.rpartition(":")[2])
    assert "Traceback" not in server.log.read_text()


def test_five_hundred_that_send_nothing_or_half_a_head_delay_nobody(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """And they are closed, which does not delay others either."""
    with bare(tmp_path) as port, ExitStack() as stack:
        single = sorted(seconds_to_predict(port) for _ in range(100))
        clients = [
            stack.enter_context(closing(begun(port, SMALL[: 30 * (repetition % 2)]))) for repetition in range(MANY)
        ]
        beside, start = [seconds_to_predict(port)], time.monotonic()
        assert all(map(waits, clients))
        while any(map(waits, clients)):
            assert time.monotonic() < start + LONG_ENOUGH
            beside.append(seconds_to_predict(port))
        record_property("median ms alone", f"{1000 * single[50]:.1f}")
        record_property("the first beside them", f"{1000 * beside[0]:.1f}")
        record_property("until they are let go", f"{1000 * sorted(beside)[len(beside) // 2]:.1f}")
        assert sorted(beside[:9])[len(beside[:9]) // 2] < DELAY
        assert sorted(beside)[len(beside) // 2] < DELAY  # and none took PATIENT


@pytest.mark.parametrize("begin", BEGINS.values(), ids=BEGINS)
def test_more_slow_bodies_than_threads_delay_nobody(tmp_path: Path, begin: bytes) -> None:
    with bare(tmp_path) as port, slow_clients(port, 2 * THREADS + 8, begin) as clients:
        start, beside = time.monotonic(), list[float]()
        while time.monotonic() < start + 5:
            beside.append(seconds_to_predict(port))
            assert answers(port, PATIENT)
        assert all(map(waits, clients))
        assert sorted(beside)[len(beside) // 2] < DELAY


def test_large_pictures_that_come_slowly_arrive_all(tmp_path: Path) -> None:
    """More of them than threads, each at 1 MB a second when it is read; and somebody who predicts beside them."""
    with bare(tmp_path) as port, ThreadPoolExecutor(THREADS + 4) as pool:
        uploads = [pool.submit(upload, port) for _ in range(THREADS + 4)]
        beside = [seconds_to_predict(port)]
        while not all(one.done() for one in uploads):
            beside.append(seconds_to_predict(port))
        assert [one.result() for one in uploads] == [200] * (THREADS + 4)
        assert sorted(beside)[len(beside) // 2] < DELAY


def upload(port: int) -> int:
    """The status of a large body that is sent in pieces."""
    pieces = [SEVEN, *[bytes(LARGE // 30)] * 30]
    with closing(HTTPConnection("127.0.0.1", port, timeout=90)) as connection:
        connection.putrequest("POST", "/v1/predict")
        connection.putheader("Content-Length", str(sum(map(len, pieces))))
        connection.endheaders()
        for piece in pieces:
            connection.send(piece)
            time.sleep(0.1)  # this is how slow the client is
        return connection.getresponse().status


@pytest.mark.parametrize("begin", [BEGINS["large, and begun"], BEGINS["in chunks"]], ids=["large", "in chunks"])
def test_who_sends_no_more_of_a_body_gives_way(tmp_path: Path, begin: bytes) -> None:
    """After TIMEOUT, and is told; so does who hangs up, while a thread reads and while the body waits for one."""
    with bare(tmp_path) as port, ExitStack() as stack:
        held = [stack.enter_context(closing(begun(port, begin))) for _ in range(THREADS // 2)]
        gone = [begun(port, begin) for _ in range(THREADS)]
        assert all(map(waits, [*held, *gone]))
        for client in gone:
            client.close()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(upload, port)
            eventually(lambda: not any(map(waits, held)), "they are told", LONG_ENOUGH)
            assert waiting.result() == 200
        for client in held:
            with HTTPResponse(client) as response:
                response.begin()
                check_error(response, 400, "bad_request")


def check_error(response: HTTPResponse, status: int, code: str) -> Message:
    reported = json.loads(response.read())
    assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
    assert reported["error"] and reported["code"] == code
    assert reported["request_id"] == response.headers["X-Request-ID"]
    return response.headers


def test_behind_nginx_five_hundred_of_them_harm_nobody(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """For longer than nginx waits for one that sends nothing at all, which it lets go."""
    with (
        serving(tmp_path, {"EXPLAIN": "off", "THREADS": str(THREADS)}) as server,
        nginx(tmp_path, int(server.url.rpartition(":")[2])) as port,
    ):
        single = sorted(seconds_to_predict(port) for _ in range(100))
        with slow_clients(port, MANY) as clients, closing(begun(port)) as silent:
            beside, start = [], time.monotonic()
            while time.monotonic() < start + LONG_ENOUGH:
                beside.append(seconds_to_predict(port))
                assert waits(silent) or time.monotonic() > start + TIMEOUT - 1
            assert sum(map(waits, clients)) == MANY
            eventually(lambda: not waits(silent), "nginx lets go who is silent", TIMEOUT)
        middle = sorted(beside)[len(beside) // 2]
        record_property("median ms alone", f"{1000 * single[50]:.1f}")
        record_property(f"beside them, {LONG_ENOUGH} s long", f"{1000 * middle:.1f}")
        assert len(beside) > 100  # every one was answered, within PATIENT
        assert middle < 10 * single[50] + 0.05
