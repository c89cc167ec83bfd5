"""The LiteRT files of a SavedModel: forward, gradient and features, so that a server explains without TensorFlow.

Each function is converted from the reloaded SavedModel and accepted only by its answers: conversion can go wrong
without any error (files whose logits are NaN or 1e19 have been seen). Gradients convert only for fixed numbers of rows,
so every function takes the number of rows that its name ends with: one, and those of a block.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from training.data import Array
from training.errors import ConversionError
from training.litert.flatbuffer import join, operators
from training.litert.subpixel import rewritten

ROWS: Mapping[str, tuple[int, ...]] = {"forward": (16, 32), "gradient": (8, 16), "features": ()}
"""Of a block, beside a single row: the smaller one, unless a row is quicker in the larger. Small blocks are shared out
among cores more evenly, and fewer rows are computed for nothing in the last of them."""

QUICKER = 0.9  # of the time of a row
TRIES = 30  # of which the median is taken
LARGE = 500  # operators; an interpreter prepares every subgraph of its file, so larger ones lie in files of their own
TOLERANCE = 1e-4  # of a logit; of the largest value for gradients and features
FORWARDS = 1000  # images on which forwards are compared, at least
GRADIENTS = 200  # the same of gradients and features
BATCH = 100  # rows that TensorFlow computes at once
FIRST = "forward_1"  # what predicts

Role = Literal["predict", "explain"]

Outputs = dict[str, Array]
Function = Callable[..., Outputs]
"""Images (n, H, W) and, but for `forward`, weights (n, K) -> outputs of n rows by name."""


@dataclass(frozen=True)
class ConvertedFile:
    """A flatbuffer, the functions in it, each a signature of that name, and what it is for."""

    name: str
    functions: tuple[str, ...]
    content: bytes
    roles: tuple[Role, ...] = ("explain",)


def convert(trackable: Any, predicts: ConvertedFile | None = None) -> list[ConvertedFile]:
    """The files of a reloaded SavedModel, float32, of built-in operations only. `model.tflite` has the forward of one
    image, as the first of them, or is `predicts`, which then does not explain; small functions lie together in
    `explain.tflite`, where equal weights are stored once.

    Raises:
        ConversionError: an operation has no LiteRT equivalent, or there is a loop.
    """
    converted: dict[str, bytes] = {}
    for name, function in functions(trackable).items():
        several = {f"{name}_{rows}": _converted(function, name, rows, trackable) for rows in (1, *ROWS[name])}
        single_row, *blocks = several
        chosen = [single_row, faster_block(several, *blocks)] if blocks else [single_row]
        converted.update({one: several[one] for one in chosen})
    if predicts is None:
        files = [ConvertedFile("model.tflite", (FIRST,), join({FIRST: converted.pop(FIRST)}), ("predict", "explain"))]
    else:
        files = [predicts]
    small = {name: content for name, content in converted.items() if operators(content) <= LARGE}
    if small:
        files.append(ConvertedFile("explain.tflite", tuple(small), join(small)))
    large = {name: content for name, content in converted.items() if name not in small}
    return files + [ConvertedFile(f"{name}.tflite", (name,), join({name: content})) for name, content in large.items()]


def faster_block(models: Mapping[str, bytes], small: str, large: str) -> str:
    """The one of these two functions to take for blocks."""
    times = {name: seconds_of(models[name]) / int(name.rpartition("_")[2]) for name in (small, large)}
    return large if times[large] < QUICKER * times[small] else small


def seconds_of(model: bytes) -> float:
    """That one call takes; 0 for a model that does not run, which the comparison reports."""
    try:
        runner = Interpreter(model_content=model, num_threads=1).get_signature_runner()
    except (RuntimeError, ValueError):
        return 0.0
    given = {name: np.zeros(one["shape"], one["dtype"]) for name, one in runner.get_input_details().items()}
    times = []
    for _ in range(TRIES):
        before = time.perf_counter()
        runner(**given)
        times.append(time.perf_counter() - before)
    return median(times)


def functions(trackable: Any) -> dict[str, Any]:
    """What is converted: TensorFlow functions of images and weights, each giving tensors by name."""
    serve, features = trackable.signatures["serving_default"], trackable.signatures.get("features")

    def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = serve(images=images)
        return outputs

    def gradient(images: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(serve(images=images)["logits"] * weights)
        return {"gradient": tape.gradient(score, images)}

    def inner(images: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = features(images=images, weights=weights)
        return outputs

    found = {"forward": forward, "gradient": gradient}
    return found if features is None else {**found, "features": inner}


def _converted(function: Any, name: str, rows: int, trackable: Any) -> bytes:
    try:
        return rewritten(bytes(converter_of(function, name, rows, trackable).convert()))
    except Exception as error:  # the converter raises what its passes raise
        raise ConversionError(f"{name} cannot be converted to LiteRT ({str(error).strip()[:300]})") from error


def converter_of(function: Any, name: str, rows: int, trackable: Any) -> Any:
    """What converts one of the `functions` for so many rows."""
    serve = trackable.signatures["serving_default"]
    height, width = serve.structured_input_signature[1]["images"].shape[1:]
    classes = serve.structured_outputs["logits"].shape[1]
    images = tf.TensorSpec((rows, height, width), tf.float32, name="images")
    weights = tf.TensorSpec((rows, classes), tf.float32, name="weights")
    specs = (images,) if name == "forward" else (images, weights)
    concrete = tf.function(function).get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], trackable)


def compare(files: Sequence[ConvertedFile], trackable: Any, images: Array) -> dict[str, dict[str, Any]]:
    """How far the files' answers are from those of the SavedModel on images (n, H, W): by verb, the number of images
    and the largest error, in logits for `forward` and of the largest value of the truth for the others.

    Raises:
        ConversionError: fewer than 1,000 images, a value that is not finite, or an error above 1e-4.
    """
    if len(images) < FORWARDS:
        raise ConversionError(f"compared on {len(images)} images; expected at least {FORWARDS}")
    classes = trackable.signatures["serving_default"].structured_outputs["logits"].shape[1]
    subset = np.repeat(images[:GRADIENTS], 2, axis=0)  # each with a class, and with a contrast of two
    weights = _weights(len(subset), classes)
    compared: dict[str, dict[str, Any]] = {}
    for verb, function in functions(trackable).items():
        arrays = (images,) if verb == "forward" else (subset, weights)
        truth = truth_of(function, *arrays)
        error = 0.0
        for file in files:
            for name in file.functions:
                if name.rpartition("_")[0] == verb and "explain" in file.roles:
                    error = max(error, _error(name, file.content, truth, *arrays))
        compared[verb] = {"images": len(images) if verb == "forward" else GRADIENTS, "max_error": error}
    return compared


def _weights(rows: int, classes: int) -> Array:
    """One-hot and contrast rows (n, K) by turns, over all classes."""
    weights = np.zeros((rows, classes), np.float32)
    place = np.arange(rows)
    weights[place, place // 2 % classes] = 1
    weights[place[1::2], (place[1::2] // 2 + 1) % classes] -= 1
    return weights


def truth_of(function: Any, *arrays: Array) -> Outputs:
    """What one of the `functions` gives for all rows of the arrays, by TensorFlow."""

    def answered(*some: Array) -> Outputs:
        outputs = function(*map(tf.constant, some))
        return {name: output.numpy() for name, output in outputs.items()}

    return _in_batches(answered, BATCH, *arrays)


def answers_of(name: str, content: bytes, *arrays: Array) -> Outputs:
    """What the function `name` of a file gives for all rows of the arrays.

    Raises:
        ConversionError: it does not run.
    """
    return _in_batches(_of_litert(content, name), int(name.rpartition("_")[2]), *arrays)


def _error(name: str, content: bytes, truth: Outputs, *arrays: Array) -> float:
    """Raises ConversionError."""
    answers = answers_of(name, content, *arrays)
    largest = 0.0
    for output, expected in truth.items():
        if not np.isfinite(answers[output]).all():
            raise ConversionError(f"{name} gives {output} that are not finite")
        unit = 1.0 if output == "logits" else float(np.abs(expected).max()) or 1.0
        error = float(np.abs(answers[output] - expected).max()) / unit
        if not error <= TOLERANCE:
            raise ConversionError(f"{name} gives {output} that differ by {error:.2g}; expected at most {TOLERANCE:g}")
        largest = max(largest, error)
    return largest


def _of_litert(content: bytes, name: str) -> Function:
    try:
        runner = Interpreter(model_content=content, num_threads=1).get_signature_runner(name)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"{name} does not run with LiteRT's built-in operations ({error})") from error

    def answered(images: Array, weights: Array | None = None) -> Outputs:
        given = {"images": images} if weights is None else {"images": images, "weights": weights}
        return {output: array.copy() for output, array in runner(**given).items()}

    return answered


def _in_batches(function: Function, rows: int, *arrays: Array) -> Outputs:
    """Outputs for all rows, so many at a time, the last batch filled up with copies of its last row."""
    parts = []
    for start in range(0, len(arrays[0]), rows):
        part = [array[start : start + rows] for array in arrays]
        missing = rows - len(part[0])
        filled = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in part]
        parts.append({name: output[: len(part[0])] for name, output in function(*filled).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
