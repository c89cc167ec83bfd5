"""Loads the graphs of a SavedModel, so that TensorFlow keeps nothing of them afterwards, and checks their signatures
against the contract."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

from server.models.card import BrokenVersion
from server.types import ModelCard

LOADER = "tensorflow.python.saved_model.function_deserialization"


def load(folder: Path) -> tuple[Any, Collection[str]]:
    """The trackable, and the names of its gradients in TensorFlow's registry. That is global and never emptied: it
    keeps the graphs and the weights of every SavedModel that was ever loaded. Only one thread may load.
    """
    before = set(gradient_registry.list())
    try:
        return tf.saved_model.load(str(folder)), _added(before)
    except BaseException:
        forget(_added(before))
        raise


def _added(before: Collection[str]) -> list[str]:
    """What the loader has registered since; other threads may have registered other gradients."""
    new = [name for name in list(gradient_registry.list()) if name not in before]
    return [name for name in new if getattr(gradient_registry.lookup(name), "__module__", "") == LOADER]


def forget(names: Collection[str]) -> None:
    """Take gradients out of TensorFlow's registry, which has no way to do that."""
    for name in names:
        gradient_registry._registry.pop(name, None)


def check_signature(signatures: Any, card: ModelCard) -> None:
    """Raises:
    BrokenVersion: there is no serving_default, or it does not take images or give logits as the card says.
    """
    if "serving_default" not in signatures:
        raise BrokenVersion(f"it has no signature serving_default; it has {', '.join(signatures) or 'none'}")
    serve = signatures["serving_default"]
    takes = serve.structured_input_signature[1]
    if set(takes) != {"images"}:
        raise BrokenVersion(f"serving_default takes {', '.join(takes) or 'nothing'}; expected images")
    _check("takes images", takes["images"], (card.image.height, card.image.width))
    if takes["images"].shape.rank is not None and takes["images"].shape[0] is not None:
        raise BrokenVersion(f"serving_default takes {takes['images'].shape[0]} images at a time; expected any number")
    gives = serve.structured_outputs
    if "logits" not in gives:
        raise BrokenVersion(f"serving_default gives {', '.join(gives) or 'nothing'}; expected logits, probabilities")
    for name in ("logits", "probabilities"):
        if name in gives:
            _check(f"gives {name}", gives[name], (len(card.classes),))


def _check(what: str, spec: Any, shape: tuple[int, ...]) -> None:
    if spec.dtype != tf.float32 or not spec.shape.is_compatible_with((None, *shape)):
        expected = ", ".join(map(str, ("n", *shape)))
        raise BrokenVersion(f"serving_default {what} {spec.dtype.name} {spec.shape}; expected float32 ({expected})")
