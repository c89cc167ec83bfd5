"""More connections than a worker may have files: idle ones that are kept, as browsers do."""

import resource
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

from tests.faults.processes import workers
from tests.servers import ROOT, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
FILES = 192


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


def test_a_server_takes_the_files_that_it_may_have(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))

    with serving(tmp_path, {"EXPLAIN": "off", "WORKERS": "1"}, before=low) as server:
        soft, _ = resource.prlimit(workers(server)[0], resource.RLIMIT_NOFILE)
        assert soft >= min(1000 + 16, hard)
