"""What one machine was asked to load or unload the others do too, once each, also if they were away."""

from pathlib import Path

import pytest
from redis import Redis

from server.errors import NotReady
from server.state.connection import Connection
from server.state.notices import REQUESTS, Notices
from server.state.secret import REFRESHED, SharedSecret
from tests.support.models.stores import make_store, poll_all, write_version
from tests.support.processes.stores import SharedServer


class Machine:
    """A server with two processes, which note what they are told to do."""

    def __init__(self, address: str, folder: Path) -> None:
        folder.mkdir()
        self.connections = [Connection(address), Connection(address)]
        self.processes = [Notices(connection, folder) for connection in self.connections]
        self.done: list[tuple[str, str]] = []

    def poll(self) -> list[tuple[str, str]]:
        """What it does now."""
        self.done.clear()
        for process in self.processes:
            process.poll(lambda model, action: self.done.append((model, action)))
        return list(self.done)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@pytest.fixture
def machines(address: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    found = [Machine(address, tmp_path / str(number)) for number in range(2)]
    yield found
    for machine in found:
        machine.close()


def test_the_others_do_what_one_was_asked_once(machines: list[Machine]) -> None:
    here, there = machines
    here.processes[0].tell("cnn", "unload")
    assert (here.poll(), there.poll(), there.poll()) == ([], [("cnn", "unload")], [])
    there.processes[1].tell("cnn", "load")
    assert (here.poll(), there.poll()) == ([("cnn", "load")], [])


def test_a_machine_that_starts_later_does_the_last_of_each(
    machines: list[Machine], address: str, tmp_path: Path
) -> None:
    here, _ = machines
    for model, action in (("cnn", "unload"), ("cnn", "load"), ("mlp", "unload")):
        here.processes[0].tell(model, action)  # type: ignore[arg-type]
    late = Machine(address, tmp_path / "late")
    assert sorted(late.poll()) == [("cnn", "load"), ("mlp", "unload")]
    late.close()


def test_requests_after_the_state_was_emptied_are_done(machines: list[Machine], server: SharedServer) -> None:
    here, there = machines
    here.processes[0].tell("cnn", "unload")
    there.poll()
    with Redis(port=server.port) as client:
        client.flushall()
    here.processes[0].tell("cnn", "load")
    assert there.poll() == [("cnn", "load")]


def test_an_emptied_state_learns_again_what_was_unloaded(
    machines: list[Machine], server: SharedServer, address: str, tmp_path: Path
) -> None:
    here, there = machines
    here.processes[0].tell("cnn", "unload")
    there.poll()
    with Redis(port=server.port) as client:
        client.flushall()
    assert (here.poll(), there.poll()) == ([], [])
    late = Machine(address, tmp_path / "late")
    assert late.poll() == [("cnn", "unload")]
    late.close()


def test_of_two_requests_that_machines_remember_the_later_counts(machines: list[Machine], server: SharedServer) -> None:
    here, there = machines
    here.processes[0].tell("cnn", "unload")
    there.poll()
    there.processes[0].tell("cnn", "load")  # here does not see it before the state is emptied
    with Redis(port=server.port) as client:
        client.flushall()
    assert here.poll() == []
    assert there.poll() == []
    assert here.poll() == [("cnn", "load")]


def test_what_could_not_be_told_is_told_later(machines: list[Machine], server: SharedServer) -> None:
    here, there = machines
    server.kill()
    here.processes[0].tell("cnn", "unload")
    here.processes[1].tell("mlp", "unload")
    server.start()
    for connection in (*here.connections, *there.connections):
        connection._until = float("-inf")  # as if some time had passed
    assert here.poll() == []
    assert sorted(there.poll()) == [("cnn", "unload"), ("mlp", "unload")]


def test_what_could_not_be_done_is_tried_again(machines: list[Machine]) -> None:
    here, there = machines
    here.processes[0].tell("cnn", "unload")

    def busy(model: str, action: str) -> None:
        raise NotReady("the workers are busy")

    with pytest.raises(NotReady):
        there.processes[0].poll(busy)
    assert there.poll() == [("cnn", "unload")]


NO_REQUESTS = [
    b"", b"[]", b'{"id": 1, "action": "load", "at": 1}', b'{"id": "1", "action": "drop", "at": 1}',
    b'{"id": "1", "action": "load", "at": "soon"}',
]  # fmt: skip


@pytest.mark.parametrize("body", NO_REQUESTS)
def test_what_is_no_request_is_left_alone(machines: list[Machine], server: SharedServer, body: bytes) -> None:
    with Redis(port=server.port) as client:
        client.hset(REQUESTS, "cnn", body)
    assert machines[0].poll() == []


def test_a_store_follows_what_another_was_asked(tmp_path: Path) -> None:
    write_version(tmp_path)
    told: list[tuple[str, str]] = []
    store = make_store(tmp_path, on_request=lambda name, action: told.append((name, action)))
    store.follow("fake", "load")  # it is loaded
    store.follow("later", "unload")
    write_version(tmp_path, "later")
    poll_all(store)
    assert list(store.served_models) == ["fake"]  # it came unloaded
    store.follow("fake", "unload")
    assert list(store.served_models) == []
    store.follow("fake", "load")
    poll_all(store)
    assert list(store.served_models) == ["fake"]
    assert told == []
    store.unload("fake")
    store.load("fake")
    assert told == [("fake", "unload"), ("fake", "load")]


def test_all_machines_sign_with_one_secret(address: str, server: SharedServer) -> None:
    connections = [Connection(address) for _ in range(2)]
    first, second = (SharedSecret(connection, own) for connection, own in zip(connections, (b"1", b"2"), strict=True))
    assert first() == second() != b"1"
    assert len(first()) >= 32
    for connection in connections:
        connection.close()


def test_without_shared_state_a_machine_signs_with_its_own_until_it_answers(address: str, server: SharedServer) -> None:
    now = [0.0]
    connection = Connection(address, now=lambda: now[0])
    secret = SharedSecret(connection, b"own", now=lambda: now[0])
    server.kill()
    assert secret() == b"own"
    server.start()
    now[0] += 10
    shared = secret()
    assert shared not in (b"own", b"")
    server.kill()
    now[0] += 10
    assert secret() == shared
    connection.close()


def test_an_emptied_state_gets_the_secret_back_and_all_agree_soon(address: str, server: SharedServer) -> None:
    now = [0.0]
    connections = [Connection(address) for _ in range(3)]
    first, second, late = (SharedSecret(one, b"own", now=lambda: now[0]) for one in connections)
    before = first()
    assert second() == before
    with Redis(port=server.port) as client:
        client.flushall()
    now[0] += REFRESHED
    assert first() == late() == second() == before
    with Redis(port=server.port) as client:
        client.flushall()
    newest = SharedSecret(connections[2], b"own", now=lambda: now[0])()  # it comes before those that know it
    now[0] += REFRESHED
    assert first() == second() == newest != before
    for connection in connections:
        connection.close()
