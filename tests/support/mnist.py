"""Where tests find MNIST: the file that INKLING_MNIST names, or the Keras cache. It is no part of the project."""

import os
from pathlib import Path

import numpy as np
import pytest

from server.types import Array

CACHE = Path.home() / ".keras" / "datasets" / "mnist.npz"


def mnist_path() -> Path:
    """The file; skips the test where there is none."""
    named = os.environ.get("INKLING_MNIST")
    path = Path(named) if named else CACHE
    if not path.is_file():
        pytest.skip("needs MNIST: set INKLING_MNIST to an mnist.npz, or let keras.datasets.mnist download it")
    return path


def mnist_test() -> tuple[Array, Array]:
    """The 10,000 test images, uint8, and their labels."""
    with np.load(mnist_path()) as stored:
        return stored["x_test"], stored["y_test"]
