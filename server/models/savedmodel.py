"""Makes a Model of a SavedModel. With graphs.py the only server file that imports tensorflow: that costs seconds and
600 MB, so it is itself imported only in the background (model_loaders.py).
"""

import copy
import logging
from collections.abc import Callable
from contextlib import nullcontext
from glob import glob
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from server.models.graphs import check_signature, forget, load
from server.models.micro_batches import MIN_ROWS, MicroBatcher
from server.protocols import NO_DEADLINE, RequestContext
from server.types import Array, Features, ModelCard, Verb

log = logging.getLogger(__name__)
logging.getLogger("absl").setLevel(logging.WARNING)  # it tells of every SavedModel that it has no fingerprint

CHUNK = 512  # rows put forward at once, so that activations stay within tens of MB
GRADIENT_CHUNK = 128  # a gradient keeps all of them


def configure(device: Literal["auto", "cpu", "gpu"], worker: int = 0) -> str:
    """Choose the device before the first model is loaded: with several GPUs worker i takes GPU i; memory grows as
    needed.

    TensorFlow computes with a thread per core in every worker, unless TF_NUM_INTRAOP_THREADS says otherwise. With a
    share of the cores for each of two workers, a lone explanation took up to twice as long, and two at once cost 5 to
    10 % less of the processor: what must not wait, predictions, has its place by priority instead.

    Returns:
        The name of the device that will compute as TensorFlow then knows it, "CPU:0" or "GPU:0".

    Raises:
        RuntimeError: a GPU is demanded and there is none.
    """
    gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise RuntimeError("INKLING_DEVICE=gpu, but TensorFlow sees no GPU; install requirements-gpu.txt or use auto")
    if device == "auto" and not gpus and glob("/dev/nvidia[0-9]*"):
        log.warning(
            "there is a GPU and TensorFlow cannot use it; install requirements-gpu.txt, or set INKLING_RUNTIME=litert, "
            "which is quicker on the processor"
        )
    gpu_index = worker % len(gpus) if gpus else None
    visible = [] if gpu_index is None else [gpus[gpu_index]]
    tf.config.set_visible_devices(visible, "GPU")
    for gpu in visible:
        tf.config.experimental.set_memory_growth(gpu, True)
    log.info("TensorFlow computes on %s", "the processor" if gpu_index is None else f"GPU {gpu_index}")
    return "CPU:0" if gpu_index is None else "GPU:0"  # the others are hidden


class SavedModel:
    """The SavedModel in `folder`: forward by its `serving_default`, gradient by a tape over it, features where
    exported."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        on_batch: Callable[[int], None] = lambda rows: None,
        on_retrace: Callable[[], None] = lambda: None,
        device: str | None = None,
    ) -> None:
        """`on_batch` is called with the rows of each call of a graph, `on_retrace` when one was traced after loading;
        `device` is where its weights lie and its graphs run, such as GPU:0, or None for TensorFlow's choice."""
        self.card = card
        self._context = NO_DEADLINE
        self.retraces = 0  # since it was loaded
        self._on_retrace: Callable[[], None] | None = None  # set when it is
        self._forwards = MicroBatcher(CHUNK, tf.errors.ResourceExhaustedError, on_batch)
        self._gradients = MicroBatcher(GRADIENT_CHUNK, tf.errors.ResourceExhaustedError, on_batch)
        # The trackable must outlive its signatures: they hold its variables by weak references only.
        self._device = device
        with self.on_device():
            self._trackable, self._registered = load(folder)
        try:
            check_signature(self._trackable.signatures, card)
            self._build()
            self._on_retrace = on_retrace
        except BaseException:
            self.close()
            raise

    @property
    def signatures(self) -> Any:
        """The SavedModel's own signatures by name."""
        return self._trackable.signatures

    def close(self) -> None:
        """Make TensorFlow forget what it would keep for good. To be called when no request uses the model any more."""
        forget(self._registered)

    def _build(self) -> None:
        card = self.card
        self._serve = self._trackable.signatures["serving_default"]
        self._features = self._trackable.signatures.get("features")
        always: set[Verb] = {"forward", "gradient"}
        self.verbs: frozenset[Verb] = frozenset(always | (set(card.verbs) if self._features else set()))
        images = tf.TensorSpec((None, card.image.height, card.image.width), tf.float32)
        weights = tf.TensorSpec((None, len(card.classes)), tf.float32)
        self._gradient = tf.function(self._taped, input_signature=[images, weights])
        self._background: Array | None = None
        self._scored: dict[str, tuple[Any, Any]] = {}
        self._warm_up()

    def on_device(self) -> Any:
        return tf.device(self._device) if self._device else nullcontext()

    def for_predict(self, context: RequestContext) -> "SavedModel":
        return self.for_explain(context)

    def for_explain(self, context: RequestContext) -> "SavedModel":
        """The model for one request, which ends between two batches once that is cancelled or out of time."""
        bound = copy.copy(self)
        bound._context = context
        return bound

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        if images is self.card.background and self._background is not None:
            return self._background  # asked by every explanation that takes the background for its baseline
        found = self._forwards.run(
            lambda rows: {"logits": self._answer(self._serving, rows)}, images, context=self._context
        )
        return found["logits"]

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        graph = self._gradient
        found = self._gradients.run(
            lambda rows, w: {"gradient": self._answer(graph, rows, w)}, images, weights, context=self._context
        )
        return found["gradient"]

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        if self._features is None:
            raise NotImplementedError(f"{self.card.name} has no signature `features`")
        signature = self._features

        def views(rows: Array, weights: Array) -> dict[str, Array]:
            with self.on_device():
                outputs = signature(images=tf.constant(rows), weights=tf.constant(weights))
            return {name: output.numpy() for name, output in outputs.items()}

        found = self._gradients.run(views, images, weights, context=self._context)
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

    def _answer(self, graph: Any, *arrays: Array) -> Array:
        with self.on_device():
            answer: Array = graph(*map(tf.constant, arrays)).numpy()
        return answer

    def _serving(self, images: Any) -> Any:
        return self._serve(images=images)["logits"]

    def _taped(self, images: Any, weights: Any) -> Any:
        """Runs when it is traced, only then; all other graphs are concrete functions, which never are."""
        if self._on_retrace is not None:
            self.retraces += 1
            self._on_retrace()
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(self._serving(images) * weights)
        return tape.gradient(score, images)

    def _warm_up(self) -> None:
        """Trace and run every graph once, so that no request pays for it."""
        images = np.zeros((MIN_ROWS, self.card.image.height, self.card.image.width), np.float32)
        weights = np.zeros((MIN_ROWS, len(self.card.classes)), np.float32)
        self.forward(images)
        self._background = self.forward(self.card.background)
        self._background.flags.writeable = False
        self.gradient(images, weights)
        if self._features is not None:
            self.features(images, weights)
