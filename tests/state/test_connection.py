"""A shared state that is away costs one short wait a second, and is used again when it is back."""

import socket
import time
from collections.abc import Iterator

import pytest

from server.state.connection import RETRY_AFTER, TIMEOUT, Away, Connection
from tests.support.clock import Clock
from tests.support.processes.stores import SharedServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and answers nothing, as behind a line that was cut."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_a_command_is_answered(address: str, clock: Clock) -> None:
    told: list[bool] = []
    connection = Connection(address, told.append, clock)
    assert connection.call(lambda client: client.set("a", "b")) is True
    assert connection.call(lambda client: client.get("a")) == b"b"
    assert told == [True]
    connection.close()


def test_after_an_error_nobody_asks_for_a_while(server: SharedServer, address: str, clock: Clock) -> None:
    told: list[bool] = []
    connection = Connection(address, told.append, clock)
    connection.call(lambda client: client.ping())
    server.kill()
    asked: list[int] = []

    def ask(client: object) -> None:
        asked.append(1)
        client.ping()  # type: ignore[attr-defined]

    for _ in range(3):
        with pytest.raises(Away):
            connection.call(ask)
    assert (len(asked), told) == (1, [True, False])
    server.start()
    with pytest.raises(Away):
        connection.call(ask)
    clock.seconds += RETRY_AFTER
    connection.call(ask)
    assert (len(asked), told) == (2, [True, False, True])
    connection.close()


def test_a_connection_that_the_other_side_closed_is_made_anew(server: SharedServer, address: str) -> None:
    told: list[bool] = []
    connection = Connection(address, told.append)
    connection.call(lambda client: client.ping())
    server.kill()
    server.start()
    assert connection.call(lambda client: client.ping())
    assert told == [True]
    connection.close()


def test_a_state_that_answers_nothing_holds_nobody_up(silent: int) -> None:
    connection = Connection(f"redis://127.0.0.1:{silent}")
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(Away):
            connection.call(lambda client: client.ping())
    assert time.monotonic() - began < 50 * TIMEOUT  # one wait, not one for each
    connection.close()


def test_what_another_program_keeps_there_is_no_error_of_ours(address: str, connection: Connection) -> None:
    connection.call(lambda client: client.set("list", "text"))
    with pytest.raises(Away):
        connection.call(lambda client: client.lpush("list", "x"))  # WRONGTYPE
