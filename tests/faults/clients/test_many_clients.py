"""More connections than a worker may have files: idle ones that are kept, as browsers do."""

import resource
import socket
from collections import Counter
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

from tests.faults.connections import all_answer, holder, opened
from tests.faults.processes import eventually, workers
from tests.support.processes.servers import ROOT, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
FILES = 192
ROUNDS, TOGETHER = 10, 8


def scarce() -> None:
    """Few files for a process, whatever it asks for."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def test_more_kept_connections_than_files_harm_nobody(tmp_path: Path) -> None:
    with serving(tmp_path, {"EXPLAIN": "off", "WORKERS": "1", "THREADS": "4"}, before=scarce) as server:
        before = workers(server)
        port = int(server.url.rpartition(":")[2])
        with ExitStack() as kept:
            for _ in range(FILES + 20):
                client = kept.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=30)))
                client.request("GET", "/livez")
                assert client.getresponse().read()  # at the latest when idle ones have had their time
        assert ask(f"{server.url}/v1/predict", SEVEN)[0] == 200
        assert workers(server) == before
        assert "Too many open files" not in server.log.read_text()


def test_connections_that_come_together_are_shared_out(tmp_path: Path) -> None:
    """As those of a proxy, which keeps them: a worker that has none has nothing to do for as long."""
    held: Counter[int] = Counter()
    with serving(tmp_path, {"EXPLAIN": "off", "WORKERS": "2"}) as server:
        eventually(lambda: len(all_answer(server, SEVEN)) == 2, "both workers answer")
        for _ in range(ROUNDS):
            with ExitStack() as kept:
                clients = [kept.enter_context(closing(opened(server))) for _ in range(TOGETHER)]
                address = (clients[0].host, clients[0].port)
                for client in clients:
                    client.sock = socket.socket()
                    client.sock.setblocking(False)
                    client.sock.connect_ex(address)
                for client in clients:
                    client.sock.settimeout(30)
                    client.request("POST", "/v1/predict", SEVEN)
                for client in clients:
                    with client.getresponse() as response:
                        assert response.status == 200 and response.read()
                held.update(holder(server, client) for client in clients)
    assert min(held[worker] for worker in held) > ROUNDS * TOGETHER / 6 and len(held) == 2, held


def test_a_server_takes_the_files_that_it_may_have(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))

    with serving(tmp_path, {"EXPLAIN": "off", "WORKERS": "1"}, before=low) as server:
        soft, _ = resource.prlimit(workers(server)[0], resource.RLIMIT_NOFILE)
        assert soft >= min(1000 + 16, hard)
