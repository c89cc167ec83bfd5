"""Parses an HTTP request into its pictures, its query, and the model that answers it."""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from flask import json, request

from server.errors import BadRequest, EmptyBody, InvalidOption
from server.inference.predict import ModelSelector
from server.routes import bodies
from server.routes.parameters import choice
from server.routes.service import service
from server.types import Picture

ABOUT_MODEL = ("model", "version", "preprocess")
ABOUT_EXPLANATION = (
    *ABOUT_MODEL, "method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality", "frame", "format",
)  # fmt: skip

FIELD = "image"
JSON_FORMS = '{"image": {"b64": "..."}} or {"pixels": [[...]]}'


def pictures(limit: int) -> tuple[list[Picture], bool]:
    """The pictures of a request and whether they came as a list (several files named `image`).

    Raises:
        EmptyBody: no picture.
        BadRequest: broken JSON or base64, unknown fields, or more pictures than `limit`.
    """
    mimetype = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if mimetype == "multipart/form-data":
        return _files(limit)
    body = bodies.whole_body()
    if mimetype == "application/json" or body.lstrip()[:1] == b"{":
        return [_from_json(body)], False
    if not body:
        raise EmptyBody(
            "the body is empty; send a picture as the body, as multipart field `image`, or as JSON " + JSON_FORMS
        )
    return [Picture(body)], False


def _files(limit: int) -> tuple[list[Picture], bool]:
    sent = request.files.getlist(FIELD)
    if not sent:
        fields = sorted(str(name) for name in {*request.files, *request.form})  # a part without a name has None
        got = f"fields {', '.join(fields)}" if fields else "no fields"
        raise EmptyBody(f"the form has {got}; expected one or several files named `{FIELD}` (curl -F {FIELD}=@7.png)")
    if len(sent) > limit:
        raise BadRequest(
            f"{len(sent)} pictures in one request; at most {limit} are answered, send them in several requests"
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


def selector_of(values: Mapping[str, str]) -> ModelSelector:
    """The model that a query selects."""
    preprocess = choice(values, "preprocess", ("auto", "none"), "auto")
    return ModelSelector(values.get("model", service().model), values.get("version"), preprocess)
