"""Versions that come and go under a real server with two workers, asked over new connections so that both answer."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import PATIENCE
from tests.support.models.stores import copy_version, point
from tests.support.processes.servers import ROOT, Running, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
ASKED = 24  # times: that one of two workers answers none of them does not happen
NOTICED = 5  # seconds until a new version is served, looked for as often as it is by default
AGREED = 0.5  # seconds without another word, five looks of each worker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    copy_version(root, 1)
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("versions")
    settings = {
        "WORKERS": "2", "EXPLAIN": "off", "MODEL_STORE": str(store), "MODEL": "mlp", "POLL_MS": "100",
        "REPOSITORY": "open",
    }  # fmt: skip
    with serving(folder, settings) as running:
        yield running


def reported(server: Running) -> Any:
    return ask(f"{server.url}/v1/models/mlp")[2]


def all_tell(server: Running, holds: Callable[[Any], bool]) -> bool:
    """Asked by several at once, so that no worker is left out."""
    with ThreadPoolExecutor(8) as pool:
        return all(holds(one) for one in pool.map(lambda _: reported(server), range(ASKED)))


def soon(server: Running, holds: Callable[[Any], bool]) -> None:
    """First one worker tells it; within two seconds all do, and none tells anything else any more."""
    deadline = time.monotonic() + PATIENCE
    while not holds(reported(server)):
        assert time.monotonic() < deadline, (reported(server), server.log.read_text())
    first = since = time.monotonic()
    while time.monotonic() < since + AGREED:
        if not all_tell(server, holds):
            since = time.monotonic()
            assert since < first + 2, reported(server)


def test_a_new_version_is_served_by_all_workers_and_moves_with_its_label(server: Running, store: Path) -> None:
    point(store, {"stable": 1})
    copy_version(store, 2)
    soon(server, lambda now: now["versions"] == ["1", "2"] and now["default"] == "1")
    point(store, {"stable": 2})
    soon(server, lambda now: now["default"] == "2")
    answers = [ask(f"{server.url}/v1/predict", SEVEN) for _ in range(ASKED)]
    assert {(status, answer["model"]["version"]) for status, _, answer in answers} == {(200, "2")}


def test_all_workers_report_broken_labels_and_versions_and_change_nothing(server: Running, store: Path) -> None:
    before = reported(server)
    (store / "mlp" / "labels.json").write_text("{")
    with (copy_version(store, 9) / "saved_model.pb").open("ab") as file:
        file.write(b"x")
    soon(server, lambda now: set(now["refused"]) == {"9", "labels.json"})
    now = reported(server)
    assert "saved_model.pb has SHA-256" in now["refused"]["9"] and str(store) not in str(now)
    assert (now["versions"], now["default"], now["labels"]) == (before["versions"], before["default"], before["labels"])


def test_a_killed_worker_comes_back_with_what_the_others_serve(server: Running, store: Path) -> None:
    before = reported(server)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    victim = children.read_text().split()[0]
    os.kill(int(victim), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while victim in children.read_text().split() or len(children.read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polls another process
    soon(server, lambda now: now == before)
    number = max(map(int, before["versions"])) + 1
    copy_version(store, number)  # the dead one does not delay the others
    soon(server, lambda now: str(number) in now["versions"])


def test_all_workers_unload_and_load_before_the_request_is_answered(server: Running) -> None:
    before = reported(server)
    assert ask(f"{server.url}/v2/repository/models/mlp/unload", b"")[0] == 200
    answers = [ask(f"{server.url}/v1/predict", SEVEN) for _ in range(ASKED)]
    assert {(status, answer["code"]) for status, _, answer in answers} == {(404, "unknown_model")}
    listed = [ask(f"{server.url}/v2/repository/index", b"")[2] for _ in range(ASKED)]
    assert {one["reason"] for index in listed for one in index} == {"unloaded"}
    assert ask(f"{server.url}/v2/repository/models/mlp/load", b"")[0] == 200
    assert all_tell(server, lambda now: now["versions"] == before["versions"])
    assert {ask(f"{server.url}/v1/predict", SEVEN)[0] for _ in range(ASKED)} == {200}
    status, _, answer = ask(f"{server.url}/v2/repository/models/nothing/load", b"")
    assert status >= 400 and "nothing" in answer["error"]


def test_a_new_version_is_noticed_within_seconds_as_the_server_is_shipped(tmp_path: Path) -> None:
    copy_version(tmp_path / "models", 1)
    settings = {"EXPLAIN": "off", "WORKERS": "2", "MODEL_STORE": str(tmp_path / "models"), "MODEL": "mlp"}
    with serving(tmp_path, settings) as running:
        copy_version(tmp_path / "models", 2)
        appeared = time.monotonic()
        while reported(running)["versions"] != ["1", "2"]:
            assert time.monotonic() - appeared < NOTICED, running.log.read_text()
            time.sleep(0.05)  # polls another process
        soon(running, lambda now: now["versions"] == ["1", "2"])
