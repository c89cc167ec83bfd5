"""A SavedModel folder -> Model. The only server file that imports tensorflow: importing it costs seconds and 600 MB, so
it is itself imported only in the background (app.py).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from server.types import Array, Features, ModelCard, Verb

log = logging.getLogger(__name__)
logging.getLogger("absl").setLevel(logging.WARNING)  # it tells of every SavedModel that it has no fingerprint

CHUNK = 512  # rows put forward at once, so that activations stay within tens of MB
GRADIENT_CHUNK = 128  # a gradient keeps all of them
FEWEST = 2  # rows: a single row takes other kernels, whose sums differ in the sixth digit
BUCKETS = (2, 16, 64)  # rows of a compiled gradient: XLA makes one program for each, and every call is one of these
COMPILABLE = 1500  # operations; an unrolled recurrent net has more: it compiles for a minute and then wins nothing


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
        self._compiled = self._compile()
        self._warm_up()

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        parts = _chunks(len(images), CHUNK)
        return _in_chunks(lambda rows: {"logits": self._logits(rows)}, parts, images)["logits"]

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        if self._compiled is None:
            graph, parts = self._gradient, _chunks(len(images), GRADIENT_CHUNK)
        else:
            graph, parts = self._compiled, _buckets(len(images))
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

    def _logits(self, images: Any) -> Any:
        return self._serve(images=images)["logits"]

    def _taped(self, images: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(self._logits(images) * weights)
        return tape.gradient(score, images)

    def _compile(self) -> Callable[..., Any] | None:
        """The gradient of BUCKETS rows as XLA compiles it, 2 to 4 times as fast for few rows; None where it can not, or
        would be long at it. Not so the forward graph: it wins little, and its sums differ in the sixth digit.
        """
        if _operations(self._gradient.get_concrete_function()) > COMPILABLE:
            return None
        compiled: Callable[..., Any] = tf.function(self._taped, jit_compile=True)
        try:
            for rows in BUCKETS:
                compiled(*map(tf.constant, self._blank(rows)))
        except Exception:  # whatever an operation that XLA does not know raises: a foreign SavedModel may have any
            log.exception("%s version %s: XLA can not compile its gradient", self.card.name, self.card.version)
            return None
        return compiled

    def _warm_up(self) -> None:
        """Trace and run every graph once, so that no request pays for it."""
        images, weights = self._blank(FEWEST)
        self.forward(images)
        self.gradient(images, weights)
        if self._features is not None:
            self.features(images, weights)

    def _blank(self, rows: int) -> tuple[Array, Array]:
        """Empty paper (rows, H, W) and weights (rows, K) of 0."""
        spec = self.card.image
        return np.zeros((rows, spec.height, spec.width), np.float32), np.zeros(
            (rows, len(self.card.classes)), np.float32
        )


def _operations(function: Any) -> int:
    """How many operations a graph has, those of the functions that it calls included."""
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(called.node_def) for called in graph.library.function)


def _chunks(rows: int, most: int) -> list[tuple[int, int]]:
    """(rows, rows with padding) of each call of a graph that takes any number."""
    sizes = [min(most, rows - start) for start in range(0, rows, most)]
    return [(size, max(size, FEWEST)) for size in sizes]


def _buckets(rows: int) -> list[tuple[int, int]]:
    """(rows, rows with padding) of each call of a graph that takes BUCKETS only: each at least half full but the
    last."""
    calls = []
    while rows:
        bucket = next((size for size in BUCKETS[::-1] if rows >= size / 2), BUCKETS[0])
        calls.append((min(rows, bucket), bucket))
        rows -= calls[-1][0]
    return calls


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
