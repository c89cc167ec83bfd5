"""The server as users start it: a real gunicorn process on a free port, asked over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent.parent.parent
SLOWEST_START = 120  # seconds, TensorFlow included, on a busy machine


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path


@contextmanager
def serving(
    folder: Path,
    settings: Mapping[str, str],
    explain: str = "off",
    app: str = "wsgi:app",
    before: Callable[[], None] | None = None,
    python: Path = Path(sys.executable),
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
    ready: bool = True,
) -> Iterator[Running]:
    """Start `app` with gunicorn.conf.py and INKLING_ `settings`, its process doing something `before`; wait until
    /readyz says that `explain` ("off", "ready"), unless it need not be `ready`, and kill it in the end. Its log is in
    `folder`. It has the packages of `python`, listens on `host`, and its command is called by `within`."""
    port, log = free_port(), folder / "server.log"
    ours = {"HOST": host, "PORT": str(port), "WORKERS": "1", "EXPLAIN": "on", **settings}
    others = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
    environment = {**others, **{f"INKLING_{key}": value for key, value in ours.items()}}
    command = [*within, str(python), "-m", "gunicorn", "-c", "gunicorn.conf.py", app]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, preexec_fn=before) as process,
    ):
        running = Running(f"http://{host}:{port}", process, log)
        try:
            if ready:
                wait_until_ready(running, explain)
            yield running
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """At once, with what it removes in the end; killed where that fails."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ask(url: str, body: bytes | None = None, timeout: float = 60) -> tuple[int, str, Any]:
    """Status, content type, and the JSON of the answer, or its bytes when it is something else."""
    try:
        with urlopen(Request(url, body), timeout=timeout) as response:
            kind = response.headers["Content-Type"]
            return response.status, kind, json.load(response) if kind == "application/json" else response.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], json.load(error)


def wait_until_ready(running: Running, explain: str) -> None:
    """Wait until /readyz says that `explain`."""
    deadline = time.monotonic() + SLOWEST_START
    answer: Any = None
    while time.monotonic() < deadline:
        assert running.process.poll() is None, running.log.read_text()
        try:
            status, _, answer = ask(f"{running.url}/readyz", timeout=5)
            if status == 200 and answer["explain"] == explain:
                return
        except (URLError, OSError):
            pass
        time.sleep(0.1)  # polls another process
    raise AssertionError(f"not ready within {SLOWEST_START} s ({answer}): {running.log.read_text()}")
