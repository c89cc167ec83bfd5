"""A SavedModel's logits and gradient for a few rows as programs of XLA: a third of the time of running their operations
one by one. For more rows the operations themselves take the time, and compiling wins nothing.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
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


class Programs:
    """What XLA has compiled in this process. XLA never frees a program, so versions that differ in nothing but their
    weights share one, and the weights are arguments: a hundred reloads compile nothing new."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, graph: "_Graph", rows: int, shape: tuple[int, int], classes: int) -> tuple[Any, Any]:
        """Forward and gradient of a graph, each a concrete function of images, (weights,) and the graph's numbers."""
        key = f"{graph.digest} {rows} {shape} {classes}"
        with self._lock:
            if key not in self._known:
                images, weights = tf.TensorSpec((rows, *shape), tf.float32), tf.TensorSpec((rows, classes), tf.float32)
                numbers = [tf.TensorSpec(number.shape, number.dtype) for number in graph.numbers]
                forward = tf.function(graph.logits, jit_compile=True)
                gradient = tf.function(_gradient(graph.logits), jit_compile=True)
                self._known[key] = (
                    forward.get_concrete_function(images, *numbers),
                    gradient.get_concrete_function(images, weights, *numbers),
                )
            return self._known[key]


def compiled(
    signature: Any, taped: Any, rows: int, shape: tuple[int, int], classes: int, programs: Programs
) -> Compiled | None:
    """The programs of `signature`; None where XLA can not, where it would take long, or where their answers are not
    those of `signature` and `taped`, which is what a custom gradient does."""
    if _operations(taped.get_concrete_function()) > LARGEST:
        return None
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((rows, *shape)), tf.float32)
    weights = tf.constant(rng.normal(size=(rows, classes)), tf.float32)
    try:
        graph = _inlined(signature)
        forward, gradient = programs.of(graph, rows, shape, classes)
        numbers = graph.numbers
        found = Compiled(
            rows,
            lambda images: forward(images, *numbers),
            lambda images, weights: gradient(images, weights, *numbers),
        )
        same = _close(found.forward(images), signature(images=images)["logits"])
        same = same and _close(found.gradient(images, weights), taped(images, weights))
    except Exception as error:  # whatever an operation that XLA does not know raises: a foreign graph may have any
        log.info("XLA can not compile a SavedModel (%s)", type(error).__name__)
        return None
    if not same:
        log.info("what XLA compiled does not answer as the SavedModel, and is not used")
    return found if same else None


@dataclass(frozen=True)
class _Graph:
    """A net's operations without its weights, which are `numbers`, the arguments of `logits` after the images."""

    logits: Callable[..., Any]
    numbers: Sequence[Any]
    digest: str  # of all but the numbers


def _inlined(signature: Any) -> _Graph:
    """The logits by a copy of the graph with its calls put inline. Through a call XLA takes the images themselves for
    constants, because shapes are made of them inside, and compiles the gradient anew for every picture.
    """
    frozen = convert_variables_to_constants_v2(signature)
    graph = frozen.graph.as_graph_def()
    renamed = _renamed(graph.node)
    weights = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if _is_weight(node)}
    nodes = [node for node in graph.node if node.op != "Placeholder" and node.name not in weights]
    inlined = tf.compat.v1.GraphDef(node=nodes, versions=graph.versions)
    names = [renamed(frozen.inputs[0].name), *(f"{name}:0" for name in weights)]
    logits_name = renamed(frozen.outputs[sorted(signature.structured_outputs).index("logits")].name)

    def logits(*arguments: Any) -> Any:
        return tf.graph_util.import_graph_def(
            inlined, dict(zip(names, arguments, strict=True)), [logits_name], name=""
        )[0]

    facts = repr((names, [(one.shape, one.dtype.name) for one in weights.values()], logits_name)).encode()
    digest = hashlib.sha256(facts + inlined.SerializeToString(deterministic=True)).hexdigest()
    return _Graph(logits, [tf.constant(one) for one in weights.values()], digest)


def _renamed(nodes: Any) -> Callable[[str], str]:
    """Number the nodes in place of their names, which tell what else the training had built; gives the new name of an
    old one."""
    numbers = {node.name: f"n{number}" for number, node in enumerate(nodes)}

    def renamed(reference: str) -> str:  # ^control, name, or name:output
        name, *output = reference.removeprefix("^").split(":")
        return ("^" if reference.startswith("^") else "") + ":".join([numbers[name], *output])

    for node in nodes:
        node.name = numbers[node.name]
        node.input[:] = [renamed(reference) for reference in node.input]
        node.attr.pop("_class", None)  # names other nodes
        node.attr.pop("_gradient_op_type", None)  # names a gradient that another process defined
    return renamed


def _is_weight(node: Any) -> bool:
    """Vectors and larger; XLA needs no such numbers to compile, but it does need the whole ones, which are shapes."""
    if node.op != "Const" or not tf.as_dtype(node.attr["dtype"].type).is_floating:
        return False
    return len(node.attr["value"].tensor.tensor_shape.dim) > 0


def _gradient(logits: Callable[..., Any]) -> Callable[..., Any]:
    def gradient(images: Any, weights: Any, *numbers: Any) -> Any:
        return tf.gradients(tf.reduce_sum(logits(images, *numbers) * weights), images)[0]

    return gradient


def _close(found: Any, expected: Any) -> bool:
    return bool(np.abs(found.numpy() - expected.numpy()).max() <= TOLERANCE * np.abs(expected.numpy()).max())


def _operations(function: Any) -> int:
    """How many operations a graph has, those of the functions that it calls included."""
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(called.node_def) for called in graph.library.function)
