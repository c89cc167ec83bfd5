"""Attacks stay within their bounds, and do to a linear classifier what is known to be the worst."""

import numpy as np
import pytest
import tensorflow as tf

from training.measures import attacks

WEIGHTS = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
IMAGES = np.random.default_rng(1).uniform(0.3, 0.7, (200, 4, 4)).astype(np.float32)


def linear(images: tf.Tensor) -> tf.Tensor:
    return tf.reshape(images, (-1, 16)) @ WEIGHTS


LABELS = np.asarray(linear(IMAGES)).argmax(axis=1)


def margins(images: np.ndarray) -> np.ndarray:
    """By how much the right class leads."""
    logits = np.asarray(linear(images))
    rows = np.arange(len(LABELS))
    return np.asarray(logits[rows, LABELS] - logits[rows, 1 - LABELS])


@pytest.mark.parametrize("size", [0.02, 0.1, 0.25])
def test_the_worst_of_a_linear_classifier_is_found(size: float) -> None:
    found = attacks.attacked(linear, IMAGES, LABELS, size)
    assert np.abs(found - IMAGES).max() <= size + 1e-6
    slope = np.abs(WEIGHTS[:, 0] - WEIGHTS[:, 1]).sum()
    assert margins(found) == pytest.approx(margins(IMAGES) - size * slope, abs=1e-3)


def test_pixels_stay_between_paper_and_ink() -> None:
    edges = np.random.default_rng(2).integers(0, 2, (20, 4, 4)).astype(np.float32)
    found = attacks.attacked(linear, edges, LABELS[:20], 0.2)
    assert found.min() >= 0 and found.max() <= 1


def test_accuracy_falls_as_attacks_grow() -> None:
    slope = np.abs(WEIGHTS[:, 0] - WEIGHTS[:, 1]).sum()
    expected = {size: float(np.mean(margins(IMAGES) > size * slope)) for size in attacks.SIZES}
    found = attacks.accuracies(linear, IMAGES, LABELS)
    assert found == pytest.approx(expected, abs=0.02)
    assert list(found.values()) == sorted(found.values(), reverse=True)
