"""Parses and writes the messages of Open Inference: JSON, with tensors in it or as raw bytes behind it."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Response, request

from server.errors import BadRequest, InvalidTensor, UnknownSignature
from server.options import shown
from server.render import json_text, plain_floats
from server.routes.bodies import nested_lists, request_body
from server.types import Array

INPUT = "images"
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}  # datatypes that pixels may have
LENGTH = "Inference-Header-Content-Length"
Values = Array | list[str]  # texts are what the protocol calls BYTES


@dataclass(frozen=True)
class InferRequest:
    """A request: its only tensor, and for each requested output whether it is to be sent as raw bytes."""

    id: str | None
    parameters: dict[str, Any]
    images: Array
    outputs: dict[str, bool] | None  # None = all
    binary: bool  # the default for outputs that do not say

    def seconds(self) -> float | None:
        """The timeout that the request sets, None for any: parameter `timeout`, in microseconds."""
        timeout = self.parameters.get("timeout", 0)
        if type(timeout) is not int or not 0 <= timeout < 2**63:
            raise BadRequest(f"parameter timeout is {shown(timeout)}; expected whole microseconds, 0 for any")
        return timeout / 1e6 or None

    def wanted(self, names: tuple[str, ...]) -> dict[str, bool]:
        """The outputs to answer with, of the available `names`.

        Raises:
            UnknownSignature: the request names another.
        """
        if self.outputs is None:
            return dict.fromkeys(names, self.binary)
        for name in self.outputs:
            if name not in names:
                raise UnknownSignature(f"unknown output {name[: request_body.SHORT]!r}; there are {', '.join(names)}")
        return self.outputs


def read_request() -> InferRequest:
    """The request that is being answered.

    Raises:
        BadRequest: it cannot be read.
    """
    sent = request_body.whole_body()
    size = _header_length(len(sent))
    fields = request_body.json_object(sent if size == len(sent) else sent[:size])
    parameters = request_body.parameters_of(fields)
    name = fields.get("id")
    if name is not None and not isinstance(name, str):
        raise BadRequest(f"id is {shown(name)}; expected a text")
    binary = parameters.get("binary_data_output") is True
    images = _images(fields.get("inputs"), memoryview(sent)[size:])
    return InferRequest(name, parameters, images, _outputs(fields.get("outputs"), binary), binary)


def _header_length(total: int) -> int:
    """Bytes of JSON at the start of the body."""
    announced = request.headers.get(LENGTH)
    if announced is None:
        return total
    if not announced.isdecimal() or len(announced) > 12 or int(announced) > total:
        raise BadRequest(
            f"{LENGTH} is {announced[:50]!r} and the body has {total} bytes; expected the length of its JSON"
        )
    return int(announced)


def _images(inputs: Any, raw: memoryview) -> Array:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f"expected 'inputs' with one object, the input {INPUT}")
    sent = inputs[0]
    if sent.get("name") != INPUT:
        raise UnknownSignature(f"unknown input {shown(sent.get('name'))}; there is {INPUT}")
    if not isinstance(sent.get("datatype"), str) or sent["datatype"] not in FLOATS:
        raise InvalidTensor(f"{INPUT} has datatype {shown(sent.get('datatype'))}; expected FP32, or FP16 or FP64")
    shape = sent.get("shape")
    if not isinstance(shape, list) or len(shape) > nested_lists.DEEPEST or not all(map(_is_size, shape)):
        raise InvalidTensor(f"{INPUT} has shape {shown(shape)}; expected a list of whole numbers below 2**63")
    if 0 in shape:  # beside sizes that numpy refuses, although their product is 0
        raise BadRequest(f"{INPUT} has shape {shape}, which is no row; send one image or more")
    size = request_body.parameters_of(sent, f"input {INPUT}").get("binary_data_size")
    if size is None:
        return _from_json(sent, shape, raw)
    return _from_bytes(size, sent, shape, raw)


def _is_size(sent: Any) -> bool:
    return type(sent) is int and 0 <= sent < 2**63  # the protocol's int64


def _from_bytes(size: Any, sent: dict[str, Any], shape: list[int], raw: memoryview) -> Array:
    dtype = np.dtype(FLOATS[sent["datatype"]])
    expected = math.prod(shape) * dtype.itemsize
    if "data" in sent:
        raise BadRequest(f"{INPUT} has both data and binary_data_size; give one")
    if size != expected or isinstance(size, bool) or len(raw) != expected:
        raise InvalidTensor(
            f"{INPUT} of shape {shape} and datatype {sent['datatype']} takes {expected} bytes; binary_data_size is "
            f"{shown(size)} and {len(raw)} bytes follow the JSON ({LENGTH} says where it ends)"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _from_json(sent: dict[str, Any], shape: list[int], raw: memoryview) -> Array:
    if len(raw):
        raise BadRequest(f"{len(raw)} bytes follow the JSON and no input has binary_data_size")
    values = nested_lists.numbers(sent.get("data"), f"data of {INPUT}")
    if values.shape != tuple(shape) and values.shape != (math.prod(shape),):
        raise InvalidTensor(
            f"data of {INPUT} is nested as {list(values.shape)}; expected its shape {shape}, or {math.prod(shape)} "
            "numbers in one list"
        )
    return values.reshape(shape)


def _outputs(outputs: Any, binary: bool) -> dict[str, bool] | None:
    if not outputs and (outputs is None or isinstance(outputs, list)):
        return None
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise BadRequest("expected 'outputs' as a list of objects")
    wanted = {}
    for one in outputs:
        name = one.get("name")
        if not isinstance(name, str):
            raise BadRequest(f"an output has the name {shown(name)}; expected a text")
        parameters = request_body.parameters_of(one, f"output {name[: request_body.SHORT]}")
        if "classification" in parameters:
            raise BadRequest("classification is not answered here; take probabilities and sort them")
        wanted[name] = parameters.get("binary_data", binary) is True
    return wanted


def answer(
    model: str,
    version: str,
    infer_request: InferRequest,
    found: Mapping[str, Values],
    parameters: Mapping[str, str] | None = None,
) -> Response:
    """The response with the requested outputs, in that order, and `parameters` where there are any."""
    described, blobs = [], []
    for name, binary in infer_request.wanted(tuple(found)).items():
        output, blob = _output(name, found[name], binary)
        described.append(output)
        blobs.append(blob)
    echoed = {} if infer_request.id is None else {"id": infer_request.id}
    more = {"parameters": dict(parameters)} if parameters else {}
    body = {"model_name": model, "model_version": version, **echoed, **more, "outputs": described}
    head = json_text(body)
    if not any("parameters" in output for output in described):
        return Response(head, content_type="application/json")
    return Response(b"".join([head, *blobs]), content_type="application/octet-stream", headers={LENGTH: str(len(head))})


def _output(name: str, values: Values, binary: bool) -> tuple[dict[str, Any], bytes]:
    """One output as JSON, and the bytes that follow it."""
    if isinstance(values, list):
        output: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": "BYTES"}
        encoded = [text.encode() for text in values]
        blob = b"".join(struct.pack("<I", len(one)) + one for one in encoded) if binary else b""
    else:
        whole = values.dtype.kind == "i"
        output = {"name": name, "shape": list(values.shape), "datatype": "INT64" if whole else "FP32"}
        blob = values.astype("<i8" if whole else "<f4").tobytes() if binary else b""
    if binary:
        return {**output, "parameters": {"binary_data_size": len(blob)}}, blob
    return {**output, "data": _listed(name, values)}, b""


def _listed(name: str, values: Values) -> list[str] | Array:
    """The values in one row-major list, as the protocol demands."""
    if isinstance(values, list):
        return values
    return values.ravel() if values.dtype.kind == "i" else plain_floats(values.ravel(), name)
