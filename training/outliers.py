"""Pictures that are no digits, and the loss that keeps their energy low: a net that never saw any may be sure of noise.

Must not know nets or data; images are as everywhere in training: (n, H, W) in [0, 1].
"""

import math

import tensorflow as tf

SHARE = 16  # digits in a batch for each outlier
GRAINS = (1, 2, 4)  # pixels, sides of the squares that noise is made of
GAMMA = 4.0  # largest exponent of the noise, and its inverse the smallest: a few specks of ink to nearly all ink


def noise(rows: int, height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """Pictures of noise (n, H, W) of different grain, density and contrast; `seed` is an int32 pair."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, len(GRAINS) + 3))
    grain = tf.random.stateless_uniform((rows,), seeds[0], 0, len(GRAINS), tf.int32)
    pictures = tf.stack(
        [_squares(rows, height, width, side, one) for side, one in zip(GRAINS, seeds[3:], strict=True)], axis=1
    )
    chosen = tf.gather(pictures, grain, axis=1, batch_dims=1)
    exponent = tf.exp(tf.random.stateless_uniform((rows, 1, 1), seeds[1], -1.0, 1.0) * math.log(GAMMA))
    contrast = tf.random.stateless_uniform((rows, 1, 1), seeds[2], 0.3, 1.0)
    return contrast * tf.pow(chosen, exponent)


def _squares(rows: int, height: int, width: int, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Squares of `side` pixels, each of one random grey."""
    tall, wide = -(-height // side), -(-width // side)
    greys = tf.random.stateless_uniform((rows, tall, wide), seed)
    return tf.repeat(tf.repeat(greys, side, axis=1), side, axis=2)[:, :height, :width]


def losses(logits: tf.Tensor) -> tf.Tensor:
    """How far the energy score logsumexp(logits) of each outlier lies above that of all logits being 0.

    Linear, where Liu et al., Energy-based Out-of-distribution Detection (2020), arXiv:2010.03759, take the square: the
    first steps then do not belong to the outliers alone.
    """
    nothing = math.log(logits.shape[1])
    return tf.nn.relu(tf.reduce_logsumexp(logits, axis=1) - nothing)
