"""How good a version is, measured on the files that will be served: the numbers of the card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training.augment import augment
from training.calibrate import energy_score, expected_calibration_error, in_rows, negative_log_likelihood
from training.data import Array, Dataset

AUGMENT_SEED = (20, 26)


def evaluate(version: Path, data: Dataset, temperature: float, energy_threshold: float) -> dict[str, Any]:
    """Accuracy, likelihood and calibration on the test images; accuracy on augmented ones; how many of the test images,
    and of as many pictures of noise, count as in distribution."""
    # The trackable must outlive its signatures: they hold its variables by weak references only.
    trackable = tf.saved_model.load(str(version))
    serve = trackable.signatures["serving_default"]

    def logits_of(images: Array) -> Array:
        return in_rows(lambda rows: serve(images=tf.constant(rows))["logits"].numpy(), images)

    images, labels = data.test_images, data.test_labels
    logits = logits_of(images)
    probabilities = in_rows(lambda rows: serve(images=tf.constant(rows))["probabilities"].numpy(), images)
    augmented = logits_of(augment(tf.constant(images), tf.constant(AUGMENT_SEED)).numpy())
    noise = logits_of(np.random.default_rng(0).random(images.shape, np.float32))
    return {
        "images": len(images),
        "accuracy": _share(logits.argmax(axis=1) == labels),
        "accuracy_augmented": _share(augmented.argmax(axis=1) == labels),
        "nll": round(negative_log_likelihood(logits / temperature, labels), 6),
        "ece": round(expected_calibration_error(probabilities, labels), 6),
        "in_distribution": _share(energy_score(logits, temperature) >= energy_threshold),
        "noise_in_distribution": _share(energy_score(noise, temperature) >= energy_threshold),
    }


def evaluate_stored(version: Path, data: Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `evaluate` measures now, and what the version's card says was measured at export."""
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    measured = evaluate(version, data, card["temperature"], card["in_distribution"]["threshold"])
    return measured, card["metrics"]


def _share(flags: Array) -> float:
    return round(float(np.mean(flags)), 6)
