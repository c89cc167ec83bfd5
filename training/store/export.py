"""The only writer of the contract (model_store/README.md): a trained net becomes a numbered, immutable version.

Everything is written and measured in a folder aside, the card last; then one rename makes it visible.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax
from sklearn.cluster import KMeans

from training import calibrate, evaluate
from training.data import Array, Dataset
from training.litert import conversion, quantize
from training.litert.footprint import footprint
from training.litert.quantize import Scheme
from training.mix import calibration_set
from training.quiet import muted
from training.store import labels, views
from training.store.card import EXTRA, write_card
from training.store.fold import folded
from training.store.signatures import signatures

log = logging.getLogger(__name__)
Default = Literal["better", "new", "before"]
CENTROIDS = 100  # at most; fewer where a centroid would stand for too few images
MEMBERS = 10  # images at least behind a centroid, so that none is an image
COMPARED = 1200  # images on which LiteRT and SavedModel are compared
AGREED = 5000  # the same for a file that is quantised, at most
FORMAT = 2  # of the card
DIGIT = {"preprocessing": "digit", "range": [0, 1]}  # pictures are cropped, scaled and centred as MNIST's; 0 = paper


@dataclass(frozen=True)
class Trained:
    """A net and what its card shall say of where it comes from; and how the file that predicts is quantised, if at
    all."""

    name: str
    architecture: str
    options: Mapping[str, Any]
    model: keras.Model
    training: Mapping[str, Any]
    quantize: Scheme | None = None


def export(trained: Trained, data: Dataset, store: Path, default: Default = "better") -> Path:
    """Write the next version of `trained.name` into `store`; returns its folder. Which version answers by default then
    is said by the label `stable`: the `new` one; the one `before`; or, where there is no such label yet, the `better`
    one by the test images (a label that is there stays).

    Raises:
        ConversionError: the LiteRT files do not answer like the SavedModel; nothing is left in the store.
        DataError: the labels of this name cannot be read.
    """
    family = store / trained.name
    before = labels.default_of(family)
    if default == "new":
        return publish(family, lambda aside, number: _write(aside, trained, data, number), labels.STABLE)

    def write(aside: Path, number: int) -> None:
        reads = _write(aside, trained, data, number)["accuracy"]
        if before is not None and (default == "before" or _reads(before, data) > reads):
            labels.point(family, labels.STABLE, int(before.name))  # before the new one is seen

    return publish(family, write)


def _reads(version: Path, data: Dataset) -> float:
    """The share of the test images that it reads right; 0 where it cannot read such images at all."""
    try:
        return evaluate.accuracy(version, data)
    except Exception as error:  # versions from elsewhere fail in many ways, and the net that was trained is not lost
        log.warning("%s cannot be measured on the test images, so that it is not compared: %s", version, error)
        return 0.0


def publish(family: Path, write: Callable[[Path, int], Any], label: str | None = None) -> Path:
    """The next version of a model: `write` fills a temporary folder, given its number, and one rename makes it
    visible; then `label` points at it, if there is one."""
    family.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in family.iterdir() if p.name.isdecimal()), default=0)
    aside = family / f".{number}.{os.getpid()}.aside"
    try:
        write(aside, number)
        os.rename(aside, family / str(number))
        if label is not None:
            labels.point(family, label, number)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return family / str(number)


def _write(aside: Path, trained: Trained, data: Dataset, number: int) -> dict[str, Any]:
    """Fill the folder of a version; the metrics of its card."""
    model, (images, truths) = folded(trained.model), calibration_set(data, bool(trained.training.get("mixed")))
    logits = calibrate.in_rows(lambda rows: model(rows, training=False)["logits"].numpy(), images)
    temperature = calibrate.temperature(logits, truths)
    module = tf.Module()
    module.weights = [weight.value for weight in model.variables]  # tracked once; Keras layers would add graphs
    tf.saved_model.save(module, str(aside), signatures=signatures(model, temperature))
    (aside / "fingerprint.pb").unlink(missing_ok=True)  # differs from save to save; nothing reads it
    extra = aside / EXTRA
    extra.mkdir()
    background = centroids(data.train_images)
    np.savez_compressed(extra / "background.npz", centroids=background)
    seen = {"views": f"{EXTRA}/{views.FILE}"} if views.write_views(extra, background) else {}
    litert = write_litert(aside, _compared(images), "validation images", trained.quantize, images)
    logits_of = evaluate.logits_by(aside, quantized=bool(trained.quantize))
    known = _calibrated(logits_of(images) if trained.quantize else logits, truths, temperature, data)
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
        **known,
        **litert,
        **seen,
        "metrics": evaluate.evaluate(logits_of, data, temperature, known["in_distribution"]["threshold"]),
        "training": dict(trained.training),
        "made_with": made_with(),
    }
    write_card(aside, card)
    return dict(card["metrics"])


def _calibrated(logits: Array, truths: Array, temperature: float, data: Dataset) -> dict[str, Any]:
    """What the logits (n, K) of the calibration set, with labels (n,), say of other pictures."""
    of_data = calibrate.energy_score(logits[: 2 * len(data.validation_images)], temperature)
    threshold = float(np.quantile(of_data, calibrate.QUANTILE))
    return {
        "in_distribution": {"score": "energy", "threshold": threshold, "quantile": calibrate.QUANTILE},
        "prediction_sets": calibrate.prediction_sets(softmax(logits / temperature, axis=1), truths),
    }


def write_litert(
    folder: Path, images: Array, source: str, scheme: Scheme | None = None, samples: Array | None = None
) -> dict[str, Any]:
    """Convert the SavedModel in `folder`, write the LiteRT files beside it, and give what the card says of them; with a
    `scheme`, the file that predicts is quantised by it, on `samples` (n, H, W).

    Raises:
        ConversionError: they cannot be had, or answer otherwise than the SavedModel on images (n, H, W).
    """
    trackable = tf.saved_model.load(str(folder))  # the files are those of what was written, not of what was trained
    with muted():
        predicts = agreed = None
        if scheme is not None and samples is not None:
            predicts = quantize.quantized(trackable, scheme, samples)
            some = samples[np.linspace(0, len(samples) - 1, min(len(samples), AGREED)).astype(int)]
            agreed = quantize.agreement(predicts, scheme, trackable, some)
        files = conversion.convert(trackable, predicts)
        comparisons = conversion.compare(files, trackable, images)
    described = []
    for file in files:
        path = folder / EXTRA / file.name
        path.write_bytes(file.content)
        rows: dict[str, list[int]] = {}
        for name in file.functions:
            verb, _, count = name.rpartition("_")
            rows.setdefault(verb, []).append(int(count))
        described.append(
            {"file": f"{EXTRA}/{file.name}", "roles": list(file.roles), "rows": rows, "memory_bytes": footprint(path)}
            | ({"quantized": agreed} if file is predicts else {})
        )
    return {"litert": described, "compared": {"images": source, **comparisons}}


def made_with() -> dict[str, str]:
    """The versions of the packages that a version depends on."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__, "ai_edge_litert": version("ai-edge-litert")}


def _compared(images: Array) -> Array:
    """COMPARED of these, some of them several times where there are fewer."""
    return images[np.arange(COMPARED) % len(images)]


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
