"""Fixtures of the tests over HTTP: a store of fake versions, and applications that serve it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Settings
from server.models.store import LoadModel
from tests.servers import Running, serving
from tests.stores import GRADIENT, linear, write_labels, write_version

MakeApp = Callable[..., Flask]


def loaded() -> None:
    """Wait until every background loader is done."""
    for thread in threading.enumerate():
        if thread.name == "load-models":
            thread.join(10)
            assert not thread.is_alive()


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
    """Applications over `model_store` (or another); returned when loading is done, unless `wait` is False."""

    def make(load_full: LoadModel = linear, load_twin: LoadModel = linear, wait: bool = True, **settings: Any) -> Flask:
        chosen = {"model_store": model_store, "model": "fake", **settings}
        app = create_app(Settings(**chosen), load_twin=load_twin, load_full=load_full)
        if wait:
            loaded()
        return app

    return make


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture(scope="session")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The shipped models behind a real gunicorn, ready to explain."""
    with serving(tmp_path_factory.mktemp("explaining"), {}, explain="ready") as running:
        yield running
