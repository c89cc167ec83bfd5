"""Pictures that a class, or a filter, answers most to: activation maximisation."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from server.types import Model
from training.errors import DataError
from training.incremental import named, rebuilt
from training.store.views import Slope, maximised
from training.visualise.figures import Figure, grid

ABOUT = (
    "Pictures made from noise by following the gradient: of a class's logit against the mean of the others, or of a "
    "filter's mean. They are what excites the net, and need not look like what it was shown; an empty one wants paper."
)
MOST = 32  # filters of a layer that are shown


def draw(model: Model, version: Path, seed: int) -> list[Figure]:
    """By class, and where the net can be built again by filter of each convolution."""
    classes = len(model.card.classes)
    weights = np.eye(classes, dtype=np.float32) - 1 / classes
    shape = (classes, model.card.image.height, model.card.image.width)
    found = maximised(lambda images: model.gradient(images, weights), shape, seed)
    sure = model.forward(found).argmax(axis=1) == np.arange(classes)
    caption = f"What each class wants to see; {int(sure.sum())} of {classes} are read as that class."
    return [grid("classes", caption, list(found), model.card.classes), *_filters(version, seed)]


def _filters(version: Path, seed: int) -> list[Figure]:
    try:
        net = rebuilt(version)
    except DataError:  # of another architecture: its layers are not known here
        return []
    figures = []
    for name, layer in named(net).items():
        if isinstance(layer, keras.layers.Conv2D):
            count = min(MOST, int(layer.output.shape[-1]))
            found = maximised(_slope_of(net, layer, count), (count, *net.inputs[0].shape[1:]), seed)
            caption = f"What filters of {name} want to see, {count} of {layer.output.shape[-1]}."
            figures.append(grid(f"filters-{name}", caption, list(found), [str(one) for one in range(count)], 16))
    return figures


def _slope_of(net: keras.Model, layer: keras.Layer, count: int) -> Slope:
    """Of the mean of filter i of a layer, for picture i."""
    inner = keras.Model(net.inputs[0], layer.output)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def slope(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            means = tf.reduce_mean(inner(images, training=False), axis=(1, 2))[:, :count]
            score = tf.linalg.trace(means)
        return tape.gradient(score, images)

    return lambda images: np.asarray(slope(tf.constant(images)))
