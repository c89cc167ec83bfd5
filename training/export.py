"""The only writer of the contract (model_store/README.md): a trained net becomes a numbered, immutable version.

Everything is written and measured in a folder aside, the card last; then one rename makes it visible.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

from training import calibrate, evaluate, twin
from training.augment import augment
from training.data import Array, Dataset
from training.fold import folded
from training.signatures import signatures

CENTROIDS = 100  # at most; fewer where a centroid would stand for too few images
MEMBERS = 10  # images at least behind a centroid, so that none is an image
VERIFIED = 1200  # images on which twin and SavedModel are compared


@dataclass(frozen=True)
class Trained:
    """A net and what its card shall say of where it comes from."""

    name: str
    architecture: str
    options: Mapping[str, Any]
    model: keras.Model
    training: Mapping[str, Any]


def export(trained: Trained, data: Dataset, store: Path) -> Path:
    """Write the next version of `trained.name` into `store`; returns its folder.

    Raises:
        TwinError: the LiteRT twin does not answer like the SavedModel; nothing is left in the store.
    """
    family = store / trained.name
    family.mkdir(parents=True, exist_ok=True)
    version = 1 + max((int(p.name) for p in family.iterdir() if p.name.isdecimal()), default=0)
    aside = family / f".{version}.{os.getpid()}.aside"
    try:
        _write(aside, trained, data, version)
        os.rename(aside, family / str(version))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return family / str(version)


def _write(aside: Path, trained: Trained, data: Dataset, version: int) -> None:
    model, validation = folded(trained.model), _validation(data)
    logits = calibrate.in_rows(lambda rows: model(rows, training=False)["logits"].numpy(), validation)
    labels = np.resize(data.validation_labels, len(validation))
    temperature = calibrate.temperature(logits, labels)
    threshold = float(np.quantile(calibrate.energy_score(logits, temperature), calibrate.QUANTILE))
    module = tf.Module()
    module.weights = [weight.value for weight in model.variables]  # tracked once; Keras layers would add graphs
    tf.saved_model.save(module, str(aside), signatures=signatures(model, temperature))
    (aside / "fingerprint.pb").unlink(missing_ok=True)  # differs from save to save; nothing reads it
    extra = aside / "assets.extra"
    extra.mkdir()
    np.savez_compressed(extra / "background.npz", centroids=_centroids(data.train_images))
    twin_error = _write_twin(aside, validation[:VERIFIED])
    card = {
        "format": 1,
        "name": trained.name,
        "version": str(version),
        "architecture": trained.architecture,
        "options": dict(trained.options),
        "parameters": model.count_params(),
        "classes": [str(label) for label in range(model.output["logits"].shape[1])],
        "image": {"height": data.train_images.shape[1], "width": data.train_images.shape[2]},
        "verbs": _verbs(model),
        "temperature": temperature,
        "in_distribution": {"score": "energy", "threshold": threshold, "quantile": calibrate.QUANTILE},
        "twin": {"file": "assets.extra/model.tflite", "images": VERIFIED, "max_logit_error": twin_error},
        "metrics": evaluate.evaluate(aside, data, temperature, threshold),
        "training": dict(trained.training),
        "made_with": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "files": _hashes(aside),
    }
    (extra / "model_card.json").write_text(json.dumps(card, indent=1) + "\n")


def _validation(data: Dataset) -> Array:
    """Validation images and augmented copies of them: as many again, or more where verifying a twin needs more."""
    images = data.validation_images
    copies = max(1, -(-VERIFIED // len(images)) - 1)
    changed = [augment(tf.constant(images), tf.constant((7, copy))).numpy() for copy in range(copies)]
    return np.concatenate([images, *changed])


def _verbs(model: keras.Model) -> list[str]:
    return ["forward", "gradient", "features", *sorted({"feature_map", "attention"} & set(model.output))]


def _write_twin(version: Path, images: Array) -> float:
    converted = twin.convert(version)
    (version / "assets.extra" / "model.tflite").write_bytes(converted)
    trackable = tf.saved_model.load(str(version))
    serve = trackable.signatures["serving_default"]

    def logits_of(rows: Array) -> Array:
        return calibrate.in_rows(lambda part: serve(images=tf.constant(part))["logits"].numpy(), rows)

    return twin.check(converted, logits_of, images)


def _centroids(images: Array) -> Array:
    """k-means centroids of images, (m, H, W) float32, ordered by the size of their clusters."""
    flat = images.reshape(len(images), -1)
    clusters = max(1, min(CENTROIDS, len(flat) // (3 * MEMBERS)))
    means = KMeans(clusters, n_init=1, max_iter=50, random_state=0).fit(flat)
    sizes = np.bincount(means.labels_, minlength=clusters)
    order = [k for k in np.argsort(-sizes, kind="stable") if sizes[k] >= MEMBERS]
    centroids: Array = np.clip(means.cluster_centers_[order], 0, 1).astype(np.float32)
    return centroids.reshape(-1, *images.shape[1:])


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
