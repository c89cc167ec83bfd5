"""Random changes that leave a digit the digit that it is: rotation, scale, shear, shift, stroke width, contrast.

They match what is left of people's pictures after normalisation; sizes are in the constants.
"""

import math

import tensorflow as tf

ROTATION = 14.0  # degrees, either way
SCALE = 0.14  # relative, either way
SHEAR = 0.2  # horizontal pixels per vertical pixel, either way
SHIFT = 2.0  # pixels, either way
STROKE = 0.7  # share of a full one-pixel dilation or erosion, either way
STROKE_SHARE = 0.4  # of the images that get another stroke width
GAMMA = 0.3  # of the logarithm of the grey exponent, either way
THROUGH = 0.5  # of the ink of another picture at most, where it shows through
THROUGH_SHARE = 0.3  # of the images that something shows through
COVERED = 9.0  # pixels at most, half sides of what is covered
COVERED_SHARE = 0.2  # of the images that have something covered
FILTER = 0.35  # spread of the weights of a random filter beside its centre
FILTER_SHARE = 0.15  # of the images that go through one


def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Change images (n, H, W) in [0, 1]; `seed` is an int32 pair, and equal seeds give equal changes."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    images = _stroke(_affine(images, seeds[0]), seeds[1])
    exponent = tf.exp(_uniform(seeds[2], tf.shape(images)[0], 1, GAMMA))
    return tf.pow(tf.clip_by_value(images, 1e-6, 1.0), exponent[:, :, None])


def soiled(images: tf.Tensor, others: tf.Tensor, seed: tf.Tensor, strength: float | tf.Tensor = 1.0) -> tf.Tensor:
    """Images (n, H, W) of which some go through a random filter, some have a part covered by grey, and others (m, H, W)
    show faintly through some, as what is on the back of thin paper; `seed` as there, `strength` in [0, 1] how many.

    Random filters: Xu et al., Robust and Generalizable Visual Representation Learning via Random Convolutions (2021),
    arXiv:2007.13003; covers: Zhong et al., Random Erasing Data Augmentation (2017), arXiv:1708.04896.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    rows = tf.shape(images)[0]
    draws = tf.random.stateless_uniform((rows, 2), seeds[0])
    other = tf.gather(others, tf.random.stateless_uniform((rows,), seeds[1], 0, tf.shape(others)[0], tf.int32))
    through = tf.where(draws[:, 0] < strength * THROUGH_SHARE, draws[:, 0] / THROUGH_SHARE * THROUGH, 0.0)
    filtered = _filtered(images, draws[:, 1] < strength * FILTER_SHARE, seeds[2])
    return tf.maximum(_covered(filtered, seeds[3], strength), through[:, None, None] * other)


def _filtered(images: tf.Tensor, chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The chosen ones (n,) through one filter of 3 x 3 random weights."""
    weights = tf.random.stateless_normal((3, 3), seed) * FILTER
    weights += tf.constant([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    through = tf.nn.conv2d(images[..., None], weights[:, :, None, None], 1, "SAME")[..., 0]
    return tf.where(chosen[:, None, None], tf.clip_by_value(tf.abs(through), 0.0, 1.0), images)


def _covered(images: tf.Tensor, seed: tf.Tensor, strength: float | tf.Tensor) -> tf.Tensor:
    """Some with a rectangle of one grey upon them."""
    rows, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform((6, rows, 1, 1), seed)
    y, x = tf.range(height, dtype=tf.float32)[:, None], tf.range(width, dtype=tf.float32)[None]
    tall, wide = draws[2] * COVERED, draws[3] * COVERED
    inside = (tf.abs(y - draws[0] * height) < tall) & (tf.abs(x - draws[1] * width) < wide)
    return tf.where(inside & (draws[4] < strength * COVERED_SHARE), draws[5], images)


def _uniform(seed: tf.Tensor, rows: tf.Tensor, columns: int, size: float) -> tf.Tensor:
    return tf.random.stateless_uniform((rows, columns), seed, -size, size)


def _affine(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Map each output pixel back through rotation, scale and shear around the centre, then a shift."""
    height, width = images.shape[1], images.shape[2]
    draws = tf.unstack(_uniform(seed, tf.shape(images)[0], 6, 1.0), axis=1)
    angle = draws[0] * (ROTATION * math.pi / 180)
    scale_x, scale_y = tf.exp(draws[1] * SCALE), tf.exp(draws[2] * SCALE)
    cos, sin, shear = tf.cos(angle), tf.sin(angle), draws[3] * SHEAR
    a, b = cos / scale_x, (shear * cos - sin) / scale_y
    c, d = sin / scale_x, (shear * sin + cos) / scale_y
    x0, y0 = (width - 1) / 2, (height - 1) / 2
    shift_x = x0 - a * x0 - b * y0 + draws[4] * SHIFT
    shift_y = y0 - c * x0 - d * y0 + draws[5] * SHIFT
    zero = tf.zeros_like(a)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., None],
        transforms=tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1),
        output_shape=tf.constant([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[..., 0]


def _stroke(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blend some images with their own dilation (thicker) or erosion (thinner)."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    rows = tf.shape(images)[0]
    chosen = tf.random.stateless_uniform((rows, 1), seeds[0]) < STROKE_SHARE
    amount = tf.where(chosen, _uniform(seeds[1], rows, 1, STROKE), 0.0)[:, :, None]
    thick = tf.nn.max_pool2d(images[..., None], 2, 1, "SAME")[..., 0]
    thin = -tf.nn.max_pool2d(-images[..., None], 2, 1, "SAME")[..., 0]
    return images + tf.nn.relu(amount) * (thick - images) + tf.nn.relu(-amount) * (thin - images)
