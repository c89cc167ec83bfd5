"""Clients that send a byte a second: they hold a bare worker's threads, and behind nginx they harm nobody."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import URLError

from tests.faults.processes import eventually
from tests.needs import lacking
from tests.servers import ROOT, ask, free_port, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
THREADS = 16
MANY = 500
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
TIMEOUT = 15  # seconds between two bytes of a body, for which nginx waits: deploy/nginx.conf
LONG_ENOUGH = 20  # seconds that are more than that
PATIENT = 1.0  # seconds that a client waits who is used to milliseconds


@contextmanager
def slow_clients(port: int, number: int) -> Iterator[list[socket.socket]]:
    """`number` connections that have sent the head of a request and go on with one byte of its body a second."""
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(begun(port))) for _ in range(number)]

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


def begun(port: int) -> socket.socket:
    """A connection on which the head of a request has been sent."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.settimeout(None)  # else whoever looks whether something has come waits for so long
    client.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(SEVEN)}\r\n\r\n".encode())
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
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """deploy/nginx.conf as it is shipped, but for its ports; gives the port that it listens on."""
    if NGINX is None:
        lacking("nginx is not installed")
    port = free_port()
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    assert f"client_body_timeout {TIMEOUT}s;" in site and "listen 8080;" in site and "127.0.0.1:8000" in site
    (folder / "site.conf").write_text(
        site.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    )
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


def test_as_many_slow_clients_as_threads_starve_a_bare_worker(tmp_path: Path) -> None:
    """Why there is a deploy/nginx.conf."""
    with serving(tmp_path, {"EXPLAIN": "off", "THREADS": str(THREADS)}) as server:
        port = int(server.url.rpartition(":")[2])
        with slow_clients(port, THREADS):
            eventually(lambda: not answers(port, PATIENT), "all threads are held", 20)
        assert seconds_to_predict(port) < PATIENT


def test_what_nginx_refuses_itself_has_the_shape_of_our_errors(tmp_path: Path) -> None:
    with (
        serving(tmp_path, {"EXPLAIN": "off"}) as server,
        nginx(tmp_path, int(server.url.rpartition(":")[2])) as port,
    ):
        check_refusal(port, 12 << 20, 415, "unsupported_image")  # ours: as much as is read, and no picture
        check_refusal(port, (12 << 20) + 1, 413, "body_too_large")
        for unread in (
            b"GARBAGE\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            b"GET /livez?" + bytes(b"x" * 9000) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + bytes(b"x" * 40_000) + b"\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client, HTTPResponse(client) as response:
                client.sendall(unread)
                response.begin()
                check_error(response, 400, "bad_request")
        server.process.terminate()
        server.process.wait(30)
        assert check_refusal(port, 1, 503, "not_ready")["Retry-After"] == "2"


def check_refusal(port: int, size: int, status: int, code: str) -> Message:
    """Post so many bytes; the headers of the answer, which is an error as Inkling tells it."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/v1/predict", bytes(size))
        return check_error(connection.getresponse(), status, code)


def check_error(response: HTTPResponse, status: int, code: str) -> Message:
    told = json.loads(response.read())
    assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
    assert told["error"] and told["code"] == code
    assert told["request_id"] == response.headers["X-Request-ID"]
    return response.headers


def test_behind_nginx_five_hundred_of_them_harm_nobody(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """For longer than nginx waits for one that sends nothing at all, which it lets go."""
    with (
        serving(tmp_path, {"EXPLAIN": "off", "THREADS": str(THREADS)}) as server,
        nginx(tmp_path, int(server.url.rpartition(":")[2])) as port,
    ):
        alone = sorted(seconds_to_predict(port) for _ in range(100))
        with slow_clients(port, MANY) as clients, closing(begun(port)) as silent:
            beside, start = [], time.monotonic()
            while time.monotonic() < start + LONG_ENOUGH:
                beside.append(seconds_to_predict(port))
                assert waits(silent) or time.monotonic() > start + TIMEOUT - 1
            assert sum(map(waits, clients)) == MANY
            eventually(lambda: not waits(silent), "nginx lets go who is silent", TIMEOUT)
        middle = sorted(beside)[len(beside) // 2]
        record_property("median ms alone", f"{1000 * alone[50]:.1f}")
        record_property(f"beside them, {LONG_ENOUGH} s long", f"{1000 * middle:.1f}")
        assert len(beside) > 100  # every one was answered, within PATIENT
        assert middle < 10 * alone[50] + 0.05
