"""Another version takes over while a question is being answered: all of the answer is still that of the old one."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.models.repository.store import Store
from server.routes.service import EXTENSION
from server.types import Array, Features, ModelCard
from tests.conftest import MakeApp
from tests.support.batching import Request
from tests.support.clock import PATIENCE
from tests.support.models.fakes import Linear
from tests.support.models.stores import SEVEN, poll_all, write_labels, write_version

ROWS = np.random.default_rng(0).random((2, 28, 28), np.float32)
V1 = {"instances": ROWS.tolist(), "parameters": {"method": "smooth_grad", "n_samples": 200}}
V2 = {
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [2, 28, 28], "data": ROWS.tolist()}],
    "parameters": {"method": "smooth_grad", "n_samples": 200},
}


@dataclass
class Scene:
    """What versions are asked, in the order of asking; the second call for slopes waits until `go`."""

    calls: list[str] = field(default_factory=list)  # the versions
    closed: list[str] = field(default_factory=list)
    slopes: int = 0
    middle: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def asked_for_slopes(self) -> None:
        self.slopes += 1
        if self.slopes == 2:
            self.middle.set()
            assert self.go.wait(PATIENCE)


class Noted(Linear):
    """A version, or its twin, whose every call is noted."""

    scene: Scene

    def forward(self, images: Array) -> Array:
        self.scene.calls.append(self.card.version)
        return super().forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self.scene.calls.append(self.card.version)
        self.scene.asked_for_slopes()
        return super().gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self.scene.calls.append(self.card.version)
        return super().features(images, weights)

    def close(self) -> None:
        self.scene.closed.append(self.card.version)


def loader(scene: Scene) -> Callable[[Path, ModelCard], Noted]:
    def load(path: Path, card: ModelCard) -> Noted:
        model = Noted(card, card.verbs)
        model.scene = scene
        return model

    return load


def label_moves(root: Path) -> None:
    write_labels(root, {"stable": 2})


def folder_goes(root: Path) -> None:
    """Version 1 is not served any more at all."""
    write_labels(root, {"stable": 2})
    shutil.rmtree(root / "fake" / "1")


def its_own(answer: Any) -> list[str]:
    return [answer["model"]["version"]]


def of_each(answer: Any) -> list[str]:
    return [one["model"]["version"] for one in answer["explanations"]]


def of_tensors(answer: Any) -> list[str]:
    reported = next(one for one in answer["outputs"] if one["name"] == "certificates")
    return [answer["model_version"], *(json.loads(text)["model"]["version"] for text in reported["data"])]


LONG = "method=smooth_grad&n_samples=200"
QUESTIONS: dict[str, tuple[str, Any, Callable[[Any], list[str]]]] = {
    "explain": (f"/v1/explain?{LONG}", SEVEN, its_own),
    "explain a label": (f"/v1/explain?{LONG}&version=stable", SEVEN, its_own),
    "explain, with quality": (f"/v1/explain?{LONG}&quality=true", SEVEN, its_own),
    "explain a probability": (f"/v1/explain?{LONG}&output=probability", SEVEN, its_own),
    "compare methods": ("/v1/compare?methods=smooth_grad,lime,saliency&smooth_grad.n_samples=200", SEVEN, of_each),
    "compare models": (f"/v1/compare?models=fake,plain&{LONG}", SEVEN, lambda answer: of_each(answer)[:1]),
    "V1 :explain": ("/v1/models/fake:explain", V1, of_each),
    "V1 :explain of a label": ("/v1/models/fake/labels/stable:explain", V1, of_each),
    "V2 explain": ("/v2/models/fake/explain", V2, of_tensors),
    "adversarial": ("/v1/adversarial?method=pgd", SEVEN, its_own),
}


def post(client: FlaskClient, name: str) -> list[str]:
    """The versions that an answer tells."""
    path, body, reported = QUESTIONS[name]
    response = client.post(path, data=body if isinstance(body, bytes) else json.dumps(body))
    assert response.status_code == 200, response.data
    return reported(response.get_json())


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def app(make_app: MakeApp, scene: Scene, tmp_path: Path) -> Flask:
    """Version 1 answers; 2 is loaded and waits for its turn. `plain` has one version, which is not noted."""
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    write_version(tmp_path, "plain", "1")
    write_labels(tmp_path, {"stable": 1})
    noted = loader(scene)

    def load(path: Path, card: ModelCard) -> Linear:
        return Linear(card, card.verbs) if card.name == "plain" else noted(path, card)

    return make_app(load, load, model_store=tmp_path)


@pytest.mark.parametrize("swap", [label_moves, folder_goes])
@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_of_one_version_also_during_a_swap(
    app: Flask, scene: Scene, tmp_path: Path, name: str, swap: Callable[[Path], None]
) -> None:
    client, store = app.test_client(), app.extensions[EXTENSION].store
    assert isinstance(store, Store)
    request = Request(name, lambda: post(client, name))
    try:
        assert scene.middle.wait(PATIENCE)
        requested = len(scene.calls)
        swap(tmp_path)
        poll_all(store)
        assert store.served_models["fake"].default_number == "2" and scene.closed == []
    finally:
        scene.go.set()
    reported = request.join().answer
    assert request.error is None, request.error
    assert set(reported) == {"1"}
    assert set(scene.calls) == {"1"} and len(scene.calls) > requested
    scene.calls.clear()
    assert set(post(client, name)) == {"2"} and set(scene.calls) == {"2"}
