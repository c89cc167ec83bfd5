"""The small CNN under the label edge: the file that predicts is quantised and small, and reads as its card says."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.store import STORE
from server.models.card import read_card
from server.models.litert import predictor
from tests.support.mnist import mnist_test
from training.referee.versions import opened
from training.store.labels import version_in


@pytest.fixture(scope="module")
def edge() -> Path:
    return version_in(STORE, "cnn/edge")


def test_it_is_small(edge: Path) -> None:
    assert (edge / "assets.extra" / "model.tflite").stat().st_size <= 20_000


def test_it_reads_as_its_card_says(edge: Path) -> None:
    images, labels = mnist_test()
    pixels, card = images / np.float32(255), read_card(edge)
    logits = predictor(edge, card).forward(pixels)
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    assert accuracy >= 0.995 and accuracy == pytest.approx(card.metrics["accuracy"], abs=2e-4)
    assert card.quantization is not None and card.quantization.scheme == "int8"
    floats = opened(edge).forward(pixels[:1000])
    same = float(np.mean(floats.argmax(axis=1) == logits[:1000].argmax(axis=1)))
    assert same >= 0.997
    assert (
        1e-3 < np.abs(floats - logits[:1000]).max() <= 2 * card.quantization.max_error
    )  # another file, and no wild one


def test_its_training_is_on_the_card(edge: Path) -> None:
    stored = json.loads((edge / "assets.extra" / "model_card.json").read_text())["training"]
    assert stored["teachers"] == [stored["parent"]] == ["cnn/6"] and stored["distil"] == 0.7
