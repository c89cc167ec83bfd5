"""Models in a real S3 store: pushed by several writers, followed by a server that starts with nothing."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.store import shipped
from server.models.repository.follower import Follower
from server.models.repository.object_store import AlreadyThere, ObjectStore
from tests.support.models.stores import SEVEN, copy_version, write_version
from tests.support.processes.servers import ROOT, Running, ask, serving
from tests.support.processes.stores import ObjectServer, object_server
from training.errors import DataError
from training.store import remote

PASSWORD = "sword" + "fish"
PATIENCE = 30  # seconds, on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def address(server: ObjectServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store of the test's own."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{request.node.name[:60].replace('[', '-').strip(']')}"


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polls another process
    return found


def state(running: Running) -> dict[str, Any]:
    return dict(ask(f"{running.url}/v1/models/mlp")[2])


def test_an_object_of_s3_is_created_once(address: str) -> None:
    store = ObjectStore(address)
    store.create("a.json", b"first")
    with pytest.raises(AlreadyThere):
        store.create("a.json", b"second")
    assert (store.read("a.json", 1 << 20), list(store.listing())) == (b"first", ["a.json"])


def test_writers_at_the_same_time_lose_no_label(address: str) -> None:
    names = [f"label{number}" for number in range(4)]
    threads = [threading.Thread(target=remote.point, args=(ObjectStore(address), "fake", name, 1)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote.labels_of(ObjectStore(address), "fake") == (4, dict.fromkeys(names, 1))


def test_of_two_versions_of_one_number_one_is_there_and_whole(address: str, tmp_path: Path) -> None:
    folders = [write_version(tmp_path / str(one), "fake", "1", temperature=float(one)) for one in (1, 2)]
    outcomes: list[str] = []

    def push(folder: Path) -> None:
        try:
            remote.push(ObjectStore(address), folder)
            outcomes.append("written")
        except DataError:
            outcomes.append("refused")

    threads = [threading.Thread(target=push, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "written"]
    assert Follower(ObjectStore(address), tmp_path / "here").poll() == ["fake/1"]


def test_a_push_that_was_killed_shows_nothing_and_can_be_done_again(address: str, tmp_path: Path) -> None:
    folder = write_version(tmp_path, "fake", "1")
    code = (
        "import os, signal, sys; from pathlib import Path; from training.store import remote\n"
        "remote.push(remote.connect(sys.argv[1]), Path(sys.argv[2]), lambda path: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", code, address, str(folder)], cwd=ROOT)
    assert killed.returncode == -9
    store = ObjectStore(address)
    assert len(store.listing()) == 1
    assert Follower(store, tmp_path / "here").poll() == []
    remote.push(store, folder)
    assert Follower(store, tmp_path / "there").poll() == ["fake/1"]


def test_a_server_that_starts_with_nothing_serves_what_is_pushed(
    server: ObjectServer, address: str, tmp_path: Path
) -> None:
    remote.push(ObjectStore(address), shipped("mlp"))
    number = int(shipped("mlp").name)
    settings = {"MODEL": "mlp", "MODEL_STORE": str(tmp_path / "here"), "MODEL_SOURCE": address, "SOURCE_POLL_MS": "200"}
    with serving(tmp_path, settings, explain="ready") as running:
        assert ask(f"{running.url}/v1/predict", SEVEN)[2]["prediction"]["class"] == 7
        remote.push(ObjectStore(address), copy_version(tmp_path / "more", number + 1))
        until(lambda: str(number + 1) in state(running)["versions"])
        remote.point(ObjectStore(address), "mlp", "stable", number)
        until(lambda: state(running)["labels"] == {"stable": str(number)})
        server.kill()
        until(lambda: "the store that is followed does not answer" in running.log.read_text())
        for _ in range(10):
            assert ask(f"{running.url}/v1/predict", SEVEN)[0] == 200
        server.start()
        server.make_bucket()
        remote.point(ObjectStore(address), "mlp", "canary", number + 1)
        until(lambda: state(running)["labels"].get("canary") == str(number + 1))
    assert json.loads((tmp_path / "here/mlp/.source.json").read_text())["notes"] == []


class Quiet(SimpleHTTPRequestHandler):
    """A web server that logs nothing."""

    def log_message(self, *facts: object) -> None: ...


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and where a web server has it; the address has a password."""
    folder = tmp_path / "web"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_web_server_is_a_source_and_no_password_is_told(
    web: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, address = web
    with pytest.raises(OSError, match="is not there") as raised:
        Follower(ObjectStore(address), tmp_path / "nowhere").poll()
    assert PASSWORD not in str(raised.value)
    assert raised.value.__cause__ is None
    remote.push(ObjectStore(folder.as_uri()), write_version(tmp_path, "fake", "1"))
    remote.point(ObjectStore(folder.as_uri()), "fake", "stable", 1)
    index = json.loads((folder / "index.json").read_text())
    index["objects"]["fake/labels/000009.json"] = "1 gone"
    (folder / "index.json").write_text(json.dumps(index))
    here = tmp_path / "here"
    assert Follower(ObjectStore(address), here).poll() == ["fake/1", "fake/labels/000001.json"]
    assert "000009.json of the source is not taken: it is gone" in (here / "fake/.source.json").read_text()
    assert PASSWORD not in (here / "fake/.source.json").read_text() + caplog.text
