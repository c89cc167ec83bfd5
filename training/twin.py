"""The LiteRT twin of a SavedModel: converted from the signature of the reloaded SavedModel, accepted by its answers.

Conversion can go wrong without any error (files whose logits are NaN or 1e19 have been seen), so the answers decide.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from training.data import Array

TOLERANCE = 1e-4  # logits, largest difference on any compared image
COMPARED = 1000  # images, at least


class TwinError(RuntimeError):
    """The converted model does not answer like its SavedModel."""


def convert(version: Path) -> bytes:
    """The twin of the SavedModel in `version`: one image at a time, float32, built-in operations only."""
    trackable = tf.saved_model.load(str(version))
    serve = trackable.signatures["serving_default"]
    height, width = serve.structured_input_signature[1]["images"].shape[1:]

    @tf.function  # type: ignore[untyped-decorator]
    def one(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = serve(images=images)
        return outputs

    function = one.get_concrete_function(tf.TensorSpec((1, height, width), tf.float32, name="images"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], trackable)
    return bytes(converter.convert())


def check(twin: bytes, serve: Callable[[Array], Array], images: Array) -> float:
    """Largest difference of any logit between the twin and `serve` (images -> logits) on images (n, H, W).

    Raises:
        TwinError: fewer than 1,000 images, a value that is not finite, or a difference above 1e-4.
    """
    if len(images) < COMPARED:
        raise TwinError(f"compared on {len(images)} images; expected at least {COMPARED}")
    answers = _logits(twin, images)
    if not np.isfinite(answers).all():
        raise TwinError("the twin gives values that are not finite")
    error = float(np.abs(answers - serve(images)).max())
    if not error <= TOLERANCE:
        raise TwinError(f"the twin's logits differ by {error:.2g}; expected at most {TOLERANCE:g}")
    return error


def _logits(twin: bytes, images: Array) -> Array:
    interpreter = Interpreter(model_content=twin, num_threads=1)
    runner = interpreter.get_signature_runner()
    return np.concatenate([runner(images=image[None])["logits"] for image in images])
