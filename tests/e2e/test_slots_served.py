"""Slots over HTTP: a real gunicorn with models that take their time, and clients that burst, leave or ask the same."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPResponse
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.faults.processes import eventually
from tests.support.models.slow import NOTES, SECONDS
from tests.support.models.stores import SEVEN, write_version
from tests.support.processes.servers import Running, ask, serving

LONG = "/v1/explain?method=smooth_grad&n_samples=1024"  # 16 calls of the model, and one of the removal test
LONGER = "/v1/explain?method=smooth_grad&n_samples=2000"  # 32 calls
CALLS = 17
SEEDS = count(1000)
IN_USE = re.compile(r"^inkling_explain_slots_in_use(?:{.*})? (\S+)$", re.MULTILINE)


def short() -> str:
    """A new question, so that no answer to it is cached."""
    return f"/v1/explain?method=saliency&seed={next(SEEDS)}"


def settings(folder: Path, **more: str) -> dict[str, str]:
    write_version(folder / "store")
    return {"MODEL_STORE": str(folder / "store"), "MODEL": "fake", "THREADS": "12", "EXPLAIN_SLOTS": "2", **more}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("slow")
    with serving(folder, settings(folder), explain="ready", app="tests.support.models.slow_app:app") as running:
        yield running


def calls(server: Running) -> int:
    """How often models were asked so far."""
    notes = server.log.parent / "store" / NOTES
    return notes.stat().st_size if notes.exists() else 0


def taken(server: Running, slots: int) -> None:
    """Wait until so many slots are in use."""
    deadline = time.monotonic() + 20
    while (found := in_use(server)) != slots:
        assert time.monotonic() < deadline, f"{found} slots are in use"
        time.sleep(0.01)  # polls another process


def in_use(server: Running) -> int:
    found = IN_USE.search(ask(f"{server.url}/metrics")[2].decode())
    return int(float(found[1])) if found else 0


def sent(server: Running, path: str, body: bytes = SEVEN) -> socket.socket:
    """A connection on which the request has been sent."""
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=60)
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def received(connection: socket.socket) -> tuple[int, Any]:
    """Status and JSON of the answer on a connection, which is then closed."""
    with closing(connection), HTTPResponse(connection) as response:
        response.begin()
        return response.status, json.load(response)


def timed(server: Running, path: str) -> tuple[int, dict[str, str], Any, float]:
    """Status, headers, JSON and seconds of an answer."""
    start = time.monotonic()
    try:
        with urlopen(Request(server.url + path, SEVEN), timeout=60) as response:
            return response.status, dict(response.headers), json.load(response), time.monotonic() - start
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.load(error), time.monotonic() - start


def test_clients_that_leave_free_their_slots(server: Running) -> None:
    taken(server, 0)
    before = calls(server)
    first, second = (sent(server, f"{LONG}&seed={seed}") for seed in range(2))
    taken(server, 2)
    assert timed(server, short())[0] == 503
    first.close()
    second.close()
    eventually(lambda: timed(server, short())[0] != 503, "a slot is free")
    assert calls(server) - before < 2 * CALLS  # as many as they would have asked for, had they gone on


def test_explanations_beyond_the_slots_are_refused_at_once_and_predictions_go_on(server: Running) -> None:
    taken(server, 0)
    with ThreadPoolExecutor(8) as pool:
        burst = [pool.submit(timed, server, f"{LONG}&seed={10 + seed}") for seed in range(8)]
        taken(server, 2)
        for _ in range(10):
            status, _, _, seconds = timed(server, "/v1/predict")
            assert status == 200 and seconds < 1
        answers = [one.result() for one in burst]
    assert sorted(status for status, _, _, _ in answers) == [200] * 2 + [503] * 6
    for status, headers, answer, seconds in answers:
        if status == 503:
            assert seconds < 1 and answer["code"] == "busy"
            assert 1 <= int(headers["Retry-After"]) <= 30 and f"in {headers['Retry-After']} s" in answer["error"]
        else:
            assert answer["explanation"]["certificate"]["state"] == "converged"


def test_waiters_for_an_equal_explanation_leave_threads_for_predictions(server: Running) -> None:
    taken(server, 0)
    with ThreadPoolExecutor(12) as pool:  # as many as there are threads
        burst = [pool.submit(timed, server, f"{LONG}&seed=30") for _ in range(12)]
        taken(server, 1)
        for _ in range(10):
            status, _, _, seconds = timed(server, "/v1/predict")
            assert status == 200 and seconds < 1
        answers = [one.result() for one in burst]
    assert sorted(status for status, _, _, _ in answers) == [200] * 6 + [503] * 6  # (12 threads - 2 slots) / 2 wait
    assert all(seconds < 1 and answer["code"] == "busy" for status, _, answer, seconds in answers if status == 503)


def test_equal_requests_at_once_are_computed_once(server: Running) -> None:
    taken(server, 0)
    before = calls(server)
    with ThreadPoolExecutor(6) as pool:
        answers = [one.result() for one in [pool.submit(timed, server, f"{LONG}&seed=20") for _ in range(6)]]
    assert [status for status, _, _, _ in answers] == [200] * 6
    assert len({json.dumps(answer["explanation"]) for _, _, answer, _ in answers}) == 1
    assert calls(server) - before == CALLS
    assert sum("explain;" in headers["Server-Timing"] for _, headers, _, _ in answers) == 1


def test_all_pictures_of_a_request_share_one_budget(server: Running) -> None:
    """The first has a part of its explanation, and the others are out of time in their places."""
    boundary = "next"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="7.png"\r\n\r\n'.encode()
    body = b"".join(part + SEVEN + b"\r\n" for _ in range(4)) + f"--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    start = time.monotonic()
    with urlopen(Request(f"{server.url}{LONG}&budget_ms=900", body, kind), timeout=60) as response:
        results = json.load(response)["results"]
    assert time.monotonic() - start < 3
    assert results[0]["explanation"]["certificate"]["state"] == "partial"
    assert [one.get("code") for one in results[1:]] == ["out_of_time"] * 3


@pytest.mark.parametrize(
    "path", ["/v1/compare?methods=var_grad,smooth_grad&smooth_grad.n_samples=1024", "/v1/adversarial?n_steps=200"]
)
def test_comparisons_and_attacks_take_slots_too(server: Running, path: str) -> None:
    taken(server, 0)
    with closing(sent(server, path)), closing(sent(server, path)):
        taken(server, 2)
        assert timed(server, path)[2]["code"] == timed(server, short())[2]["code"] == "busy"
    left = time.monotonic()
    while timed(server, short())[0] == 503:
        assert time.monotonic() - left < 2


@pytest.mark.parametrize(("grace", "state"), [("45", "converged"), ("3", "partial")])
def test_a_stopping_server_answers_what_it_has_accepted(tmp_path: Path, grace: str, state: str) -> None:
    """Whole where the grace time is enough, else what it has by then; a request without any result gets an error."""
    with serving(
        tmp_path, settings(tmp_path, GRACE=grace), explain="ready", app="tests.support.models.slow_app:app"
    ) as server:
        requested = [sent(server, f"{LONG}&seed={seed}") for seed in (1, 1, 2)]
        taken(server, 2)  # asked on connections after those, so they have been accepted
        server.process.send_signal(signal.SIGTERM)
        answers = [received(one) for one in requested]
        assert [status for status, _ in answers] == [200] * 3
        assert {answer["explanation"]["certificate"]["state"] for _, answer in answers} == {state}
        assert server.process.wait(10) == 0
        with pytest.raises(OSError, match="refused"):
            ask(f"{server.url}/livez")
        assert "Traceback" not in server.log.read_text()


def test_a_stopping_server_does_not_wait_for_clients_that_have_left(tmp_path: Path) -> None:
    with serving(tmp_path, settings(tmp_path), explain="ready", app="tests.support.models.slow_app:app") as server:
        with closing(sent(server, LONGER)):
            taken(server, 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25 * SECONDS) == 0  # of 32 calls of the model that are left
        assert "Traceback" not in server.log.read_text()
