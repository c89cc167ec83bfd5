"""Real SavedModels that load in a moment, because they have few operations; and whole versions of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from server.models.card import CARD, TWIN
from tests.support.models.stores import sha256, write_version

IMAGES = tf.TensorSpec((None, 28, 28), tf.float32, name="images")
HIDDEN = 512  # as wide as the shipped MLP, so that memory kept of a net is noticed


def save(
    where: Path,
    spec: tf.TensorSpec = IMAGES,
    outputs: Callable[[Any], dict[str, Any]] | None = None,
    scale: float = 1.0,
) -> Path:
    """A net with one hidden layer; `outputs` makes what it gives of its logits."""
    module = tf.Module()
    pixels = int(np.prod([side or 1 for side in spec.shape[1:]]))
    module.inner = tf.Variable(tf.random.stateless_normal((pixels, HIDDEN), (1, 2)) / pixels**0.5)
    module.outer = tf.Variable(scale * tf.random.stateless_normal((HIDDEN, 10), (3, 4)) / HIDDEN**0.5)

    def serve(images: Any) -> dict[str, Any]:
        flat = tf.reshape(tf.cast(images, tf.float32), (-1, pixels))
        logits = tf.matmul(tf.nn.silu(flat @ module.inner), module.outer, name=f"times_{scale:g}")
        return {"logits": logits} if outputs is None else outputs(logits)

    if spec.name != "images":
        function = tf.function(lambda x: serve(x), input_signature=[tf.TensorSpec(spec.shape, spec.dtype, "x")])
    else:
        function = tf.function(serve, input_signature=[spec])
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)  # as Keras does; silu has one
    tf.saved_model.save(module, str(where), {"serving_default": function}, options)
    return where


def write_tiny(root: Path, name: str = "tiny", outputs: Callable[[Any], dict[str, Any]] | None = None) -> Path:
    """Version 1 of such a net with its twin; `outputs` changes what the SavedModel gives, and not the twin."""
    folder = write_version(root, name, "1", frozenset({"forward", "gradient"}), twin=False)
    (folder / "saved_model.pb").unlink()
    save(folder)
    (folder / TWIN).write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    if outputs is not None:
        save(folder, outputs=outputs)
    sign(folder)
    return folder


def sign(folder: Path) -> None:
    """Write the card anew, with the hashes of the files as they are."""
    card = json.loads((folder / CARD).read_text())
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != CARD.name]
    card["files"] = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    (folder / CARD).write_text(json.dumps(card))
