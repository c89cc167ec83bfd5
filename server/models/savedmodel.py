"""A SavedModel folder -> Model. With compiled.py the only server file that imports tensorflow: that costs seconds and
600 MB, so it is itself imported only in the background (app.py).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from server.models.compiled import compiled
from server.types import Array, Features, ModelCard, Verb

logging.getLogger("absl").setLevel(logging.WARNING)  # it tells of every SavedModel that it has no fingerprint

CHUNK = 512  # rows put forward at once, so that activations stay within tens of MB
GRADIENT_CHUNK = 128  # a gradient keeps all of them
FEWEST = 2  # rows: a single row takes other kernels, whose sums differ in the sixth digit


def configure(device: Literal["auto", "cpu", "gpu"], worker: int = 0) -> str:
    """Choose the device before the first model is loaded: with several GPUs worker i takes GPU i; memory grows as
    needed.

    Returns:
        The name of the device that will compute, "cpu" or "gpu:<i>".

    Raises:
        RuntimeError: a GPU is demanded and there is none.
    """
    gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise RuntimeError("INKLING_DEVICE=gpu, but TensorFlow sees no GPU; install requirements-gpu.txt or use auto")
    chosen = worker % len(gpus) if gpus else None
    mine = [] if chosen is None else [gpus[chosen]]
    tf.config.set_visible_devices(mine, "GPU")
    for gpu in mine:
        tf.config.experimental.set_memory_growth(gpu, True)
    return "cpu" if chosen is None else f"gpu:{chosen}"


class SavedModel:
    """The SavedModel in `folder`: forward by its `serving_default`, gradient by a tape over it, features where
    exported."""

    def __init__(self, folder: Path, card: ModelCard) -> None:
        self.card = card
        # The trackable must outlive its signatures: they hold its variables by weak references only.
        self._trackable = tf.saved_model.load(str(folder))
        self._serve = self._trackable.signatures["serving_default"]
        self._features = self._trackable.signatures.get("features")
        own: set[Verb] = {"forward", "gradient"}
        self.verbs: frozenset[Verb] = frozenset(own | (set(card.verbs) if self._features else set()))
        images = tf.TensorSpec((None, card.image.height, card.image.width), tf.float32)
        weights = tf.TensorSpec((None, len(card.classes)), tf.float32)
        self._gradient = tf.function(self._taped, input_signature=[images, weights])
        size = (card.image.height, card.image.width)
        self._compiled = compiled(self._serve, self._gradient, FEWEST, size, len(card.classes))
        self._background: Array | None = None
        self._scored: dict[str, tuple[Any, Any]] = {}
        self._warm_up()

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        if images is self.card.background and self._background is not None:
            return self._background  # asked by every explanation that takes the background for its baseline
        if self._compiled is not None and len(images) <= self._compiled.rows:
            graph = self._compiled.forward
        else:
            graph = self._serving
        return _in_chunks(lambda rows: {"logits": graph(rows)}, _chunks(len(images), CHUNK), images)["logits"]

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        if self._compiled is not None and len(images) <= self._compiled.rows:
            graph = self._compiled.gradient
        else:
            graph = self._gradient
        parts = _chunks(len(images), GRADIENT_CHUNK)
        return _in_chunks(lambda rows, w: {"gradient": graph(rows, w)}, parts, images, weights)["gradient"]

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        if self._features is None:
            raise NotImplementedError(f"{self.card.name} has no signature `features`")
        signature = self._features
        parts = _chunks(len(images), GRADIENT_CHUNK)
        found = _in_chunks(lambda rows, w: signature(images=rows, weights=w), parts, images, weights)
        optional = [found.get(name) for name in ("feature_map", "feature_gradient", "attention")]
        return Features(found["embedding"], *optional)

    def keras_model(self, weights: Array, output: Literal["logit", "probability"]) -> Any:
        """A keras.Model from images (n, H, W) to weights (K,) . logits, or . probabilities, (n, 1): for packages that
        differentiate such a model themselves. Its weights are those of the last call: one caller at a time."""
        if output not in self._scored:
            self._scored[output] = self._scoring(output)
        model, held = self._scored[output]
        held.assign(weights)
        return model

    def _scoring(self, output: Literal["logit", "probability"]) -> tuple[Any, Any]:
        """The model and the variable that holds its weights: built once, because every new one is traced anew and
        TensorFlow keeps what it traced."""
        held = tf.Variable(np.zeros(len(self.card.classes), np.float32), trainable=False)

        def score(images: Any) -> Any:
            logits = self._serve(images=images)["logits"]
            outputs = logits if output == "logit" else tf.nn.softmax(logits / self.card.temperature)
            return tf.reduce_sum(outputs * held, axis=1, keepdims=True)

        images = tf.keras.Input((self.card.image.height, self.card.image.width))
        return tf.keras.Model([images], tf.keras.layers.Lambda(score, output_shape=(1,))(images)), held

    def _serving(self, images: Any) -> Any:
        return self._serve(images=images)["logits"]

    def _taped(self, images: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(self._serving(images) * weights)
        return tape.gradient(score, images)

    def _warm_up(self) -> None:
        """Trace and run every graph once, so that no request pays for it."""
        images = np.zeros((FEWEST, self.card.image.height, self.card.image.width), np.float32)
        weights = np.zeros((FEWEST, len(self.card.classes)), np.float32)
        self.forward(images)
        self._background = self.forward(self.card.background)
        self._background.flags.writeable = False
        self.gradient(images, weights)
        if self._features is not None:
            self.features(images, weights)


def _chunks(rows: int, most: int) -> list[tuple[int, int]]:
    """(rows, rows with padding) of each call of a graph that takes any number."""
    sizes = [min(most, rows - start) for start in range(0, rows, most)]
    return [(size, max(size, FEWEST)) for size in sizes]


def _in_chunks(graph: Callable[..., dict[str, Any]], calls: list[tuple[int, int]], *arrays: Array) -> dict[str, Array]:
    """graph applied to the rows of all arrays, call by call, the last row repeated as padding; its outputs by name."""
    outputs, start = [], 0
    for rows, padded in calls:
        part = [np.asarray(array[start : start + rows], np.float32) for array in arrays]
        if padded > rows:
            part = [np.concatenate([array, np.repeat(array[-1:], padded - rows, axis=0)]) for array in part]
        outputs.append({name: np.asarray(out)[:rows] for name, out in graph(*map(tf.constant, part)).items()})
        start += rows
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}
