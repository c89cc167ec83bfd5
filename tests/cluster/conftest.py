"""Three servers on three hosts, which start with nothing and share one Valkey and one S3 store."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.store import shipped
from tests.support.processes.hosts import Host, network
from tests.support.processes.servers import Running, ask, serving, wait_until_ready
from tests.support.processes.stores import ObjectServer, SharedServer, object_server, valkey
from training.store import remote

MOST = 300  # seconds that all may take
ADDRESS = "s3://models/store"
began = pytest.StashKey[float]()
measured = pytest.StashKey[dict[str, str]]()
NUMBER = int(shipped("mlp").name)


@dataclass
class Server:
    """One of the servers, on its host."""

    host: Host
    running: Running
    folder: Path  # the model store that follows

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, str, Any]:
        return ask(self.running.url + path, body)

    def lines(self) -> list[dict[str, Any]]:
        """Its log of requests."""
        found = []
        for line in self.running.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in found if line.get("message") == "request"]


@dataclass
class Cluster:
    """All of it; `clients` is the host that the clients are on."""

    servers: list[Server]
    clients: Host
    store: ObjectServer
    state: SharedServer
    told: dict[str, str]  # what was measured

    @property
    def variables(self) -> Mapping[str, str]:
        return self.store.variables


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        clients, *hosts = stack.enter_context(network(("clients", "one", "two", "three")))
        stack.enter_context(clients.here())  # the clients, the store and the state are on one host
        store = stack.enter_context(object_server(root / "s3", clients.address))
        state = stack.enter_context(valkey(root / "valkey", clients.address))
        for name, value in store.variables.items():
            patch.setenv(name, value)
        remote.push(remote.connect(ADDRESS), shipped("mlp"))
        remote.point(remote.connect(ADDRESS), "mlp", "stable", NUMBER)
        settings = {
            "MODEL": "mlp", "MODEL_SOURCE": ADDRESS, "SOURCE_POLL_MS": "500", "REPOSITORY": "open", "ACCESS_LOG": "on",
            "LOG_FORMAT": "json", "STATE": f"valkey://{state.host}:{state.port}",
        }  # fmt: skip
        servers = []
        for host in hosts:
            folder = root / host.name
            folder.mkdir()
            own = {**settings, "MODEL_STORE": str(folder / "models")}
            running = serving(folder, own, host=host.address, within=host.within, ready=False)
            servers.append(Server(host, stack.enter_context(running), folder / "models"))
        for server in servers:
            wait_until_ready(server.running, "ready")
        yield Cluster(servers, clients, store, state, pytestconfig.stash[measured])


def pytest_configure(config: pytest.Config) -> None:
    config.stash[measured] = {}
    config.stash[began] = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, found in config.stash[measured].items():
        terminalreporter.write_line(f"{what}: {found}")
    seconds = time.monotonic() - config.stash[began]
    terminalreporter.write_line(f"{seconds:.0f} s, of {MOST} at most", red=seconds > MOST)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if time.monotonic() - session.config.stash[began] > MOST and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
