"""How good a version is, measured on the files that will be served: the numbers of the card, and more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from training.augment import augment
from training.calibrate import energy_score, expected_calibration_error, in_rows, negative_log_likelihood
from training.data import Array, Dataset
from training.litert.conversion import FIRST, answers_of
from training.measures import attacks
from training.measures.corruptions import CORRUPTIONS, corrupted

AUGMENT_SEED = (20, 26)
CARD, TWIN = Path("assets.extra", "model_card.json"), Path("assets.extra", "model.tflite")
CORRUPTED, ATTACKED = 2000, 1000  # test images, of each corruption and of each size of attack

Logits = Callable[[Array], Array]


def logits_by(version: Path, quantized: bool | None = None) -> Logits:
    """What the version in this folder says of images (n, H, W): logits (n, K), by the file that predicts where that is
    quantised, as its card says unless it is given here, else by the SavedModel."""
    if quantized if quantized is not None else is_quantized(version):
        content = (version / TWIN).read_bytes()
        return lambda images: answers_of(FIRST, content, images)["logits"]
    trackable = tf.saved_model.load(str(version))
    serve = trackable.signatures["serving_default"]

    def logits(images: Array) -> Array:
        # the trackable must outlive its signatures, which hold its variables by weak references only
        assert trackable is not None
        return in_rows(lambda rows: serve(images=tf.constant(rows))["logits"].numpy(), images)

    return logits


def is_quantized(version: Path) -> bool:
    """Whether the file that predicts answers otherwise than the SavedModel."""
    card = version / CARD
    return card.is_file() and any("quantized" in file for file in json.loads(card.read_text()).get("litert", ()))


def evaluate(logits_of: Logits, data: Dataset, temperature: float, energy_threshold: float) -> dict[str, Any]:
    """Accuracy, likelihood and calibration on the test images; accuracy on augmented ones, and the mean over fifteen
    corruptions of some; how many of the test images, and of as many pictures of noise, count as in distribution."""
    images, labels = data.test_images, data.test_labels
    logits = logits_of(images)
    augmented = logits_of(augment(tf.constant(images), tf.constant(AUGMENT_SEED)).numpy())
    noise = logits_of(np.random.default_rng(0).random(images.shape, np.float32))
    corrupted = of_corruptions(logits_of, data)
    return {
        "images": len(images),
        "accuracy": _share(logits.argmax(axis=1) == labels),
        "accuracy_augmented": _share(augmented.argmax(axis=1) == labels),
        "accuracy_corrupted": round(float(np.mean(list(corrupted.values()))), 6),
        "nll": round(negative_log_likelihood(logits / temperature, labels), 6),
        "ece": round(expected_calibration_error(softmax(logits / temperature, axis=1), labels), 6),
        "in_distribution": _share(energy_score(logits, temperature) >= energy_threshold),
        "noise_in_distribution": _share(energy_score(noise, temperature) >= energy_threshold),
    }


def of_corruptions(logits_of: Logits, data: Dataset) -> dict[str, float]:
    """The accuracy on test images after each corruption, by its name."""
    images, labels = data.test_images[:CORRUPTED], data.test_labels[:CORRUPTED]
    return {name: _share(logits_of(corrupted(images, name)).argmax(axis=1) == labels) for name in CORRUPTIONS}


def of_attacks(version: Path, data: Dataset) -> dict[str, float]:
    """The accuracy of the version in this folder on test images under attacks, by their size."""
    trackable = tf.saved_model.load(str(version))
    serve = trackable.signatures["serving_default"]
    found = attacks.accuracies(
        lambda images: serve(images=images)["logits"], data.test_images[:ATTACKED], data.test_labels[:ATTACKED]
    )
    return {f"PGD, {size:g}": round(share, 6) for size, share in found.items()}


def accuracy(version: Path, data: Dataset) -> float:
    """The share of test images that the version in this folder reads right."""
    return _share(logits_by(version)(data.test_images).argmax(axis=1) == data.test_labels)


def evaluate_stored(version: Path, data: Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `evaluate` measures now, and what the version's card says was measured at export."""
    card = json.loads((version / CARD).read_text())
    measured = evaluate(logits_by(version), data, card["temperature"], card["in_distribution"]["threshold"])
    return measured, card["metrics"]


def _share(flags: Array) -> float:
    return round(float(np.mean(flags)), 6)
