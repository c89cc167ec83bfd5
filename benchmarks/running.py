"""Servers under load: ours, the null handler and the peers, each a process of its own that ends with its block."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.load import Question
from benchmarks.venvs import PLACE, python_for

ROOT = Path(__file__).parent.parent
SERVED = Path(__file__).parent / "served"
SLOWEST_START = 120  # seconds


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def ours(workers: int, **settings: str) -> Iterator[str]:
    """Inkling as `make serve` starts it; gives its address as soon as a prediction is answered."""
    port = free_port()
    asked = {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": str(workers), "LOG_LEVEL": "WARNING", **settings}
    environment = {f"INKLING_{name}": value for name, value in asked.items()}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with started(command, ROOT, environment, "inkling", f"http://127.0.0.1:{port}/readyz"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def null(workers: int, threads: int = 16) -> Iterator[str]:
    """The null handler under the same gunicorn settings, its worker included."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "-k", "server.worker.Worker", "-w", str(workers), "--threads", str(threads),
        "--keep-alive", "5", "--backlog", "256", "--no-control-socket", "--worker-tmp-dir", "/dev/shm",
        "--log-level", "warning", "-b", f"127.0.0.1:{port}", "benchmarks.served.null:app",
    ]  # fmt: skip
    with started(command, ROOT, {}, "null", f"http://127.0.0.1:{port}/", b"x"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def litserve(model: Path, workers: int, batch: int, probe: Question) -> Iterator[str]:
    port = free_port()
    command = [python_for("litserve"), "litserve_app.py", model, port, workers, batch]
    with started(command, SERVED, {}, "litserve", f"http://127.0.0.1:{port}{probe.path}", probe.body):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def bentoml(model: Path, workers: int, batch: int, probe: Question) -> Iterator[str]:
    port = free_port()
    settings = {"MODEL": str(model), "WORKERS": str(workers), "BATCH": str(batch), "BENTOML_DO_NOT_TRACK": "True"}
    command = [
        python_for("bentoml").parent / "bentoml", "serve", "bentoml_app:Digits", "--port", port, "--host", "127.0.0.1",
    ]  # fmt: skip
    with started(command, SERVED, settings, "bentoml", f"http://127.0.0.1:{port}{probe.path}", probe.body):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def mlserver(model: Path, workers: int, batch: int, probe: Question, folder: Path) -> Iterator[str]:
    """`workers` 0 = the model runs in the process that answers."""
    port, home = free_port(), folder / f"mlserver-{workers}-{batch}"
    home.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (home / "settings.json").write_text(json.dumps({"parallel_workers": workers, "host": "127.0.0.1", **ports}))
    batching = {"max_batch_size": batch, "max_batch_time": 0.001} if batch > 1 else {}
    (home / "model-settings.json").write_text(
        json.dumps({"name": "cnn", "implementation": "runtime.Digits", **batching})
    )
    settings = {"MODEL": str(model), "PYTHONPATH": f"{SERVED / 'mlserver'}:{SERVED}"}
    command = [python_for("mlserver").parent / "mlserver", "start", home]
    with started(command, home, settings, "mlserver", f"http://127.0.0.1:{port}{probe.path}", probe.body):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def started(
    command: Sequence[object], folder: Path, settings: Mapping[str, str], name: str, url: str, body: bytes | None = None
) -> Iterator[None]:
    """The process group of `command`, from when `url` answers until the block ends.

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
            _wait(process, url, body, PLACE / f"{name}.log")
            yield
        finally:
            _end(process.pid)


def _end(process: int) -> None:
    """Kill a process and all that it started, also what has left its group, as BentoML's workers do. It goes first: it
    might start others in their place."""
    children = _children(process)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    for child in children:
        _end(child)


def _children(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []


def _wait(process: "subprocess.Popen[bytes]", url: str, body: bytes | None, log: Path) -> None:
    deadline = time.monotonic() + SLOWEST_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it does not start; its last words are in {log}")
        try:
            headers = {"Content-Type": "application/json"}
            with urlopen(Request(url, body, headers), timeout=10) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.05)  # polls another process
    raise RuntimeError(f"not ready within {SLOWEST_START} s; see {log}")
