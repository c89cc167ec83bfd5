"""Pictures that are no digits, and the loss that keeps their energy low: a net that never saw any may be sure of noise.

Must not know nets or data; images are as everywhere in training: (n, H, W) in [0, 1].
"""

import math

import tensorflow as tf

NOISE, DRAWN = 16, 5  # digits in a batch for each picture of noise, and for each drawn one that is no digit
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


def losses(logits: tf.Tensor, unlike: tf.Tensor) -> tf.Tensor:
    """How wrong it is to tell digits, with logits (n, K), from outliers, with logits (m, K), by their energy score
    logsumexp(logits): the logistic losses (n + m,) about the score of all logits being 0.

    That is the loss of one more class for what is no digit, whose logit is fixed. Bitterwolf et al., Breaking Down
    Out-of-Distribution Detection (2022), arXiv:2206.09880, find it as good as other ways to expose a net to outliers;
    the energy is of Liu et al. (2020), arXiv:2010.03759. Digits have a part in it, because the loss of their labels
    leaves it open how high all logits of a picture are.
    """
    nothing = math.log(logits.shape[1])
    above, below = tf.reduce_logsumexp(logits, axis=1) - nothing, tf.reduce_logsumexp(unlike, axis=1) - nothing
    return tf.concat([tf.nn.softplus(-above), tf.nn.softplus(below)], 0)
