"""What the peers serve: pictures in base64 -> classes, by our server/images and the SavedModel's serving_default in one
batch."""

import base64
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from server.images import decode
from server.types import ImageSpec

SPEC = ImageSpec(28, 28)


class Net:
    """The SavedModel in `folder`."""

    def __init__(self, folder: str) -> None:
        self.loaded = tf.saved_model.load(folder)
        self.serve = self.loaded.signatures["serving_default"]
        for rows in (1, 2, 4, 8, 16, 32):
            self.predict(np.zeros((rows, 28, 28), np.float32))

    def predict(self, images: np.ndarray) -> list[list[float]]:
        return self.serve(images=tf.constant(images))["probabilities"].numpy().tolist()


def decoded(text: str) -> np.ndarray:
    """The digit (28, 28) float32 in [0, 1] in a file in base64, as our own server finds it."""
    return decode(base64.b64decode(text), SPEC).pixels


def stacked(texts: Sequence[str]) -> np.ndarray:
    return np.stack([decoded(text) for text in texts])
