"""The clock of a running server is set on by a day, and back by a day: what waits or ends goes by another clock, and
what goes by this one is right again at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.auth.test_keys import bearer, write_keys
from tests.faults.clock.sitecustomize import FILE
from tests.faults.connections import all_answer
from tests.faults.load import load
from tests.faults.processes import eventually, workers
from tests.support.models.stores import SEVEN, copy_version, write_version
from tests.support.processes.servers import Running, ask, serving

DAY = 24 * 3600
STEPS = (DAY, 0, -DAY, 0)  # seconds from the clock at the start
EXPLAIN = "/v1/explain?method=saliency&version=1"


@dataclass(frozen=True)
class ServersClock:
    """The clock of the servers that are started while it is there."""

    path: Path

    def set_off(self, seconds: int) -> None:
        aside = self.path.with_suffix(".aside")
        aside.write_text(str(seconds))
        aside.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServersClock:
    clock = ServersClock(tmp_path / "offset")
    clock.set_off(0)
    monkeypatch.setenv(FILE, str(clock.path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "clock"))
    return clock


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[Running]:
    """Models that explain in a moment."""
    write_version(folder / "store")
    environment = {"MODEL_STORE": str(folder / "store"), "MODEL": "fake", "POLL_MS": "100", **settings}
    with serving(folder, environment, explain="ready", app="tests.support.models.slow_app:app") as server:
        yield server


def off(server: Running) -> float:
    """By how many seconds the clock of a worker is off, by the date of its answer."""
    with urlopen(f"{server.url}/livez") as response:
        return (parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)).total_seconds()


def all_serve(server: Running, version: str) -> bool:
    return all(ask(f"{server.url}/v1/models/fake")[2]["default"] == version for _ in range(20))


def test_steps_of_the_clock_under_load_harm_nobody(tmp_path: Path, clock: ServersClock) -> None:
    with served(tmp_path, WORKERS="2", KEEP_SECONDS="3600") as server:
        eventually(lambda: all(ask(f"{server.url}/readyz")[2]["explain"] == "ready" for _ in range(20)), "both explain")
        both, first = all_answer(server, SEVEN), ask(server.url + EXPLAIN, SEVEN)[2]
        requested = [f"{EXPLAIN}&seed={number}" for number in range(1000)]  # one is always under way
        requested = [server.url + path for explain in requested for path in ("/v1/predict", explain)]
        with load([(url, SEVEN) for url in requested], 2, pause=0.02) as outcome:
            for version, offset in enumerate(STEPS, 2):
                clock.set_off(offset)
                seen = len(outcome.statuses)
                eventually(lambda seen=seen: len(outcome.statuses) > seen + 20, "requests go on")  # type: ignore[misc]
                assert off(server) == pytest.approx(offset, abs=5)
                assert ask(server.url + EXPLAIN, SEVEN) == (200, "application/json", first)  # kept, or made anew
                assert ask(server.url + first["links"]["png"])[0] == 200
                copy_version(tmp_path / "store", version, "fake", tmp_path / "store" / "fake" / "1")
                eventually(lambda version=str(version): all_serve(server, version), "both serve the next version")  # type: ignore[misc]
                assert ask(f"{server.url}/readyz")[0] == 200
        assert outcome.failures == [] and set(outcome.statuses) == {200}
        assert set(workers(server)) == both
        assert "Traceback" not in server.log.read_text()


def test_signed_links_go_by_the_clock_as_it_is(tmp_path: Path, clock: ServersClock) -> None:
    """One made before a step on has ended, and is good again when that is undone."""
    key = write_keys(tmp_path / "keys", web="predict,explain")["web"]

    def link() -> str:
        with urlopen(Request(server.url + EXPLAIN, SEVEN, bearer(key)), timeout=60) as response:
            return server.url + str(json.load(response)["links"]["png"])

    with served(tmp_path, WORKERS="2", KEYS_FILE=str(tmp_path / "keys")) as server:
        first = link()
        for offset in STEPS:
            clock.set_off(offset)
            assert ask(first)[0] == (401 if offset > 0 else 200)
            assert ask(link())[0] == 200
