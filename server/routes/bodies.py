"""Reads the body of a request: the raw bytes for any Content-Type; and for the dialects of machines JSON, inflated if
it is compressed."""

import json
import zlib
from io import BytesIO
from typing import Any

from flask import request
from werkzeug.exceptions import ClientDisconnected

from server.errors import BadRequest, BodyTooLarge
from server.options import shown

ENCODINGS = ("gzip", "x-gzip", "deflate")
GZIP_OR_ZLIB, BARE = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS
SHORT = 256  # characters of a request that an answer repeats at most


def unchunk() -> None:
    """Give a body sent in chunks, without a length, its length: werkzeug would cut a too long one off without a word.

    Raises:
        BodyTooLarge: more bytes than are read.
        BadRequest: the client sends no more, or not in chunks.
    """
    if "HTTP_TRANSFER_ENCODING" not in request.environ:
        return
    limit = request.max_content_length
    if request.content_length is not None or not request.environ.get("wsgi.input_terminated") or limit is None:
        return
    try:
        body = request.environ["wsgi.input"].read(limit + 1)
    except Exception as error:  # of the server in front, whose errors have no class that is known here
        raise BadRequest("the body breaks off, or its chunks cannot be read; send it again, with its length") from error
    if len(body) > limit:
        raise BodyTooLarge(too_large(limit))
    request.environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})


def too_large(limit: int) -> str:
    """The message for a body of more than `limit` bytes."""
    return f"the body is larger than {limit} bytes; send a smaller picture, such as a JPEG of 2000 pixels"


def whole_body() -> bytes:
    """The request's bytes as they were sent.

    Raises:
        BodyTooLarge: more bytes than are read.
        BadRequest: fewer than the request announces.
    """
    expected = request.content_length or 0
    try:
        # never request.form: curl -d says form-urlencoded, and parsing would eat the body
        sent = request.get_data(cache=False, parse_form_data=False)
    except ClientDisconnected as error:
        raise BadRequest(f"the body breaks off before its {expected} bytes; send it whole") from error
    if len(sent) < expected:
        raise BadRequest(f"the body breaks off after {len(sent)} of {expected} bytes; send it whole")
    return sent


def body() -> bytes:
    """The request's bytes, inflated where they are compressed; the limit on bodies holds for both.

    Raises:
        BodyTooLarge: more bytes than are read.
        BadRequest: an encoding that is not known here, or damaged data.
    """
    sent = whole_body()
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return sent
    if encoding not in ENCODINGS:
        raise BadRequest(f"Content-Encoding {encoding[:SHORT]!r}; expected gzip, deflate or none")
    limit = request.max_content_length
    assert limit is not None  # create_app sets it
    try:
        return _inflated(sent, GZIP_OR_ZLIB, limit)
    except zlib.error as error:
        if encoding == "deflate":
            return _bare(sent, limit, error)
        raise _damaged(encoding, error) from error


def _bare(sent: bytes, limit: int, first: zlib.error) -> bytes:
    """Some clients leave out the head and tail of zlib."""
    try:
        return _inflated(sent, BARE, limit)
    except zlib.error:
        raise _damaged("deflate", first) from first


def _damaged(encoding: str, error: zlib.error) -> BadRequest:
    return BadRequest(f"the body is not {encoding}, as its Content-Encoding says ({error}); compress it again")


def _inflated(sent: bytes, kind: int, limit: int) -> bytes:
    stream = zlib.decompressobj(kind)
    found = stream.decompress(sent, limit + 1)
    if len(found) > limit:
        raise BodyTooLarge(f"the body inflates to more than {limit} bytes; send fewer rows in one request")
    if not stream.eof or stream.unused_data:
        raise zlib.error("it breaks off" if not stream.eof else "more follows after its end")
    return found


def json_object(text: bytes) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        BadRequest: it is something else.
    """
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON Parse error: {str(error)[:SHORT]}; expected a JSON object") from error
    if not isinstance(sent, dict):
        raise BadRequest(f"the body is JSON, but a {type(sent).__name__}; expected an object")
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
        raise BadRequest(f"parameters of {where} are a {type(found).__name__}; expected an object")
    for name, value in found.items():
        if not isinstance(value, str | int | float | bool):
            raise BadRequest(f"parameter {shown(name)} is {shown(value)}; expected a text, a number or a boolean")
    return found
