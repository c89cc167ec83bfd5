"""The weights of a SavedModel as arrays, and as the state of the same CNN in PyTorch.

`of` needs TensorFlow; `to_torch` needs nothing but numpy.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.case import Array

DENSE = ("queries", "dense")  # in the order of the graph: attention pooling, then the logits


def of(folder: Path) -> dict[str, Array]:
    """Every weight of the SavedModel in `folder` by its name, in the order of the layers; no seeds of dropout."""
    import tensorflow as tf  # heavy, and not there where `to_torch` is called

    trackable = tf.saved_model.load(str(folder))
    return {one.name.split(":")[0]: one.numpy() for one in trackable.weights if one.dtype.is_floating}


def to_torch(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same weights under the names and in the layouts of `peers.torch_net.Net`.

    Raises:
        ValueError: a weight that the CNN does not have.
    """
    state: dict[str, Array] = {}
    convs, dense = itertools.count(), iter(DENSE)
    layer: str | None = None
    for name, array in arrays.items():
        kind = name.split("/")[-1]
        if kind == "kernel":
            layer = f"convs.{next(convs)}" if array.ndim == 4 else next(dense, None)
        if layer is None or kind not in ("kernel", "bias"):
            raise ValueError(f"{name} {array.shape} is no weight of the CNN with attention pooling")
        transposed = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        state[f"{layer}.{'weight' if kind == 'kernel' else 'bias'}"] = np.ascontiguousarray(transposed)
    return state
