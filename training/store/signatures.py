"""The graphs of a SavedModel as the contract names them: serving_default, serving_bytes, features."""

from typing import Any

import keras
import tensorflow as tf


def signatures(model: keras.Model, temperature: float) -> dict[str, Any]:
    """The signatures of a trained net, by name; probabilities are softmax(logits / temperature)."""
    height, width = model.inputs[0].shape[1:]
    classes = model.output["logits"].shape[1]

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = model(images, training=False)["logits"]
        return {"logits": logits, "probabilities": tf.nn.softmax(logits / temperature)}

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        grey = tf.map_fn(
            lambda body: _grey(body, height, width),
            image_bytes,
            fn_output_signature=tf.TensorSpec((height, width), tf.float32),
        )
        return serve(grey)

    def features(images: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = dict(model(images, training=False))
        score = tf.reduce_sum(outputs.pop("logits") * weights)
        if "feature_map" in outputs:
            outputs["feature_gradient"] = tf.gradients(score, outputs["feature_map"])[0]
        return outputs

    images = tf.TensorSpec((None, height, width), tf.float32, name="images")
    weights = tf.TensorSpec((None, classes), tf.float32, name="weights")
    body = tf.TensorSpec((None,), tf.string, name="image_bytes")
    return {
        "serving_default": tf.function(serve).get_concrete_function(images),
        "serving_bytes": tf.function(serve_bytes).get_concrete_function(body),
        "features": tf.function(features).get_concrete_function(images, weights),
    }


def _grey(body: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """An encoded picture as grey pixels (height, width) in [0, 1]; nothing is inverted, cropped or centred."""
    pixels = tf.cond(  # decode_image takes the fast DCT, which is up to 120 of 255 levels off
        tf.io.is_jpeg(body),
        lambda: tf.io.decode_jpeg(body, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(body, channels=3, expand_animations=False),
    )
    pixels.set_shape((None, None, 3))
    # not rgb_to_grayscale: its weights sum to 0.9999, so that grey pixels would not stay what they are
    grey = tf.tensordot(tf.cast(pixels, tf.float32) / 255.0, tf.constant([[0.299], [0.587], [0.114]]), 1)
    return tf.image.resize(grey, (height, width), antialias=True)[:, :, 0]
