"""Transposed convolutions with a stride and few output channels, as the gradient of a first layer is one, as ordinary
convolutions (sub-pixel convolution). Kernels compute 8 or 16 output channels at once, so that nearly all that a
transposed one computes for one channel is thrown away: a quarter of the time of the CNN's gradient.

Shi et al., Is the deconvolution layer the same as a convolutional layer? (2016), arXiv:1609.07009: each of the s x s
phases of the output is a convolution of the input; together they are one with s x s times the channels, whose result is
rearranged (depth to space). Equal but for the order of the sums.
"""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training.data import Array
from training.litert.flatbuffer import IDENTIFIER

MIN_CHANNELS = 8  # output channels; with as many the transposed convolution wastes nothing


def rewritten(model: bytes) -> bytes:
    """The model with what can be put so; one of several subgraphs, as with loops, is left as it is."""
    unpacked = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    if len(unpacked.subgraphs) != 1:
        return model
    graph = unpacked.subgraphs[0]
    operators: list[Any] = []
    for operator in graph.operators:
        code = unpacked.operatorCodes[operator.opcodeIndex]
        transposed = code.builtinCode == schema.BuiltinOperator.TRANSPOSE_CONV
        operators += (_convolution(unpacked, graph, operator) if transposed else None) or [operator]
    if len(operators) == len(graph.operators):
        return model
    graph.operators = operators
    builder = flatbuffers.Builder(1024)
    builder.Finish(unpacked.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _convolution(model: Any, graph: Any, operator: Any) -> list[Any] | None:
    """The two operators in place of this one; None where its form is another."""
    options, (_, weights_at, images_at, *rest) = operator.builtinOptions, operator.inputs
    images, result = graph.tensors[images_at], graph.tensors[operator.outputs[0]]
    data = model.buffers[graph.tensors[weights_at].buffer].data
    stride = options.strideH
    if (
        rest
        or data is None
        or options.fusedActivationFunction
        or stride == 1
        or options.strideW != stride
        or result.shape[3] >= MIN_CHANNELS
    ):
        return None
    kernel = np.frombuffer(bytes(data), np.float32).reshape(graph.tensors[weights_at].shape)  # (c, h, w, inputs)
    if options.padding != schema.Padding.SAME or any(result.shape[1:3] != stride * np.array(images.shape[1:3])):
        return None
    phases = phase_kernels(kernel, stride)
    if phases is None:
        return None
    filters = _tensor(model, graph, "filters", phases)
    bias = _tensor(model, graph, "bias", np.zeros(len(phases), np.float32))
    deep = schema.TensorT()
    deep.name, deep.type, deep.buffer = b"phases", schema.TensorType.FLOAT32, 0
    deep.shape = [*images.shape[:3], len(phases)]
    graph.tensors.append(deep)
    convolution = schema.Conv2DOptionsT()
    convolution.padding, convolution.strideH, convolution.strideW = schema.Padding.SAME, 1, 1
    convolution.dilationHFactor = convolution.dilationWFactor = 1
    rearrangement = schema.DepthToSpaceOptionsT()
    rearrangement.blockSize = stride
    between = len(graph.tensors) - 1
    return [
        _operator(model, "CONV_2D", "Conv2DOptions", convolution, [images_at, filters, bias], [between]),
        _operator(model, "DEPTH_TO_SPACE", "DepthToSpaceOptions", rearrangement, [between], list(operator.outputs)),
    ]


def phase_kernels(kernel: Array, stride: int) -> Array | None:
    """The filters (s s c, t, t, inputs) of an ordinary convolution with padding SAME, phase by phase, for the kernel
    (c, k, k, inputs) of a transposed one of stride s; None where the padding would not be the same on both sides.

    With k taps and an output s times as large as the input, SAME padding lets p = (k - s) // 2 taps lie before the
    first pixel. Output s q + r takes input q - d with tap s d + r + p.
    """
    channels, height, width, inputs = kernel.shape
    before = (height - stride) // 2
    if height != width or height < stride:
        return None
    rests = range(stride)
    shifts = [d for d in range(-height, height + 1) if any(0 <= stride * d + r + before < height for r in rests)]
    if max(shifts) != -min(shifts):
        return None
    reach = max(shifts)
    phases = np.zeros((stride, stride, channels, 2 * reach + 1, 2 * reach + 1, inputs), np.float32)
    for row, column in np.ndindex(stride, stride):
        for down in shifts:
            for right in shifts:
                taps = stride * down + row + before, stride * right + column + before
                if min(taps) >= 0 and max(taps) < height:
                    phases[row, column, :, reach - down, reach - right] = kernel[:, taps[0], taps[1]]
    return phases.reshape(-1, *phases.shape[3:])


def _tensor(model: Any, graph: Any, name: str, values: Array) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name.encode(), schema.TensorType.FLOAT32, list(values.shape)
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, name: str, kind: str, options: Any, inputs: list[int], outputs: list[int]) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
    return operator
