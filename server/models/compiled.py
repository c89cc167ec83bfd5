"""A SavedModel's logits and gradient for a few rows as programs of XLA: a third of the time of running their operations
one by one. For more rows the operations themselves take the time, and compiling wins nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

LARGEST = 1500  # operations; an unrolled recurrent net has more: it compiles for a minute and then wins nothing
TOLERANCE = 1e-4  # of the largest number

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiled:
    """For exactly `rows` images (n, H, W)."""

    rows: int
    forward: Callable[[Any], Any]  # -> logits (n, K)
    gradient: Callable[[Any, Any], Any]  # and weights (n, K) -> d(weights . logits) / d images, (n, H, W)


def compiled(signature: Any, taped: Any, rows: int, shape: tuple[int, int], classes: int) -> Compiled | None:
    """The programs of `signature`; None where XLA can not, where it would take long, or where their answers are not
    those of `signature` and `taped`, which is what a custom gradient does."""
    if _operations(taped.get_concrete_function()) > LARGEST:
        return None
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((rows, *shape)), tf.float32)
    weights = tf.constant(rng.normal(size=(rows, classes)), tf.float32)
    try:
        logits = _inlined(signature)
        programs = Compiled(rows, *(tf.function(one, jit_compile=True) for one in (logits, _gradient(logits))))
        same = _close(programs.forward(images), signature(images=images)["logits"])
        same = same and _close(programs.gradient(images, weights), taped(images, weights))
    except Exception as error:  # whatever an operation that XLA does not know raises: a foreign graph may have any
        log.info("XLA can not compile a SavedModel (%s)", type(error).__name__)
        return None
    if not same:
        log.info("what XLA compiled does not answer as the SavedModel, and is not used")
    return programs if same else None


def _inlined(signature: Any) -> Callable[[Any], Any]:
    """The logits by a copy of the graph with its calls put inline. Through a call XLA takes the images themselves for
    constants, because shapes are made of them inside, and compiles the gradient anew for every picture.
    """
    frozen = convert_variables_to_constants_v2(signature)
    graph = frozen.graph.as_graph_def()
    nodes = [node for node in graph.node if node.op != "Placeholder"]
    for node in nodes:
        node.attr.pop("_gradient_op_type", None)  # names a gradient that another process defined
    inlined = tf.compat.v1.GraphDef(node=nodes, versions=graph.versions)
    images_name = frozen.inputs[0].name
    logits_name = frozen.outputs[sorted(signature.structured_outputs).index("logits")].name

    def logits(images: Any) -> Any:
        return tf.graph_util.import_graph_def(inlined, {images_name: images}, [logits_name], name="")[0]

    return logits


def _gradient(logits: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def gradient(images: Any, weights: Any) -> Any:
        return tf.gradients(tf.reduce_sum(logits(images) * weights), images)[0]

    return gradient


def _close(found: Any, expected: Any) -> bool:
    return bool(np.abs(found.numpy() - expected.numpy()).max() <= TOLERANCE * np.abs(expected.numpy()).max())


def _operations(function: Any) -> int:
    """How many operations a graph has, those of the functions that it calls included."""
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(called.node_def) for called in graph.library.function)
