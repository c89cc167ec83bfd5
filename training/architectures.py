"""The three nets. Each takes images (n, H, W) in [0, 1] and gives a dictionary: `logits` (n, K), `embedding` (n, D),
and where it has them `feature_map` (n, h, w, c) and `attention` (n, H, W), whose rows sum to 1. Activations are
smooth: gradients along a path are then integrated with far fewer steps than over the kinks of a ReLU.

To add one: a function here and its name in ARCHITECTURES. The server sees only signatures, never these functions.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

Outputs = dict[str, keras.KerasTensor]


def mlp(
    height: int,
    width: int,
    classes: int,
    units: Sequence[int] = (512, 256),
    dropout: float = 0.2,
    activation: str = "silu",
) -> keras.Model:
    """Dense layers over the flattened pixels. `units=(64,)` is the classic 784-64-10."""
    images = keras.Input((height, width), name="images")
    x = layers.Flatten()(images)
    for size in units:
        x = layers.Dense(size, use_bias=False)(x)
        x = layers.Dropout(dropout)(layers.Activation(activation)(_normalised(x)))
    return keras.Model(images, {"logits": layers.Dense(classes)(x), "embedding": x}, name="mlp")


def cnn(
    height: int,
    width: int,
    classes: int,
    filters: Sequence[int] = (24, 48),
    depth: int = 2,
    heads: int = 4,
    dense: int = 0,
    dropout: float = 0.1,
    activation: str = "silu",
) -> keras.Model:
    """Stages of `depth` convolutions, each stage halving the picture; then attention pooling by `heads` learned
    queries, or with `heads=0` all positions side by side.

    `filters=(32, 64), depth=1, heads=0, dense=128` is the classic 32-64-128.
    """
    images = keras.Input((height, width), name="images")
    x = layers.Reshape((height, width, 1))(images)
    for stage, size in enumerate(filters):
        for layer in range(depth):
            first = stage == layer == 0
            x = layers.Conv2D(size, 5 if first else 3, 2 if layer == 0 else 1, "same", use_bias=False)(x)
            x = layers.Activation(activation)(_normalised(x))
    outputs: Outputs = {"feature_map": x}
    if heads:
        x, outputs["attention"] = _attend(x, heads, height, width)
    x = layers.Flatten()(x)
    if dense:
        x = layers.Dense(dense, activation=activation)(layers.Dropout(dropout)(x))
    outputs["embedding"] = x
    outputs["logits"] = layers.Dense(classes)(layers.Dropout(dropout)(x))
    return keras.Model(images, outputs, name="cnn")


def lstm(
    height: int, width: int, classes: int, units: int = 96, attention: bool = True, dropout: float = 0.2
) -> keras.Model:
    """The rows of the image as a sequence, read from the top and from the bottom; learned attention says how much each
    row counts. `attention=False` keeps the last state of one reading from the top: the classic LSTM.

    Unrolled, because only then does it convert to built-in LiteRT operations.
    """
    images = keras.Input((height, width), name="images")
    if not attention:
        state = layers.LSTM(units, unroll=True)(images)
        logits = layers.Dense(classes)(layers.Dropout(dropout)(state))
        return keras.Model(images, {"logits": logits, "embedding": state}, name="lstm")
    states = layers.Bidirectional(layers.LSTM(units, unroll=True, return_sequences=True))(images)  # (n, H, 2 units)
    states = layers.Dropout(dropout)(states)
    scores = layers.Dense(1)(layers.Dense(max(1, units // 2), activation="tanh")(states))  # (n, H, 1)
    share = layers.Softmax(axis=1, name="row_share")(scores)
    pooled = layers.Flatten()(layers.Dot(axes=(1, 1))([share, states]))
    outputs: Outputs = {"embedding": pooled, "logits": layers.Dense(classes)(layers.Dropout(dropout)(pooled))}
    outputs["attention"] = ops.repeat(share / width, width, axis=2)
    return keras.Model(images, outputs, name="lstm")


def _normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalisation over the whole batch, however many replicas of the strategy in scope have a part of it."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return layers.BatchNormalization(synchronized=several)(x)


def _attend(x: keras.KerasTensor, heads: int, height: int, width: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Pool a feature map (n, h, w, c) into (n, heads, c); the mean of the heads' shares as a map (n, H, W)."""
    rows, columns, channels = x.shape[1:]
    positions = layers.Reshape((rows * columns, channels))(x)
    share = layers.Softmax(axis=1)(layers.Dense(heads, use_bias=False)(positions))  # (n, h w, heads)
    pooled = layers.Dot(axes=(1, 1))([share, positions])
    grid = ops.reshape(ops.mean(share, axis=2), (-1, rows, columns))
    tall, wide = -(-height // rows), -(-width // columns)
    spread = ops.repeat(ops.repeat(grid, tall, axis=1), wide, axis=2)[:, :height, :width]
    return pooled, spread / ops.sum(spread, axis=(1, 2), keepdims=True)


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm}


def all_options(architecture: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a net, those that are given and the defaults of all others: for its card, so that it can be built
    again when defaults have changed."""
    named = inspect.signature(ARCHITECTURES[architecture]).parameters.values()
    return {one.name: given.get(one.name, one.default) for one in named if one.default is not inspect.Parameter.empty}
