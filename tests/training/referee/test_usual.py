"""What is usual for a version is measured on what it predicts and on where its evidence lies, and kept by the next."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.store import shipped
from server.models.card import read_card
from tests.support.mnist import mnist_test
from training.errors import DataError
from training.referee.usual import REFERENCE, reference
from training.store.labels import all_of, point
from training.store.next_version import with_file


def test_the_reference_is_what_the_version_says_of_the_images() -> None:
    images = mnist_test()[0][:200] / np.float32(255)
    truths = mnist_test()[1][:200]
    found = reference(shipped("mlp"), images)
    assert found["images"] == 200
    assert np.abs(np.array(found["classes"]) - np.bincount(truths, minlength=10) / 200).max() < 0.02
    assert sum(found["confidence"]) == pytest.approx(1, abs=1e-4)
    assert found["confidence"][-1] > 0.5  # it is sure of most
    cells = np.array(found["evidence"]["cells"])
    assert cells.shape == (10, 16)
    assert cells.sum(axis=1) == pytest.approx(np.ones(10), abs=1e-4)


def test_images_without_a_class_are_refused() -> None:
    images, truths = mnist_test()
    with pytest.raises(DataError, match="no image is read as"):
        reference(shipped("mlp"), images[truths == 1][:20] / np.float32(255))


def test_the_next_version_has_the_file_and_the_labels(tmp_path: Path) -> None:
    version = shutil.copytree(shipped("mlp"), tmp_path / "mlp" / shipped("mlp").name)
    point(tmp_path / "mlp", "stable", int(version.name))
    content = (version / REFERENCE).read_text().replace('"images": ', '"images": 1')
    made = with_file(version, "reference", REFERENCE, content, "measured_from")
    assert all_of(tmp_path / "mlp") == {"stable": int(made.name)}
    assert json.loads((made / "assets.extra/model_card.json").read_text())["measured_from"] == version.name
    before, after = read_card(version).reference, read_card(made).reference
    assert before is not None and after is not None and after.images != before.images
