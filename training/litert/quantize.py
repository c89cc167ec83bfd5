"""Post-training quantisation: a smaller file that predicts, and how far its answers are from those of the SavedModel.

Such a file only predicts. What explains stays float32, because slopes of rounded weights are not those of the net.
"""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf

from training.data import Array
from training.errors import ConversionError
from training.litert.conversion import FIRST, ConvertedFile, answers_of, converter_of, functions, truth_of
from training.litert.flatbuffer import join
from training.litert.subpixel import rewritten

Scheme = Literal["int8", "dynamic", "weight-only"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""8-bit weights and activations, ranges of which are taken from images; 8-bit weights alone, activations as they come;
or weights of 16 bits, computed in 32."""

CALIBRATION = 500  # images that ranges of activations are taken from
LEAST = 0.995  # of the images have to get the label that the SavedModel gives


def quantized(trackable: Any, scheme: Scheme, images: Array) -> ConvertedFile:
    """The forward of one image of a reloaded SavedModel as a file that predicts; images (n, H, W) like those that it
    will see.

    Raises:
        ConversionError: the net has an operation that cannot be quantised so.
    """
    converter = converter_of(functions(trackable)["forward"], "forward", 1, trackable)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "int8":
        few = images[:: max(1, len(images) // CALIBRATION)].astype(np.float32)

        def samples() -> Iterator[list[Array]]:
            return ([image[None]] for image in few)

        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if scheme == "weight-only":
        converter.target_spec.supported_types = [tf.float16]
    try:
        content = join({FIRST: rewritten(bytes(converter.convert()))})
    except Exception as error:  # the converter raises what its passes raise
        raise ConversionError(f"it cannot be quantised to {scheme} ({str(error).strip()[:300]})") from error
    return ConvertedFile("model.tflite", (FIRST,), content, roles=("predict",))


def agreement(file: ConvertedFile, scheme: Scheme, trackable: Any, images: Array) -> dict[str, Any]:
    """What the card says of a quantised file, measured on images (n, H, W): `same_labels`, the share of them that it
    calls what the SavedModel does, and `max_error`, the largest difference of a logit.

    Raises:
        ConversionError: too few get the same label, or an answer is not finite.
    """
    truth = truth_of(functions(trackable)["forward"], images)["logits"]
    found = answers_of(FIRST, file.content, images)["logits"]
    if not np.isfinite(found).all():
        raise ConversionError(f"quantised to {scheme}, it gives logits that are not finite")
    same = float(np.mean(found.argmax(axis=1) == truth.argmax(axis=1)))
    if same < LEAST:
        raise ConversionError(
            f"quantised to {scheme}, it names the digit that it named before in {same:.2%} of {len(images)} images; "
            f"expected at least {LEAST:.1%}"
        )
    error = float(np.abs(found - truth).max())
    return {"scheme": scheme, "images": len(images), "same_labels": round(same, 6), "max_error": error}
