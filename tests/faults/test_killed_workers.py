"""kill -9 of a worker under load: the others go on, and another takes its place; and of a whole server."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event

import pytest

from tests.faults.connections import holder, opened, predict, spread
from tests.faults.processes import eventually, workers
from tests.support.processes.servers import ROOT, Running, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
EACH = 4  # clients of each worker, which have one request on its way each
KILLS = 6


@dataclass
class Client:
    """Asks without pause on one connection, and on a new one where that breaks."""

    server: Running
    connection: HTTPConnection
    worker: int  # that has the connection
    answered: Counter[int] = field(default_factory=Counter)  # by worker
    lost: list[int] = field(default_factory=list)  # the worker of each request that had no answer
    statuses: set[int] = field(default_factory=set)

    def ask_until(self, stop: Event) -> None:
        with closing(self.connection):
            while not stop.is_set():
                self._ask()

    def _ask(self) -> None:
        try:
            fresh = self.connection.sock is None
            self.statuses.add(predict(self.connection, SEVEN))
        except (HTTPException, OSError):
            self.connection.close()
            self.lost.append(self.worker)
            self.worker = 0  # not known before one has answered: nothing may be lost then
            return
        if fresh:
            self.worker = holder(self.server, self.connection)
        self.answered[self.worker] += 1


@contextmanager
def busy(server: Running, connections: Mapping[int, list[HTTPConnection]]) -> Iterator[list[Client]]:
    """A client for each of the connections, until the block ends."""
    clients = [Client(server, one, worker) for worker, those in connections.items() for one in those]
    stop = Event()
    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(client.ask_until, stop) for client in clients]
        try:
            yield clients
        finally:
            stop.set()
        for one in running:
            one.result()


def answers_until_another_is_ready(server: Running, victim: int, survivor: int) -> int:
    """How many new clients the survivor answers, every one of them at once, before the newcomer answers one."""
    answers = 0
    while True:
        with closing(opened(server)) as connection:
            assert predict(connection, SEVEN) == 200
            found = holder(server, connection)
        assert found != victim
        if found != survivor:
            return answers
        answers += 1


def test_a_killed_worker_takes_only_its_own_requests_with_it(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    lost, answered, meanwhile = 0, 0, []
    with serving(tmp_path, {"WORKERS": "2", "EXPLAIN": "off"}) as server:
        for kill in range(KILLS):
            eventually(lambda: len(workers(server)) == 2, "there are two")
            connections = spread(server, SEVEN, EACH)
            victim, survivor = sorted(connections, reverse=bool(kill % 2))
            with busy(server, connections) as clients:
                eventually(lambda clients=clients: all(sum(one.answered.values()) > 20 for one in clients), "all ask")  # type: ignore[misc]
                before = [one.answered[survivor] for one in clients]
                os.kill(victim, signal.SIGKILL)
                meanwhile.append(answers_until_another_is_ready(server, victim, survivor))
                assert victim not in workers(server) and survivor in workers(server)
                after = [one.answered[survivor] for one in clients]
            # one of each of its clients: that which it was answering
            assert Counter(worker for one in clients for worker in one.lost) == {victim: EACH}
            assert {status for one in clients for status in one.statuses} == {200}
            expected = [number for number, one in enumerate(clients) if not one.lost]
            assert len(expected) == EACH and all(after[number] > before[number] for number in expected)
            lost += EACH
            answered += sum(sum(one.answered.values()) for one in clients)
        assert len(workers(server)) == 2
    record_property("answered", answered)
    record_property("lost with the killed", lost)
    record_property("new clients answered before the next worker was there, at least", min(meanwhile))
    assert min(meanwhile) > 0


def test_the_next_server_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(tmp_path, {"EXPLAIN": "off"}) as first:
        (left,) = tmp_path.glob("inkling-*")
        held = workers(first)
        first.process.kill()
        first.process.wait()
        eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in held), "the workers end")
    assert left.is_dir()
    with serving(tmp_path, {"EXPLAIN": "off"}):
        assert not left.exists() and len(list(tmp_path.glob("inkling-*"))) == 1
