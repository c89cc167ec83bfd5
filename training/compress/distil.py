"""Knowledge distillation: a small net learns what larger ones say of every class, not the right one alone.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015), arXiv:1503.02531.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from training.errors import DataError

TEMPERATURE = 3.0  # by which logits are divided, so that small probabilities count

Teacher = Callable[[tf.Tensor], tf.Tensor]
"""Images (n, H, W) -> probabilities (n, K) at TEMPERATURE."""


def teacher_of(versions: Sequence[Path], classes: int) -> Teacher:
    """What the stored versions say together: the mean of their softened probabilities.

    Raises:
        DataError: a version tells another number of classes apart.
    """
    loaded = [tf.saved_model.load(str(version)) for version in versions]
    for version, one in zip(versions, loaded, strict=True):
        found = one.signatures["serving_default"].structured_outputs["logits"].shape[1]
        if found != classes:
            raise DataError(f"{version} tells {found} classes apart; expected {classes}, as the data has")

    def teach(images: tf.Tensor) -> tf.Tensor:
        # loaded outlives its signatures, which hold its variables by weak references only
        said = [one.signatures["serving_default"](images=images)["logits"] for one in loaded]
        return tf.add_n([tf.nn.softmax(logits / TEMPERATURE) for logits in said]) / len(said)

    return teach


def losses(probabilities: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The losses (n,) of a student's logits (n, K) beside the teacher's probabilities (n, K): their cross-entropy,
    times the square of TEMPERATURE, so that its gradients are as large as those of the labels' loss."""
    softened = tf.nn.softmax_cross_entropy_with_logits(probabilities, logits / TEMPERATURE)
    return TEMPERATURE**2 * softened
