"""How many digits a net still reads when their pixels are changed on purpose.

Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks (2018), arXiv:1706.06083: projected gradient
descent on the loss, by signs, from a random start, within a cube around the picture. Must not know where nets come
from.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training.data import Array

SIZES = (0.05, 0.1, 0.2)  # of the largest change of a pixel; paper is 0 and ink is 1
STEPS = 20
STRIDE = 2.5  # times size / STEPS, so that a pixel can reach any place within its bounds

Logits = Callable[[tf.Tensor], tf.Tensor]
"""Images (n, H, W) in, logits (n, K) out, in TensorFlow's operations."""


def attacked(logits: Logits, images: Array, labels: Array, size: float, seed: int = 0) -> Array:
    """Images (n, H, W) in [0, 1] of which no pixel differs by more than `size`, chosen so that `logits` gives `labels`
    (n,) as little as possible."""
    truth = tf.constant(labels)
    low, high = np.clip(images - size, 0, 1), np.clip(images + size, 0, 1)
    found = np.clip(images + np.random.default_rng(seed).uniform(-size, size, images.shape), 0, 1).astype(np.float32)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            pixels = tf.constant(found)
            tape.watch(pixels)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits(pixels))
        step = STRIDE * size / STEPS * np.sign(tape.gradient(loss, pixels).numpy())
        found = np.clip(found + step, low, high).astype(np.float32)
    return found


def accuracies(logits: Logits, images: Array, labels: Array) -> dict[float, float]:
    """By size, the share of images (n, H, W) that are still read right."""
    shares = {}
    for size in SIZES:
        parts = [
            np.argmax(logits(tf.constant(attacked(logits, images[i : i + 250], labels[i : i + 250], size))), axis=1)
            for i in range(0, len(images), 250)
        ]
        shares[size] = float(np.mean(np.concatenate(parts) == labels))
    return shares
