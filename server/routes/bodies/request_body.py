"""Reads the body of a request: the raw bytes for any Content-Type, and for the dialects of machines JSON."""

from io import BytesIO
from typing import Any

from flask import request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_content_length, get_input_stream

from server.errors import BadRequest, BodyTooLarge
from server.options import shown
from server.routes.bodies.json_reader import read_json
from server.routes.bodies.nested_lists import kind_of
from server.routes.service import service

STREAMED = frozenset({"jobs.add"})  # endpoints that read bodies piece by piece, and take them as they are
SHORT = 256  # characters of a request that an answer repeats at most


def unchunk() -> None:
    """Give a body sent in chunks, without a length, its length: werkzeug would cut a too long one off without a word.

    Raises:
        BodyTooLarge: more bytes than are read.
        BadRequest: the client sends no more, or not in chunks.
    """
    if "HTTP_TRANSFER_ENCODING" not in request.environ or request.endpoint in STREAMED:
        return
    limit = request.max_content_length
    if request.content_length is not None or not request.environ.get("wsgi.input_terminated") or limit is None:
        return
    try:
        body = request.environ["wsgi.input"].read(limit + 1)
    except Exception as error:  # of the server in front, whose errors have no class that is known here
        raise BadRequest(
            "the body breaks off, or its chunks cannot be read or are too many; send it again, with its length"
        ) from error
    if len(body) > limit:
        raise BodyTooLarge(too_large(limit))
    request.environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})


def too_large(limit: int) -> str:
    """The message for a body of more than `limit` bytes."""
    return f"the body is larger than {limit} bytes; send a smaller picture, such as a JPEG of 2000 pixels"


def whole_body() -> bytes:
    """The request's bytes, whatever their Content-Type; compressed ones are inflated by then (content_encoding.py).

    Raises:
        BodyTooLarge: more bytes than are read.
        BadRequest: fewer than the request announces.
    """
    expected = get_content_length(request.environ) or 0
    try:
        # never request.form: curl -d says form-urlencoded, and parsing would eat the body
        sent = get_input_stream(request.environ, max_content_length=request.max_content_length).read()
    except ClientDisconnected as error:
        raise BadRequest(f"the body breaks off before its {expected} bytes; send it whole") from error
    if len(sent) < expected:
        raise BadRequest(f"the body breaks off after {len(sent)} of {expected} bytes; send it whole")
    return sent


def json_object(text: bytes) -> dict[str, Any]:
    """The fields of a JSON object; in a large one, tensors are `Numbers`.

    Raises:
        BadRequest: it is something else.
        BodyTooLarge: it holds more values than are read.
    """
    try:
        sent = read_json(text, 2 * service().max_numbers)  # so that a few rows too many are said to be just that
    except ValueError as error:
        raise BadRequest(f"JSON Parse error: {str(error)[:SHORT]}; expected a JSON object") from error
    if not isinstance(sent, dict):
        raise BadRequest(f"the body is JSON, but a {kind_of(sent)}; expected an object")
    return sent


def parameters_of(fields: dict[str, Any], where: str = "the request") -> dict[str, Any]:
    """The field `parameters`: texts, numbers and booleans by name.

    Raises:
        BadRequest: it is something else.
    """
    found = fields.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequest(f"parameters of {where} are a {kind_of(found)}; expected an object")
    for name, value in found.items():
        if not isinstance(value, str | int | float | bool):
            raise BadRequest(f"parameter {shown(name)} is {shown(value)}; expected a text, a number or a boolean")
    return found
