"""A trained net as it is exported: batch normalisation, by then a scale and a shift, is part of the layer before it.

The answers are the same to rounding, with fewer operations for everyone who calls or differentiates the SavedModel.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from training.data import Array


def folded(model: keras.Model) -> keras.Model:
    """A copy of a functional `model` for inference, without the batch normalisations that follow a layer of weights."""
    norms = {norm: before for norm in model.layers if (before := _foldable(norm, model)) is not None}
    targets = set(norms.values())

    def clone(layer: Any) -> Any:
        if layer in norms:
            return layers.Identity()
        config = layer.get_config()
        if "dtype" in config:
            config["dtype"] = "float32"  # whatever it was trained in
        return type(layer).from_config({**config, "use_bias": True} if layer in targets else config)

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        return inputs[0] if isinstance(layer, layers.Identity) else layer(*inputs, **options)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    norm_of = {before: norm for norm, before in norms.items()}
    for layer in model.layers:
        if layer.weights and layer not in norms:
            copy.get_layer(layer.name).set_weights(_weights(layer, norm_of))
    return copy


def _foldable(norm: Any, model: keras.Model) -> Any | None:
    """The layer that a batch normalisation can become a part of: of weights, linear, without a bias, used only here."""
    if not isinstance(norm, layers.BatchNormalization):
        return None
    before = next(layer for layer in model.layers if layer.output is norm.input)
    used = [*model.outputs, *keras.tree.flatten([layer.input for layer in model.layers if layer is not before])]
    single_use = sum(tensor is before.output for tensor in used) == 1
    linear = isinstance(before, layers.Dense | layers.Conv2D) and before.activation is keras.activations.linear
    return before if single_use and linear and not before.use_bias else None


def _weights(layer: Any, norm_of: Mapping[Any, Any]) -> list[Array]:
    """What the layer's copy has to hold."""
    if layer not in norm_of:
        return list(layer.get_weights())
    norm = norm_of[layer]
    (kernel,) = layer.get_weights()
    mean, variance = (one.numpy().astype(np.float64) for one in (norm.moving_mean, norm.moving_variance))
    gamma, beta = (one.numpy().astype(np.float64) for one in (norm.gamma, norm.beta))
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [(kernel * scale).astype(np.float32), (beta - mean * scale).astype(np.float32)]
