"""Wear: each finish changes a digit and leaves it readable; the strength is a measure of both."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.support.models.nets import digits as real_digits
from tests.support.models.nets import twin
from training.synthetic import digits, finish
from training.synthetic.draws import Draws
from training.synthetic.finish import FINISHES

SEEN = ["0 round", "2 straight", "3 round", "4 open, crossing", "5 in one", "6 straight", "7 plain", "8 crossed"]


def test_finished_images_keep_form_and_range() -> None:
    images = real_digits()
    worn = finish(images, seed=1)
    assert worn.shape == images.shape and worn.dtype == np.float32
    assert worn.min() >= 0 and worn.max() <= 1


def test_no_strength_changes_nothing() -> None:
    images = digits(20, seed=1).images
    assert_array_equal(finish(images, seed=1, strength=0), images)


def test_more_strength_changes_more() -> None:
    images = digits(200, seed=2).images
    changes = [float(np.abs(finish(images, 3, strength) - images).mean()) for strength in (0.25, 0.5, 1.0)]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_it_follows_from_seed_and_index() -> None:
    images = digits(20, seed=3).images
    assert_array_equal(finish(images, seed=4)[:10], finish(images[:10], seed=4))
    assert not np.array_equal(finish(images, seed=4), finish(images, seed=5))


@pytest.mark.parametrize("name", FINISHES)
def test_each_finish_leaves_digits_readable(name: str) -> None:
    drawn = digits(100, seed=12, variants=SEEN)
    worn = np.stack([FINISHES[name](image, Draws(1, i, 1), 1.0) for i, image in enumerate(drawn.images)])
    assert (np.abs(worn - drawn.images).reshape(100, -1).max(axis=1) > 0.02).mean() > 0.9
    read = np.asarray(twin("cnn").forward(np.clip(worn, 0, 1).astype(np.float32))).argmax(axis=1)
    assert (read == drawn.labels).mean() > 0.85
