"""SavedModels from anywhere: what is refused by its signature, and that nothing of one stays when it is let go of."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.ops import gradient_registry

from server.models.card import BrokenVersion
from server.models.loading import Loading
from server.models.savedmodel import SavedModel
from server.types import ModelCard
from tests.support.models.nets import card, folder
from tests.support.models.stores import as_loaded, card_28, write_version
from tests.support.models.tiny import save


def spec(shape: tuple[int | None, ...], dtype: tf.DType = tf.float32, name: str = "images") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name=name)


def test_a_net_without_probabilities_is_served(tmp_path: Path) -> None:
    model = SavedModel(save(tmp_path / "net"), card_28())
    assert model.forward(np.ones((3, 28, 28), np.float32)).shape == (3, 10)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "images of another size": ({"spec": spec((None, 8, 8))}, r"takes images float32 \(None, 8, 8\); expected .*28, 28"),
    "flat images": ({"spec": spec((None, 784))}, r"expected float32 \(n, 28, 28\)"),
    "images of another type": ({"spec": spec((None, 28, 28), tf.float64)}, "takes images float64"),
    "one image at a time": ({"spec": spec((1, 28, 28))}, "1 images at a time; expected any number"),
    "an input of another name": ({"spec": spec((None, 28, 28), name="x")}, "takes x; expected images"),
    "too few classes": ({"outputs": lambda logits: {"logits": logits[:, :9]}}, r"gives logits float32 \(None, 9\)"),
    "no logits": ({"outputs": lambda logits: {"scores": logits}}, "gives scores; expected logits"),
    "whole numbers": ({"outputs": lambda logits: {"logits": tf.cast(logits, tf.int32)}}, "gives logits int32"),
    "probabilities of another shape": (
        {"outputs": lambda logits: {"logits": logits, "probabilities": logits[:, 0]}}, "gives probabilities",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_signature_that_is_not_the_contracts_is_refused(tmp_path: Path, name: str) -> None:
    changes, words = WRONG[name]
    net = save(tmp_path / "net", **changes)
    before = set(gradient_registry.list())
    with pytest.raises(BrokenVersion, match=words):
        SavedModel(net, card_28())
    assert set(gradient_registry.list()) == before


def test_a_savedmodel_without_the_signature_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "net"))
    with pytest.raises(BrokenVersion, match="no signature serving_default"):
        SavedModel(tmp_path / "net", card_28())


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    root = write_version(tmp_path, twin=False)

    def load(where: Path, of: ModelCard) -> SavedModel:
        return SavedModel(save(tmp_path / "net", outputs=lambda logits: {"logits": logits * np.nan}), of)

    loading = Loading(load, as_loaded(load))
    with pytest.raises(BrokenVersion, match="the SavedModel gave logits that are not finite"):
        loading.complete(loading.open(root))


def graphs() -> int:
    gc.collect()
    return sum(isinstance(one, FuncGraph) for one in gc.get_objects())


def test_a_model_that_is_let_go_of_leaves_nothing_behind() -> None:
    """TensorFlow's registry of gradients keeps every graph that it ever loaded: not here."""

    def reload() -> np.ndarray:
        model = SavedModel(folder("mlp"), card("mlp"))
        model.gradient(np.ones((2, 28, 28), np.float32), np.ones((2, 10), np.float32))
        logits = model.forward(np.ones((2, 28, 28), np.float32))
        model.close()
        return logits

    first = reload()
    graphs_before, registered = graphs(), len(gradient_registry.list())
    assert np.array_equal(reload(), first)
    assert (graphs(), len(gradient_registry.list())) == (graphs_before, registered)
