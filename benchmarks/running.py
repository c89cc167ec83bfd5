"""Servers under load, each a process of its own that ends with its block."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.venvs import PLACE

ROOT = Path(__file__).parent.parent
SLOWEST_START = 120  # seconds

Ready = Callable[[], bool]
"""Whether a server answers yet. What goes wrong meanwhile (OSError) says that it does not."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Ready:
    """A request to `url` is answered with 200."""

    def ready() -> bool:
        request = Request(url, body, {"Content-Type": "application/json", **(headers or {})})
        with urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)

    return ready


def listens(port: int) -> Ready:
    """A connection to `port` is accepted."""

    def ready() -> bool:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        return True

    return ready


@contextmanager
def started(
    command: Sequence[object], folder: Path, settings: Mapping[str, str], name: str, ready: Ready
) -> Iterator[None]:
    """The process group of `command`, from when it is ready until the block ends; it writes to runs/bench/<name>.log.

    Not a session of its own: Linux shares processors out among sessions first (autogroup), whatever their threads'
    niceness, so that the client would wait for threads that yield to everybody, and be measured with them."""
    PLACE.mkdir(parents=True, exist_ok=True)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        (PLACE / f"{name}.log").open("w") as log,
        subprocess.Popen(
            [str(word) for word in command], cwd=folder, env={**inherited, **quiet, **settings}, stdout=log, stderr=log,
            process_group=0,
        ) as process,
    ):  # fmt: skip
        try:
            _wait(process, ready, PLACE / f"{name}.log")
            yield
        finally:
            _end(process.pid)


def children(process: int) -> list[int]:
    """The processes that a process has started and that still run."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []


def _end(process: int) -> None:
    """Kill a process and all that it started, also what has left its group, as BentoML's workers do. It goes first: it
    might start others in their place."""
    started_by_it = children(process)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    for child in started_by_it:
        _end(child)


def _wait(process: "subprocess.Popen[bytes]", ready: Ready, log: Path) -> None:
    deadline = time.monotonic() + SLOWEST_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it does not start; its last words are in {log}")
        with suppress(OSError):
            if ready():
                return
        time.sleep(0.05)  # polls another process
    raise RuntimeError(f"not ready within {SLOWEST_START} s; see {log}")
