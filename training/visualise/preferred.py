"""Pictures that a class, or a filter, answers most to: activation maximisation.

Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009); regularised by shifts and by smoothness as in
Olah et al., Feature Visualization (2017), doi:10.23915/distill.00007.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter, shift

from server.types import Model
from training.data import Array
from training.errors import DataError
from training.incremental import named, rebuilt
from training.visualise.figures import Figure, grid

ABOUT = (
    "Pictures made from noise by following the gradient: of a class's logit against the mean of the others, or of a "
    "filter's mean. They are what excites the net, and need not look like what it was shown; an empty one wants paper."
)
STEPS, RATE = 150, 0.2  # of the way to a picture
SMOOTH = 0.6  # pixels, of the gradient
FAINT = 0.02  # of the ink that is taken away at each step, so that only what matters stays
MOST = 32  # filters of a layer that are shown

Slope = Callable[[Array], Array]


def draw(model: Model, version: Path, seed: int) -> list[Figure]:
    """By class, and where the net can be built again by filter of each convolution."""
    classes = len(model.card.classes)
    weights = np.eye(classes, dtype=np.float32) - 1 / classes
    shape = (classes, model.card.image.height, model.card.image.width)
    found = maximised(lambda images: model.gradient(images, weights), shape, seed)
    sure = model.forward(found).argmax(axis=1) == np.arange(classes)
    caption = f"What each class wants to see; {int(sure.sum())} of {classes} are read as that class."
    return [grid("classes", caption, list(found), model.card.classes), *_filters(version, seed)]


def maximised(slope: Slope, shape: tuple[int, int, int], seed: int) -> Array:
    """Pictures (n, H, W) in [0, 1] from noise, uphill along slope(pictures), averaged over steps and shifts; steps
    are as long for each picture, however steep its way."""
    random = np.random.default_rng(seed)
    pictures, towards = random.uniform(0, 0.2, shape), np.zeros(shape)
    for _ in range(STEPS):
        way = random.integers(-1, 2, 2)
        moved = np.stack([shift(picture, way, order=1) for picture in pictures])
        uphill = np.stack([shift(one, -way, order=1) for one in slope(moved.astype(np.float32))])
        towards = 0.9 * towards + 0.1 * gaussian_filter(uphill, (0, SMOOTH, SMOOTH))
        steepest = np.abs(towards).max(axis=(1, 2), keepdims=True)
        pictures = np.clip(pictures + RATE * towards / np.maximum(steepest, 1e-12) - FAINT, 0, 1)
    return pictures.astype(np.float32)


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
