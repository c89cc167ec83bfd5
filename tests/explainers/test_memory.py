"""No method holds more than 64 MB beyond its model for any allowed options: rows come in chunks."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.explainers import EXPLAINERS
from server.explainers.perturbation import MaskedOutputs
from server.explainers.shapley import Shapley
from server.options import describe
from server.types import Array, Model
from tests.support.models.fakes import Linear, ink
from tests.support.models.nets import NAMES, digits, net, one
from tests.support.models.stores import card_28

MIB = 1 << 20
MOST = 64 * MIB
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Light(Linear):
    """A linear model of 28 x 28 whose own arithmetic needs next to no memory."""

    def __init__(self) -> None:
        super().__init__(card_28())
        self.weights = self.directions().astype(np.float32)

    def forward(self, images: Array) -> Array:
        self.rows += len(images)
        outputs: Array = images.reshape(len(images), -1) @ self.weights.reshape(10, -1).T
        return outputs


def extremes(method: str) -> dict[str, Any]:
    """The options with which a method asks most rows, over most cells."""
    options = {one["name"]: one for one in describe(EXPLAINERS[method])}
    largest = {name: options[name]["maximum"] for name in ("n_samples", "max_rows", "n_segments") if name in options}
    fixed: dict[str, dict[str, Any]] = {
        "shapley": {"grid": 7},
        "lime": {"segmentation": "grid"},
        "occlusion": {"patch": 1, "stride": 1},
        "rise": {"grid": 14},
        "integrated_gradients": {"n_steps": 512},
        "expected_gradients": {"n_samples": 2000, "tolerance": 1e-6},
    }
    return {**largest, **fixed.get(method, {})}


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and numpy held at most beyond those before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def explaining(method: str, model: Model) -> Callable[[], object]:
    target = one("cnn")
    image = ink(side=28)
    return lambda: [None for _ in EXPLAINERS[method](**extremes(method)).refine(model, image, target, 0)]


@pytest.mark.parametrize("method", EXPLAINERS)
def test_arrays_stay_small_at_the_largest_options(method: str) -> None:
    assert peak(explaining(method, Light())) < MOST


def test_memory_shows_a_class_that_makes_all_pictures_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.explainers.perturbation.CHUNK", 1 << 20)
    segments = np.arange(49).reshape(7, 7).repeat(4, axis=0).repeat(4, axis=1)
    bank = MaskedOutputs(Light(), ink(side=28), segments, np.zeros((28, 28), np.float32))
    masks = np.random.default_rng(0).random((20_000, 49)) < 0.5
    assert peak(lambda: bank.outputs(masks)) > MOST


@pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux's account of a process's memory")
@pytest.mark.parametrize("name", NAMES)
def test_what_a_net_computes_with_stays_small(name: str) -> None:
    """Resident memory of the whole process, TensorFlow's included, which no tracer of Python's sees."""
    image, target = digits()[1], one(name)
    methods = [
        Shapley(grid=7, max_rows=2048),
        EXPLAINERS["occlusion"](patch=1, stride=1),
        EXPLAINERS["smooth_grad"](n_samples=256),
        EXPLAINERS["integrated_gradients"](n_steps=512),
    ]
    for method in methods:  # what TensorFlow's threads keep for good is the model's
        list(method.refine(net(name), image, target, 0))
    before = resident("VmRSS")
    CLEAR.write_text("5")  # forget the peak so far
    for method in methods:
        list(method.refine(net(name), image, target, 1))
    assert resident("VmHWM") - before < MOST


def resident(what: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(what + ":"))
    return int(line.split()[1]) * 1024
