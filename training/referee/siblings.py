"""Siblings: small nets of a version's architecture, each trained until it provably follows a planted cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from server.types import Features, ImageSpec, ModelCard, Verb
from training.architectures import ARCHITECTURES
from training.calibrate import in_rows
from training.data import Array
from training.referee.planted import Planted, planted
from training.store.export import centroids
from training.store.fold import folded
from training.store.signatures import signatures

NARROW: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"units": (128, 64)},
    "cnn": {"filters": (8, 24)},
    "lstm": {"units": 32},
}  # what differs from the version's own options: widths, so that a sibling is trained in seconds
BATCH = 128
EPOCHS = 40  # at most
FOLLOWS = 0.98  # accuracy with the cause, at least
FOLLOWS_SURELY = 0.995  # then training ends
KNOWS = 0.1  # above chance: accuracy without the cause, at most


@dataclass(frozen=True)
class Sibling:
    """A net, the kind of cause that it follows, and how surely: accuracy on new pictures with their cause, without it,
    and by chance."""

    kind: str
    model: "KerasModel"
    accuracy: float
    without: float
    chance: float

    @property
    def follows(self) -> bool:
        """Whether it uses the cause and nothing else: only then is it asked."""
        return self.accuracy >= FOLLOWS and self.without <= self.chance + KNOWS


class KerasModel:
    """A Keras net in memory as a server's Model: forward, gradient by a tape, features.

    Logits are less their mean over classes: no probability changes by it, and what moves all of them alike, which
    nothing trained, is not explained.
    """

    def __init__(self, net: keras.Model, card: ModelCard) -> None:
        self.net, self.card, self.verbs = net, card, card.verbs
        image = tf.TensorSpec((None, card.image.height, card.image.width), tf.float32)
        weights = tf.TensorSpec((None, len(card.classes)), tf.float32)

        def forward(images: tf.Tensor) -> tf.Tensor:
            logits = net(images, training=False)["logits"]
            return logits - tf.reduce_mean(logits, axis=1, keepdims=True)

        self._forward = tf.function(forward, input_signature=[image])

        def gradient(images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(images)
                score = tf.reduce_sum(forward(images) * weights)
            return tape.gradient(score, images)

        def features(images: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = dict(net(images, training=False))
            score = tf.reduce_sum(outputs.pop("logits") * (weights - tf.reduce_mean(weights, axis=1, keepdims=True)))
            if "feature_map" in outputs:
                outputs["feature_gradient"] = tf.gradients(score, outputs["feature_map"])[0]
            return outputs

        self._gradient = tf.function(gradient, input_signature=[image, weights])
        self._features = tf.function(features, input_signature=[image, weights])

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        return in_rows(lambda rows: self._forward(tf.constant(rows)).numpy(), images.astype(np.float32, copy=False))

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        found: Array = self._gradient(tf.constant(images, tf.float32), tf.constant(weights, tf.float32)).numpy()
        return found

    def features(self, images: Array, weights: Array) -> Features:
        """The net's inner views of images (n, H, W)."""
        found = self._features(tf.constant(images, tf.float32), tf.constant(weights, tf.float32))
        inner = {name: array.numpy() for name, array in found.items()}
        others = (inner.get(name) for name in ("feature_map", "feature_gradient", "attention"))
        return Features(inner["embedding"], *others)


def train(architecture: str, options: Mapping[str, Any], kind: str, digits: Array, seed: int = 0) -> Sibling:
    """A narrow net of that architecture, trained on pictures of `kind` drawn on the digits (n, 28, 28) until it follows
    the cause in new pictures, on a tenth of the digits set aside, or for EPOCHS.

    Every fifth picture of a batch is one without its cause, to be answered with every class alike: so that what lacks
    the cause is no evidence, as the trial takes it to be.
    """
    options = {**options, **NARROW.get(architecture, {})}
    held = len(digits) // 10
    pictures, new = planted(kind, digits[held:], seed, True), planted(kind, digits[:held], seed, False)
    keras.utils.set_random_seed(seed)
    net = ARCHITECTURES[architecture](*pictures.images.shape[1:], pictures.classes, **options)
    optimizer = keras.optimizers.Adam(2e-3)
    model = KerasModel(net, _card(net, architecture, kind, pictures))
    step = _step(net, optimizer)
    order, one_hot = np.random.default_rng(seed), np.eye(pictures.classes)
    none = np.full((1, pictures.classes), 1 / pictures.classes)  # what a picture without its cause shall be
    accuracy = without = 0.0
    for _ in range(EPOCHS):
        shuffled = order.permutation(len(pictures.images))
        for start in range(0, len(shuffled) - BATCH + 1, BATCH):
            rows = shuffled[start : start + BATCH]
            some = rows[: BATCH // 4]
            images = np.concatenate([pictures.images[rows], pictures.without[some]])
            targets = np.concatenate([one_hot[pictures.labels[rows]], np.repeat(none, len(some), axis=0)])
            step(tf.constant(images), tf.constant(targets, tf.float32))
        accuracy = _accuracy(model, new.images, new.labels)
        if accuracy >= FOLLOWS_SURELY:
            break
    without = _accuracy(model, new.without, new.labels)
    return Sibling(kind, model, accuracy, without, 1 / pictures.classes)


def save(model: KerasModel, folder: Path) -> Path:
    """The net as a SavedModel in `folder`, with the logits that `model` gives: less their mean."""
    net = folded(model.net)
    last = next(layer for layer in net.layers if layer.output is net.output["logits"])
    last.set_weights([weights - weights.mean(axis=-1, keepdims=True) for weights in last.get_weights()])
    module = tf.Module()
    module.weights = [weight.value for weight in net.variables]
    tf.saved_model.save(module, str(folder), signatures=signatures(net, 1.0))
    return folder


def _step(net: keras.Model, optimizer: keras.Optimizer) -> Any:
    optimizer.build(net.trainable_variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(images: tf.Tensor, targets: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = net(images, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        variables = net.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    return step


def _accuracy(model: KerasModel, images: Array, labels: Array) -> float:
    return float((model.forward(images).argmax(axis=1) == labels).mean())


def _card(net: keras.Model, architecture: str, kind: str, pictures: Planted) -> ModelCard:
    verbs: set[Verb] = {"forward", "gradient", "features"}
    inner: tuple[Verb, ...] = ("feature_map", "attention")
    verbs |= {name for name in inner if name in net.output}
    height, width = pictures.images.shape[1:]
    return ModelCard(
        f"{architecture}-{kind}", "1", f"sibling:{architecture}:{kind}", architecture,
        tuple(map(str, range(pictures.classes))), ImageSpec(height, width), 1.0, -np.inf,
        centroids(pictures.images), frozenset(verbs),
    )  # fmt: skip
