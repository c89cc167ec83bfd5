"""The real thing: gunicorn, our settings, a trained model, and a client that knows only HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.stores import SEVEN

ROOT = Path(__file__).parent.parent
SLOWEST_START = 90  # seconds, on a busy machine
MIB = 1 << 20


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ask(url: str, body: bytes | None = None, timeout: float = 20) -> tuple[int, str, Any]:
    """Status, content type and JSON."""
    try:
        with urlopen(Request(url, body), timeout=timeout) as response:
            return response.status, response.headers["Content-Type"], json.load(response)
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], json.load(error)


def send_too_much(url: str, body: bytes) -> tuple[int, str, Any]:
    """As `ask`, for a server that answers before it has read all: urllib would stop at the broken pipe."""
    address = urlsplit(url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=20)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", address.path, body)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], json.load(response)


def wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SLOWEST_START
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if ask(f"{url}/readyz", timeout=5)[0] == 200:
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"not ready within {SLOWEST_START} s: {log.read_text()}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Path]]:
    """Address, process and log of a server that is ready."""
    port, log = free_port(), tmp_path / "log"
    ours = {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1", "EXPLAIN": "off", "MODEL": "cnn"}
    others = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
    environ = {**others, **{f"INKLING_{key}": value for key, value in ours.items()}}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with log.open("wb") as out, subprocess.Popen(command, cwd=ROOT, env=environ, stdout=out, stderr=out) as server:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}", server, log
        finally:
            server.kill()


@pytest.mark.skipif(not (ROOT / "model_store" / "cnn").is_dir(), reason="needs the trained model model_store/cnn")
def test_it_starts_answers_refuses_and_stops(served: tuple[str, "subprocess.Popen[bytes]", Path]) -> None:
    url, server, log = served
    example = ROOT / "examples" / "7.png"
    picture = example.read_bytes() if example.is_file() else SEVEN

    # urllib says application/x-www-form-urlencoded, as curl --data-binary does
    status, kind, answer = ask(f"{url}/v1/predict", picture)
    assert (status, kind) == (200, "application/json")
    assert (answer["prediction"]["label"], answer["model"]["name"]) == ("7", "cnn")
    assert answer["prediction"]["probability"] > 0.5
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)

    status, kind, answer = send_too_much(f"{url}/v1/predict", picture + bytes(12 * MIB))
    assert (status, kind, answer["code"]) == (413, "application/json", "body_too_large")

    status, kind, answer = ask(f"{url}/v1/explain", picture)
    assert (status, kind, answer["code"]) == (503, "application/json", "not_ready")
    assert ask(f"{url}/v1/predict", picture)[0] == 200

    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0
    assert "Traceback" not in log.read_text()
