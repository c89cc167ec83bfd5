"""Fixtures of the tests over HTTP: a store of fake versions, and applications that serve it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Settings
from server.models.checks import Check
from server.models.repository.store import LoadTwin
from tests.support.models.stores import GRADIENT, LoadAny, as_loaded, linear, loaded, write_labels, write_version
from tests.support.needs import lite_python
from tests.support.processes.servers import Running, serving
from tests.support.quick_run import HEAVY, is_slow

APART = [Path(__file__).parent / name for name in ("faults", "cluster", "bulk")]  # make test-faults and so on
MakeApp = Callable[..., Flask]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="without what support/quick_run.py lists: make test-quick")
    parser.addoption("--rest", action="store_true", help="only what --quick leaves out: make test runs both")
    parser.addoption("--all", action="store_true", help="more pictures of each kind: make test-all")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is called by name, since it takes minutes. With --quick, leave out what is slow."""
    if collection_path in APART and not any(collection_path.name in one for one in config.args):
        return True
    if config.getoption("--quick"):
        return True if is_slow(collection_path) else None
    if config.getoption("--rest") and collection_path.name.startswith("test_"):
        return None if any(map(is_slow, (collection_path, *collection_path.parents))) else True
    return None


@pytest.fixture(autouse=True)
def stays_light(request: pytest.FixtureRequest) -> Iterator[None]:
    """A quick run fails with the test that loads what quick runs do without."""
    before = HEAVY.intersection(sys.modules)
    yield
    if request.config.getoption("--quick"):
        heavy = HEAVY.intersection(sys.modules) - before
        assert not heavy, "loaded in a quick run: add the test's file to tests/support/quick_run.py"


def unchecked(*models_and_images: Any) -> None:
    """A check that finds nothing."""


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fake` does everything, in versions 1, 2 (stable) and 10 (canary, the latest); `plain` has no inner views."""
    root = tmp_path_factory.mktemp("models")
    for version in ("1", "2", "10"):
        write_version(root, "fake", version)
    write_labels(root, {"stable": 2, "canary": 10})
    write_version(root, "plain", "1", GRADIENT)
    return root


@pytest.fixture
def make_app(model_store: Path) -> MakeApp:
    """Applications over `model_store` (or another); returned when loading is done, unless `wait` is False. What models
    answer is not checked, unless a `check` is given: those of many tests answer wrong. They poll on command only."""

    def make(
        load_savedmodel: LoadAny = linear,
        load_twin: LoadTwin = linear,
        wait: bool = True,
        check: Check = unchecked,
        **settings: Any,
    ) -> Flask:
        chosen = {"model_store": model_store, "model": "fake", "poll_ms": 0, **settings}
        app = create_app(
            Settings(**chosen), load_twin, None if load_savedmodel is None else as_loaded(load_savedmodel), check
        )
        if wait:
            loaded()
        return app

    return make


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture(scope="session")
def without_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same from an environment that has nothing but requirements-lite.txt."""
    with serving(tmp_path_factory.mktemp("lite"), {}, explain="ready", python=lite_python()) as running:
        yield running


@pytest.fixture(scope="session")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The shipped models behind a real gunicorn, ready to explain."""
    settings = {"EXPLAIN_SLOTS": "8", "REPOSITORY": "open"}
    with serving(tmp_path_factory.mktemp("explaining"), settings, explain="ready") as running:
        yield running
