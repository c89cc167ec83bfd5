"""A SavedModel's gradient for a few rows as one program of XLA: a third of the time of running its operations one by
one. For more rows the operations themselves take the time, and compiling wins nothing.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

LARGEST = 1500  # operations; an unrolled recurrent net has more: it compiles for a minute and then wins nothing
TOLERANCE = 1e-4  # of the largest slope

log = logging.getLogger(__name__)

Gradient = Callable[[Any, Any], Any]  # images (n, H, W) and weights (n, K) -> (n, H, W)


def compiled_gradient(signature: Any, taped: Any, rows: int, shape: tuple[int, int], classes: int) -> Gradient | None:
    """The gradient of `signature`'s logits for exactly `rows` images; None where XLA can not, where it would take long,
    or where its answer is not that of `taped`, which is what a custom gradient does."""
    if _operations(taped.get_concrete_function()) > LARGEST:
        return None
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((rows, *shape)), tf.float32)
    weights = tf.constant(rng.normal(size=(rows, classes)), tf.float32)
    try:
        compiled = tf.function(_plain_gradient(signature), jit_compile=True)
        expected, found = taped(images, weights).numpy(), compiled(images, weights).numpy()
    except Exception as error:  # whatever an operation that XLA does not know raises: a foreign graph may have any
        log.info("XLA can not compile a gradient (%s)", type(error).__name__)
        return None
    if np.abs(found - expected).max() > TOLERANCE * np.abs(expected).max():
        log.info("a compiled gradient is not that of the SavedModel, and is not used")
        return None
    return compiled  # type: ignore[no-any-return]


def _plain_gradient(signature: Any) -> Gradient:
    """The gradient over a copy of the graph with its calls put inline. Through a call XLA takes the images themselves
    for constants, because shapes are made of them inside, and compiles anew for every picture.
    """
    frozen = convert_variables_to_constants_v2(signature)
    graph = frozen.graph.as_graph_def()
    nodes = [node for node in graph.node if node.op != "Placeholder"]
    for node in nodes:
        node.attr.pop("_gradient_op_type", None)  # names a gradient that another process defined
    inlined = tf.compat.v1.GraphDef(node=nodes, versions=graph.versions)
    images_name = frozen.inputs[0].name
    logits_name = frozen.outputs[sorted(signature.structured_outputs).index("logits")].name

    def gradient(images: Any, weights: Any) -> Any:
        (logits,) = tf.graph_util.import_graph_def(inlined, {images_name: images}, [logits_name], name="")
        return tf.gradients(tf.reduce_sum(logits * weights), images)[0]

    return gradient


def _operations(function: Any) -> int:
    """How many operations a graph has, those of the functions that it calls included."""
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(called.node_def) for called in graph.library.function)
