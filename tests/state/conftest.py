"""A Valkey for the tests of this folder, empty at the beginning of each."""

from collections.abc import Iterator

import pytest
from redis import Redis

from server.state.connection import Connection
from tests.support.processes.stores import SharedServer, valkey


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def server(running: SharedServer) -> SharedServer:
    if running.process is None:
        running.start()
    with Redis(port=running.port) as client:
        client.flushall()
    return running


@pytest.fixture
def address(server: SharedServer) -> str:
    return f"valkey://127.0.0.1:{server.port}"


@pytest.fixture
def connection(address: str) -> Iterator[Connection]:
    found = Connection(address)
    yield found
    found.close()
