"""What is trained on beside the data set, and how pictures are soiled."""

import numpy as np
import pytest
import tensorflow as tf

from training import augment, data, mix
from training.data import Array, Dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def made(digits: Dataset) -> mix.Mix:
    return mix.mixed(digits, seed=3)


def test_a_mix_is_of_drawn_digits_and_of_what_is_none(digits: Dataset, made: mix.Mix) -> None:
    assert len(made.images) == len(made.labels) >= 4 * mix.LEAST - mix.LEAST
    assert made.images.shape[1:] == made.outliers.shape[1:] == (28, 28)
    assert made.images.dtype == made.outliers.dtype == np.float32
    assert made.images.min() >= 0 and made.images.max() <= 1
    assert set(made.labels) == set(range(10))
    assert np.bincount(made.labels)[[1, 7]].min() > 2 * np.median(np.bincount(made.labels))  # those that are mistaken


def test_a_mix_follows_from_its_seed(digits: Dataset, made: mix.Mix) -> None:
    again, other = mix.mixed(digits, seed=3), mix.mixed(digits, seed=4)
    assert np.array_equal(again.images, made.images) and np.array_equal(again.outliers, made.outliers)
    assert not np.array_equal(other.images, made.images)


def test_a_data_set_of_fewer_digits_gets_no_others(digits: Dataset) -> None:
    few = digits.train_labels < 3
    small = Dataset(
        "few", digits.train_images[few], digits.train_labels[few], digits.validation_images[:5], np.zeros(5, np.int64),
        digits.test_images[:5], np.zeros(5, np.int64),
    )  # fmt: skip
    assert set(mix.mixed(small, seed=0).labels) == {0, 1, 2}
    assert set(mix.calibration_set(small, drawn=True)[1]) <= {0, 1, 2}


def test_nothing_of_the_mix_calibrates(digits: Dataset, made: mix.Mix) -> None:
    images, labels = mix.calibration_set(digits, drawn=True)
    assert len(images) == len(labels)
    assert np.array_equal(images[: len(digits.validation_images)], digits.validation_images)
    seen = {image.tobytes() for image in made.images}
    assert not any(image.tobytes() in seen for image in images)
    plain, _ = mix.calibration_set(digits, drawn=False)
    assert len(plain) == 2 * len(digits.validation_images)


# Soiled pictures.


def soiled(images: Array, others: Array, seed: int = 0, strength: float = 1.0) -> Array:
    return np.asarray(augment.soiled(tf.constant(images), tf.constant(others), tf.constant([seed, 1]), strength))


def test_some_pictures_are_soiled_and_most_are_as_they_were(digits: Dataset) -> None:
    images, others = digits.train_images[:400], digits.train_images[400:500]
    found, again = soiled(images, others), soiled(images, others)
    assert np.array_equal(found, again)
    assert not np.array_equal(found, soiled(images, others, seed=5))
    changed = np.abs(found - images).max(axis=(1, 2)) > 1e-6
    shares = 1 - np.array([augment.THROUGH_SHARE, augment.COVERED_SHARE, augment.FILTER_SHARE])
    assert changed.mean() == pytest.approx(1 - shares.prod(), abs=0.08)
    assert found.min() >= 0 and found.max() <= 1


def test_what_shows_through_is_faint() -> None:
    found = soiled(np.zeros((500, 28, 28), np.float32), np.ones((3, 28, 28), np.float32))
    through = np.median(found, axis=(1, 2))  # a cover hides less than half
    assert 0 < through.max() <= augment.THROUGH + 1e-6
    assert (through > 0).mean() == pytest.approx(augment.THROUGH_SHARE, abs=0.08)


def test_the_strength_says_how_many_are_soiled(digits: Dataset) -> None:
    images, others = digits.train_images[:400], digits.train_images[400:500]
    changed = [
        (np.abs(soiled(images, others, strength=strength) - images).max(axis=(1, 2)) > 1e-6).mean()
        for strength in (0, 0.25, 1)
    ]
    shares = 1 - 0.25 * np.array([augment.THROUGH_SHARE, augment.COVERED_SHARE, augment.FILTER_SHARE])
    assert changed[0] == 0 and changed[1] == pytest.approx(1 - shares.prod(), abs=0.06) and changed[1] < changed[2]
