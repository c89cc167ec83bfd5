"""Corruptions make pictures worse, each in its own way, and leave them what they were."""

import numpy as np
import pytest

from training import data
from training.data import Array
from training.measures.corruptions import CORRUPTIONS, corrupted


@pytest.fixture(scope="module")
def images() -> Array:
    return data.load("digits").test_images[:60]


def test_there_are_fifteen() -> None:
    assert len(CORRUPTIONS) == 15


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_every_picture_and_repeats(images: Array, name: str) -> None:
    found = corrupted(images, name)
    assert (found.shape, found.dtype) == (images.shape, np.float32)
    assert found.min() >= 0 and found.max() <= 1
    assert np.abs(found - images).mean(axis=(1, 2)).min() > 0.002
    assert np.array_equal(found, corrupted(images, name))
    assert np.array_equal(found[:7], corrupted(images[:7], name))  # number i follows from (seed, i) alone
    random = name not in ("edges",)
    assert np.array_equal(found, corrupted(images, name, seed=1)) is not random


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_digit_is_still_there(images: Array, name: str) -> None:
    """Each picture is more like what it was than like most others."""
    made = corrupted(images, name)
    found, shown = (np.asarray(part.reshape(len(images), -1) - part.mean()) for part in (made, images))
    alike = (found @ shown.T) / np.linalg.norm(found, axis=1)[:, None] / np.linalg.norm(shown, axis=1)
    own = np.diag(alike)
    # an outline has its ink where the stroke ends, so that it is like others of the same digit, too
    assert np.mean(own[:, None] >= alike) > (0.65 if name == "edges" else 0.9)


def test_no_two_are_the_same(images: Array) -> None:
    found = {name: corrupted(images[:5], name).tobytes() for name in CORRUPTIONS}
    assert len(set(found.values())) == len(CORRUPTIONS)
