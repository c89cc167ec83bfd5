"""What make does: stopping `make serve` stops the server in order, and `make test-quick` leaves out what there is."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.processes import eventually
from tests.support.processes.servers import ROOT, free_port
from tests.support.quick_run import SLOW, TESTS

GRACE = 5  # seconds
SERVE = {"serve": (".venv/serve.stamp", "BIN"), "serve-lite": (".venv-lite/stamp", "LITE")}  # what it needs, and where


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(params=SERVE)
def make(port: int, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    """`make serve` and `make serve-lite`, both with the packages that the tests have."""
    stamp, folder = SERVE[request.param]
    ours = {"INKLING_EXPLAIN": "off", "INKLING_WORKERS": "1", "INKLING_GRACE": str(GRACE)}
    others = {key: value for key, value in os.environ.items() if not key.startswith(("INKLING_", "MAKE"))}
    packages = f"{folder}={Path(sys.executable).parent}"
    command = ["make", f"--assume-old={stamp}", request.param, f"PORT={port}", packages]
    with subprocess.Popen(command, cwd=ROOT, env={**others, **ours}, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # also what lost its parent
                os.killpg(process.pid, signal.SIGKILL)


def is_answered(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def below(started: int) -> list[int]:
    """What make started, its children and theirs."""
    return [started, *children(started), *(one for child in children(started) for one in children(child))]


def is_there(process: int) -> bool:
    with suppress(FileNotFoundError):
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def test_stopping_make_stops_the_server(make: "subprocess.Popen[bytes]", port: int) -> None:
    eventually(lambda: is_answered(port), "it answers")
    (started,) = children(make.pid)
    eventually(lambda: len(below(started)) >= 2, "the arbiter listens before it has a worker")
    running = below(started)
    os.kill(started, signal.SIGTERM)
    eventually(lambda: not any(map(is_there, running)), "the arbiter and its worker are gone", GRACE + 5)
    assert not is_answered(port)


def test_all_that_a_quick_run_leaves_out_is_there() -> None:
    assert [one for one in SLOW if not (TESTS / one).exists()] == []
