"""Several LiteRT models as the subgraphs of one: every distinct buffer is stored once.

Must not know what the models compute.
"""

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training.errors import ConversionError

ALIGNMENT = 16  # bytes: kernels on some processors read weights in blocks of so many
IDENTIFIER = b"TFL3"


def join(models: Mapping[str, bytes]) -> bytes:
    """One model with a subgraph and a signature for each of `models`, which have one of each; the keys become the
    names of the signatures.

    Raises:
        ConversionError: a model has several subgraphs or signatures.
    """
    joined = schema.ModelT()
    joined.buffers, joined.subgraphs, joined.operatorCodes, joined.signatureDefs = [schema.BufferT()], [], [], []
    buffers: dict[bytes, int] = {b"": 0}
    codes: dict[tuple[Any, ...], int] = {}
    for name, content in models.items():
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        joined.version, joined.description = model.version, model.description
        graph, signature = _only(name, model)
        for tensor in graph.tensors:
            tensor.buffer = _shared(joined.buffers, buffers, model.buffers[tensor.buffer].data)
        for operator in graph.operators:
            operator.opcodeIndex = _code(joined.operatorCodes, codes, model.operatorCodes[operator.opcodeIndex])
        graph.name = signature.signatureKey = name.encode()
        signature.subgraphIndex = len(joined.subgraphs)
        joined.subgraphs.append(graph)
        joined.signatureDefs.append(signature)
    builder = flatbuffers.Builder(1024)
    builder.Finish(joined.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def operators(model: bytes) -> int:
    """How many operators all subgraphs of a model have together."""
    root = schema.Model.GetRootAs(model, 0)
    return sum(root.Subgraphs(index).OperatorsLength() for index in range(root.SubgraphsLength()))


def _only(name: str, model: Any) -> tuple[Any, Any]:
    if len(model.subgraphs) != 1 or len(model.signatureDefs or ()) != 1:
        raise ConversionError(
            f"{name} has {len(model.subgraphs)} subgraphs and {len(model.signatureDefs or ())} signatures; expected "
            "one of each (a net with a loop has more: unroll it)"
        )
    return model.subgraphs[0], model.signatureDefs[0]


def _shared(buffers: list[Any], known: dict[bytes, int], data: Any) -> int:
    content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
    if content not in known:
        known[content] = len(buffers)
        buffers.append(_Aligned(content))
    return known[content]


def _code(codes: list[Any], known: dict[tuple[Any, ...], int], code: Any) -> int:
    key = (code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version)
    if key not in known:
        known[key] = len(codes)
        codes.append(code)
    return known[key]


class _Aligned(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes begin at a multiple of ALIGNMENT, which the generated code does not see to."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802  (the generated code calls it so)
        builder.StartVector(1, len(self.content), ALIGNMENT)
        builder.head -= len(self.content)
        builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)
