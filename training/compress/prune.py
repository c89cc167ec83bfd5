"""Structured pruning: a net with fewer channels and units, begun from the weights of those that count most.

What is left is a smaller dense net, which needs no sparse arithmetic to be fast. A channel counts by the length of the
weights that make it: Li et al., Pruning Filters for Efficient ConvNets (2017), arXiv:1608.08710.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from training.architectures import ARCHITECTURES
from training.data import Array
from training.errors import DataError
from training.store.fold import folded

Weights = list[Array]


def smaller(architecture: str, options: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The options of a net without this share of its channels and units; each layer keeps one at least.

    Raises:
        DataError: there is no way to make this architecture smaller.
    """

    def fewer(size: int) -> int:
        return max(1, round(size * (1 - share)))

    if architecture == "mlp":
        return {**options, "units": [fewer(size) for size in options["units"]]}
    if architecture == "cnn":
        dense = fewer(options["dense"]) if options["dense"] else 0
        return {**options, "filters": [fewer(size) for size in options["filters"]], "dense": dense}
    if architecture == "lstm":
        return {**options, "units": fewer(options["units"])}
    raise DataError(f"got the architecture {architecture}; what can be pruned are {', '.join(ARCHITECTURES)}")


def pruned(net: keras.Model, architecture: str, options: Mapping[str, Any]) -> keras.Model:
    """A net of the architecture with these `options`, whose sizes are those of `net` or smaller, with the weights of
    the channels and units of `net` that count most. Neither has batch normalisation (training/store/fold.py)."""
    height, width = net.inputs[0].shape[1:]
    small = folded(ARCHITECTURES[architecture](height, width, net.output["logits"].shape[1], **options))
    layers = [layer for layer in net.layers if layer.weights]
    targets = [layer for layer in small.layers if layer.weights]
    _FOLLOW[architecture](layers, targets)
    return small


def _kept(weights: Array, count: int) -> Array:
    """Which of the outputs, the last axis of weights, count most: so many, in their order."""
    lengths = np.sqrt((weights.reshape(-1, weights.shape[-1]) ** 2).sum(axis=0))
    kept: Array = np.sort(np.argsort(-lengths, kind="stable")[:count])
    return kept


def _narrow(layer: Any, target: Any, inputs: Array | None, outputs: Array | None = None) -> Array | None:
    """Give a dense layer's or a convolution's target the weights of these inputs and outputs (None: all of them), or
    of those outputs that count most where it has fewer; returns which outputs these are."""
    kernel, *bias = (np.asarray(one) for one in layer.get_weights())
    if inputs is not None:
        kernel = kernel[..., inputs, :]
    if outputs is None and target.weights[0].shape[-1] < kernel.shape[-1]:
        outputs = _kept(kernel, target.weights[0].shape[-1])
    if outputs is not None:
        kernel, bias = kernel[..., outputs], [one[outputs] for one in bias]
    target.set_weights([kernel, *bias])
    return outputs


def _dense(layers: Sequence[Any], targets: Sequence[Any]) -> None:
    inputs: Array | None = None
    for layer, target in zip(layers, targets, strict=True):
        inputs = _narrow(layer, target, inputs)


def _convolutions(layers: Sequence[Any], targets: Sequence[Any]) -> None:
    """Stages of convolutions, then attention pooling over heads or all positions, then dense layers."""
    inputs: Array | None = None
    channels = flattened = 0
    for layer, target in zip(layers, targets, strict=True):
        rows = layer.weights[0].shape[0]
        if isinstance(layer, keras.layers.Conv2D):
            channels = layer.filters
        elif len(layer.weights) == 1:  # the queries of the pooling: as many as before, of the channels that are left
            _narrow(layer, target, inputs)
            continue
        elif not flattened:  # the channels of each query or position, one after the other
            flattened = rows
            inputs = None if inputs is None else (np.arange(0, rows, channels)[:, None] + inputs).ravel()
        inputs = _narrow(layer, target, inputs)


def _recurrent(layers: Sequence[Any], targets: Sequence[Any]) -> None:
    """One reading or two, attention over the rows where there is any, then the logits."""
    (reader, *rest), (reading, *others) = layers, targets
    weights, units = list(reader.get_weights()), int(reading.weights[1].shape[0])
    wide, parts, states = int(weights[1].shape[0]), [], []
    for start in range(0, len(weights), 3):  # of each direction: kernel, recurrent kernel, bias; each has four gates
        kernel, recurrent, bias = weights[start : start + 3]
        gates = recurrent.reshape(wide, 4, wide)
        kept = _kept(np.concatenate([kernel.reshape(-1, 4, wide), gates]), units)
        narrow = (np.arange(4)[:, None] * wide + kept).ravel()
        parts += [kernel[:, narrow], recurrent[kept][:, narrow], bias[narrow]]
        states.append(kept + start // 3 * wide)
    reading.set_weights(parts)
    inputs = np.concatenate(states)
    *scores, logits = zip(rest, others, strict=True)
    hidden: Array | None = inputs
    for layer, target in scores:
        hidden = _narrow(layer, target, hidden)
    _narrow(*logits, inputs)


_FOLLOW: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], None]] = {
    "mlp": _dense,
    "cnn": _convolutions,
    "lstm": _recurrent,
}
