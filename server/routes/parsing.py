"""An HTTP request -> pictures and checked options. Every name in a query is known, or the request is refused."""

import binascii
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import fields
from io import BytesIO
from typing import Any

from flask import json, request
from werkzeug.routing import BaseConverter

from server.errors import BadRequest, BodyTooLarge, EmptyBody, InvalidOption
from server.options import shown, unknown_name
from server.routes import bodies
from server.types import Picture

FIELD = "image"
JSON_FORMS = '{"image": {"b64": "..."}} or {"pixels": [[...]]}'


class Name(BaseConverter):
    """A model's name in a path: no colon, because `name:verb` is another address."""

    regex = "[^/:]+"


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
    """What is said to a body of more than `limit` bytes."""
    return f"the body is larger than {limit} bytes; send a smaller picture, such as a JPEG of 2000 pixels"


def pictures(most: int) -> tuple[list[Picture], bool]:
    """The pictures of a request and whether they came as a list (several files named `image`).

    Raises:
        EmptyBody: no picture.
        BadRequest: broken JSON or base64, unknown fields, or more pictures than `most`.
    """
    mimetype = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if mimetype == "multipart/form-data":
        return _files(most)
    body = bodies.whole_body()
    if mimetype == "application/json" or body.lstrip()[:1] == b"{":
        return [_from_json(body)], False
    if not body:
        raise EmptyBody(
            "the body is empty; send a picture as the body, as multipart field `image`, or as JSON " + JSON_FORMS
        )
    return [Picture(body)], False


def _files(most: int) -> tuple[list[Picture], bool]:
    sent = request.files.getlist(FIELD)
    if not sent:
        fields = sorted(str(name) for name in {*request.files, *request.form})  # a part without a name has None
        got = f"fields {', '.join(fields)}" if fields else "no fields"
        raise EmptyBody(f"the form has {got}; expected one or several files named `{FIELD}` (curl -F {FIELD}=@7.png)")
    if len(sent) > most:
        raise BadRequest(
            f"{len(sent)} pictures in one request; at most {most} are answered, send them in several requests"
        )
    return [Picture(one.read()) for one in sent], len(sent) > 1


def _from_json(body: bytes) -> Picture:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON ({error}); expected {JSON_FORMS}") from error
    if not isinstance(sent, dict) or len(sent) != 1:
        got = f"the fields {', '.join(map(str, sent)) or '(none)'}" if isinstance(sent, dict) else type(sent).__name__
        raise BadRequest(f"got JSON with {got[:200]}; expected {JSON_FORMS}")
    if "pixels" in sent:
        if sent["pixels"] is None:
            raise BadRequest("pixels is null; expected a list of rows")
        return Picture(pixels=sent["pixels"])
    match sent:
        case {"image": {"b64": str(text)}}:
            return Picture(_decoded(text))
    raise BadRequest(f"got JSON with the field {str(next(iter(sent)))[:100]!r}; expected {JSON_FORMS}")


def _decoded(text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        body = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f"image.b64 is not base64 ({error}); expected the bytes of a picture file in base64"
        ) from error
    if not body:
        raise EmptyBody("image.b64 is empty; expected the bytes of a picture file in base64")
    return body


def query() -> dict[str, str]:
    """The query as one value per name.

    Raises:
        InvalidOption: a name that is given twice.
    """
    values = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise InvalidOption(f"{name} is given {len(given)} times; give it once")
        values[name] = given[0]
    return values


def only(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse names that are not known.

    Raises:
        UnknownOption: with the nearest known name.
    """
    for name in values:
        if name not in known:
            raise unknown_name(name, known, where)


def own_options(values: Mapping[str, str], about: Collection[str], method: Any, where: str) -> dict[str, str]:
    """What is not `about` the request: the options of a method, whose fields they are (None where it is unknown).

    Raises:
        UnknownOption: the method has none of that name; the message has the nearest known one.
    """
    options = {name: value for name, value in values.items() if name not in about}
    if method is not None:
        only(options, [*about, *(one.name for one in fields(method))], where)
    return options


def choice(values: Mapping[str, str], name: str, choices: Collection[str], default: str) -> Any:
    """One of `choices`.

    Raises:
        InvalidOption: another value.
    """
    value = values.get(name, default)
    if value not in choices:
        raise InvalidOption(f"{name}={shown(value)}; expected one of {', '.join(choices)}")
    return value
