"""A server, or one of its workers, is told to stop: who has connected by then is answered, accepted or not. And nobody
fails where only workers go, and others take their place."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults.load import load
from tests.faults.processes import eventually, workers
from tests.support.models.stores import SEVEN, write_version
from tests.support.processes.servers import Running, ask, serving

PREDICT = "/v1/predict"
CLIENTS = 40
THREADS = 4  # of each worker: most of the clients wait for one
SEEDS = count()
REFUSALS = {"busy", "stopping"}  # of explanations


@contextmanager
def server(folder: Path, workers_count: int) -> Iterator[Running]:
    """Explanations take 0.2 s (tests/support/models/slow.py), two at a time in each worker."""
    write_version(folder / "store")
    settings = {
        "MODEL_STORE": str(folder / "store"), "MODEL": "fake", "WORKERS": str(workers_count),
        "THREADS": str(THREADS), "EXPLAIN_SLOTS": "2",
    }  # fmt: skip
    with serving(folder, settings, explain="ready", app="tests.support.models.slow_app:app") as running:
        eventually(lambda: len(workers(running)) == workers_count, "all workers are there")
        for worker in (there := workers(running)):  # one may take all connections, so that the others must not
            with standing_still([other for other in there if other != worker]):
                eventually(lambda: ready(running), "it explains")
        yield running


def ready(running: Running) -> bool:
    return bool(ask(f"{running.url}/readyz")[2]["explain"] == "ready")


def question(number: int) -> str:
    """A prediction, or in each third place an explanation that is not cached yet."""
    return f"/v1/explain?method=saliency&seed={next(SEEDS)}" if number % 3 == 0 else PREDICT


def sent(running: Running, path: str) -> socket.socket:
    """A connection on which the request has been sent."""
    address = urlsplit(running.url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=60)
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(SEVEN)}\r\n\r\n".encode() + SEVEN)
    return connection


def received(connection: socket.socket) -> tuple[int, bytes, Any]:
    """Status, what follows the answer before the server hangs up, and the JSON of the answer; or the error that it
    ended with."""
    try:
        with closing(connection), HTTPResponse(connection) as response:
            response.begin()
            answer = json.loads(response.read())
            return response.status, connection.recv(1), answer
    except OSError as error:
        return 0, b"", repr(error)


@contextmanager
def standing_still(processes: list[int]) -> Iterator[None]:
    """They do nothing for as long as the block runs; the kernel goes on taking connections and signals for them."""
    try:
        for process in processes:
            os.kill(process, signal.SIGSTOP)
            eventually(lambda process=process: reported(process, "State").startswith("T"), "it stands still")  # type: ignore[misc]
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def reported(process: int, name: str) -> str:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def is_to_stop(process: int) -> bool:
    """Whether SIGTERM waits for the process to go on."""
    return bool(int(reported(process, "ShdPnd"), 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("number", [1, 2])
def test_who_has_connected_before_a_stop_is_answered(
    tmp_path: Path, record_property: Callable[[str, object], None], number: int
) -> None:
    with server(tmp_path, number) as running:
        worker_pids = workers(running)
        with standing_still(worker_pids):  # so that no connection is accepted before the signal
            requested = [(path := question(client), sent(running, path)) for client in range(CLIENTS)]
            running.process.send_signal(signal.SIGTERM)
            eventually(lambda: all(is_to_stop(one) for one in worker_pids), "the arbiter has told its workers")
        answers = [(path, *received(connection)) for path, connection in requested]
        record_property("answered", sum(status > 0 for _, status, _, _ in answers))
        assert [one for one in answers if one[1] not in (200, 503)] == []
        assert {status for path, status, _, _ in answers if path == PREDICT} == {200}
        assert {answer["code"] for _, status, _, answer in answers if status == 503} <= REFUSALS
        assert {rest for _, _, rest, _ in answers} == {b""}  # some may be kept: a worker need not see its signal first
        assert running.process.wait(20) == 0
        assert "Traceback" not in running.log.read_text()
        with pytest.raises(ConnectionRefusedError):
            sent(running, PREDICT)


def reload(running: Running) -> None:
    running.process.send_signal(signal.SIGHUP)


def stop_one(running: Running) -> None:
    os.kill(workers(running)[0], signal.SIGTERM)


@pytest.mark.parametrize("tell", [reload, stop_one])
def test_workers_that_give_their_place_to_others_lose_nobody(
    tmp_path: Path, record_property: Callable[[str, object], None], tell: Callable[[Running], None]
) -> None:
    with server(tmp_path, 2) as running:
        questions = [(f"{running.url}{question(number)}", SEVEN) for number in range(3)]
        with load(questions, clients=12) as outcome:
            for _ in range(2):
                before, seen = workers(running), len(outcome.statuses)
                eventually(lambda seen=seen: len(outcome.statuses) > seen + 20, "requests go on")  # type: ignore[misc]
                tell(running)
                eventually(
                    lambda before=before: set(before) - set(workers(running)) != set() and len(workers(running)) == 2,  # type: ignore[misc]
                    "others are in their place",
                )
                seen = len(outcome.statuses)
                eventually(lambda seen=seen: len(outcome.statuses) > seen + 20, "requests go on")  # type: ignore[misc]
        record_property("answered", len(outcome.statuses))
        assert outcome.failures == []
        refused = [answer for status, answer in zip(outcome.statuses, outcome.answers, strict=True) if status != 200]
        assert {answer["code"] for answer in refused} <= {*REFUSALS, "not_ready"}  # type: ignore[index]
