"""The only writer of the contract (model_store/README.md): a trained net becomes a numbered, immutable version.

Everything is written and measured in a folder aside, the card last; then one rename makes it visible.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

from training import calibrate, evaluate, litert_conversion
from training.augment import augment
from training.data import Array, Dataset
from training.fold import folded
from training.footprint import footprint
from training.signatures import signatures

CENTROIDS = 100  # at most; fewer where a centroid would stand for too few images
MEMBERS = 10  # images at least behind a centroid, so that none is an image
COMPARED = 1200  # images on which LiteRT and SavedModel are compared
FORMAT = 2  # of the card
EXTRA = "assets.extra"
DIGIT = {"preprocessing": "digit", "range": [0, 1]}  # pictures are cropped, scaled and centred as MNIST's; 0 = paper


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
        ConversionError: the LiteRT files do not answer like the SavedModel; nothing is left in the store.
    """
    return publish(store / trained.name, lambda aside, number: _write(aside, trained, data, number))


def publish(family: Path, write: Callable[[Path, int], None]) -> Path:
    """The next version of a model: `write` fills a temporary folder, given its number, and one rename makes it
    visible."""
    family.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in family.iterdir() if p.name.isdecimal()), default=0)
    aside = family / f".{number}.{os.getpid()}.aside"
    try:
        write(aside, number)
        os.rename(aside, family / str(number))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return family / str(number)


def _write(aside: Path, trained: Trained, data: Dataset, number: int) -> None:
    model, validation = folded(trained.model), _validation(data)
    logits = calibrate.in_rows(lambda rows: model(rows, training=False)["logits"].numpy(), validation)
    labels = np.resize(data.validation_labels, len(validation))
    temperature = calibrate.temperature(logits, labels)
    threshold = float(np.quantile(calibrate.energy_score(logits, temperature), calibrate.QUANTILE))
    module = tf.Module()
    module.weights = [weight.value for weight in model.variables]  # tracked once; Keras layers would add graphs
    tf.saved_model.save(module, str(aside), signatures=signatures(model, temperature))
    (aside / "fingerprint.pb").unlink(missing_ok=True)  # differs from save to save; nothing reads it
    extra = aside / EXTRA
    extra.mkdir()
    np.savez_compressed(extra / "background.npz", centroids=centroids(data.train_images))
    card = {
        "format": FORMAT,
        "name": trained.name,
        "version": str(number),
        "architecture": trained.architecture,
        "options": dict(trained.options),
        "parameters": model.count_params(),
        "classes": [str(label) for label in range(model.output["logits"].shape[1])],
        "image": {"height": data.train_images.shape[1], "width": data.train_images.shape[2], **DIGIT},
        "verbs": _verbs(model),
        "temperature": temperature,
        "in_distribution": {"score": "energy", "threshold": threshold, "quantile": calibrate.QUANTILE},
        **write_litert(aside, validation[:COMPARED], "validation images"),
        "metrics": evaluate.evaluate(aside, data, temperature, threshold),
        "training": dict(trained.training),
        "made_with": made_with(),
    }
    write_card(aside, card)


def write_litert(folder: Path, images: Array, source: str) -> dict[str, Any]:
    """Convert the SavedModel in `folder`, write the LiteRT files beside it, and give what the card says of them.

    Raises:
        ConversionError: they cannot be had, or answer otherwise than the SavedModel on images (n, H, W).
    """
    trackable = tf.saved_model.load(str(folder))  # the files are those of what was written, not of what was trained
    files = litert_conversion.convert(trackable)
    comparisons = litert_conversion.compare(files, trackable, images)
    described = []
    for file in files:
        path = folder / EXTRA / file.name
        path.write_bytes(file.content)
        rows: dict[str, list[int]] = {}
        for name in file.functions:
            verb, _, count = name.rpartition("_")
            rows.setdefault(verb, []).append(int(count))
        roles = ["predict", "explain"] if file.predict else ["explain"]
        described.append(
            {"file": f"{EXTRA}/{file.name}", "roles": roles, "rows": rows, "memory_bytes": footprint(path)}
        )
    return {"litert": described, "compared": {"images": source, **comparisons}}


def made_with() -> dict[str, str]:
    """The versions of the packages that a version depends on."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__, "ai_edge_litert": version("ai-edge-litert")}


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """The card, with the hashes of all files beside it: the last file of a version."""
    text = json.dumps({**card, "files": hashes(folder)}, indent=1)
    (folder / EXTRA / "model_card.json").write_text(text + "\n")


def _validation(data: Dataset) -> Array:
    """Validation images and augmented copies of them: as many again, or more where comparing needs more."""
    images = data.validation_images
    copies = max(1, -(-COMPARED // len(images)) - 1)
    changed = [augment(tf.constant(images), tf.constant((7, copy))).numpy() for copy in range(copies)]
    return np.concatenate([images, *changed])


def _verbs(model: keras.Model) -> list[str]:
    return ["forward", "gradient", "features", *sorted({"feature_map", "attention"} & set(model.output))]


def centroids(images: Array) -> Array:
    """k-means centroids of images, (m, H, W) float32, ordered by the size of their clusters."""
    flat = images.reshape(len(images), -1)
    clusters = max(1, min(CENTROIDS, len(flat) // (3 * MEMBERS)))
    means = KMeans(clusters, n_init=1, max_iter=50, random_state=0).fit(flat)
    sizes = np.bincount(means.labels_, minlength=clusters)
    order = [k for k in np.argsort(-sizes, kind="stable") if sizes[k] >= MEMBERS]
    centroids: Array = np.clip(means.cluster_centers_[order], 0, 1).astype(np.float32)
    return centroids.reshape(-1, *images.shape[1:])


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in it, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
