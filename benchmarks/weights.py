"""The weights of a SavedModel as arrays, and as the state of the same CNN in PyTorch.

`of` needs TensorFlow; `to_torch` needs nothing but numpy.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.case import Array

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
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
    seen = dict.fromkeys(["conv", "dense", *NORM, "bias"], 0)  # how many of a kind came before
    for name, array in arrays.items():
        kind = name.split("/")[-1]
        if kind == "kernel" and array.ndim == 4:
            key, value = f"convs.{seen['conv']}.weight", array.transpose(3, 2, 0, 1)
            seen["conv"] += 1
        elif kind == "kernel" and array.ndim == 2 and seen["dense"] < len(DENSE):
            key, value = f"{DENSE[seen['dense']]}.weight", array.T
            seen["dense"] += 1
        elif kind in NORM:
            key, value = f"norms.{seen[kind]}.{NORM[kind]}", array
            seen[kind] += 1
        elif kind == "bias" and not seen["bias"]:
            key, value = f"{DENSE[-1]}.bias", array
            seen["bias"] += 1
        else:
            raise ValueError(f"{name} {array.shape} is no weight of the CNN with attention pooling")
        state[key] = np.ascontiguousarray(value)
    return state
