"""Parses an HTTP request into its pictures, its options, and the model that answers it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import request
from werkzeug.datastructures import MultiDict

from server.errors import BadRequest, EmptyBody, InvalidOption
from server.inference.predict import ModelSelector
from server.options import choice, shown
from server.routes.bodies import base64_text, request_body
from server.routes.bodies.json_reader import read_json
from server.routes.inkling import forms
from server.routes.parameters import reject_keys
from server.routes.rollout import answering_version
from server.routes.service import service
from server.types import Picture

ABOUT_MODEL = ("model", "version", "preprocess")
ABOUT_EXPLANATION = (
    *ABOUT_MODEL, "method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality", "frame", "format",
    "lang",
)  # fmt: skip

JSON_FORMS = '{"image": {"b64": "..."}} or {"pixels": [[...]]}'
URL_FORM = re.compile(rb"[\w.%+\[\]-]{1,100}=")
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")  # of pictures


class Sent(NamedTuple):
    """What a request holds: its pictures, and its options by name, those of the query and those of the body."""

    pictures: list[Picture]
    options: dict[str, str]

    @property
    def several(self) -> bool:
        """Whether the pictures came as a list: several fields named `image`."""
        return len(self.pictures) > 1


def received() -> Sent:
    """The pictures and options of the request that is being answered.

    Raises:
        EmptyBody: no picture.
        BadRequest: a broken body, or more pictures than are answered.
        InvalidOption: an option that is given twice, or differently in the query and in the body.
    """
    content_type = request.environ.get("CONTENT_TYPE", "")
    mimetype = content_type.partition(";")[0].strip().lower()
    body = request_body.whole_body()
    if mimetype == "multipart/form-data":
        limit = service().max_images
        form = forms.parse(body, content_type, limit)
        if len(form.pictures) > limit:
            raise BadRequest(
                f"{len(form.pictures)} pictures in one request; at most {limit} are answered, send them in several "
                "requests"
            )
        return Sent([Picture(one) for one in form.pictures], _options_with(_once(form.texts), "form"))
    if mimetype == "application/json" or body.lstrip()[:1] == b"{":
        picture, options = _from_json(body)
        return Sent([picture], options_beside(options))
    if not body:
        raise EmptyBody(
            "the body is empty; send a picture as the body, as multipart field `image`, or as JSON " + JSON_FORMS
        )
    if mimetype == "application/x-www-form-urlencoded" and b"\0" not in body:  # every picture file has a byte 0
        _reject_url_encoded(body)
    return Sent([Picture(body)], query())


def _reject_url_encoded(body: bytes) -> None:
    how = "send a file with curl -F image=@7.png, or with curl --data-binary @7.png"
    if body.startswith(BEGINNINGS):
        raise BadRequest(f"the picture has lost its line breaks and zeros, as curl -d takes them away; {how}")
    if found := URL_FORM.match(body):
        raise BadRequest(f"the body is a URL-encoded form that begins with {found[0].decode()}; {how}")


def _from_json(body: bytes) -> tuple[Picture, dict[str, Any]]:
    """A picture, and the fields beside it."""
    try:
        sent = read_json(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON ({error}); expected {JSON_FORMS}") from error
    pictures = [name for name in ("image", "pixels") if name in sent] if isinstance(sent, dict) else []
    if len(pictures) != 1:
        fields = f"the fields {', '.join(map(repr, sent)) or '(none)'}" if isinstance(sent, dict) else None
        got = fields or type(sent).__name__
        raise BadRequest(f"got JSON with {got[:200]}; expected {JSON_FORMS}, and options beside it")
    value = sent.pop(pictures[0])
    if len(sent) > forms.MAX_FIELDS:
        raise BadRequest(f"{len(sent)} fields are beside the picture; at most {forms.MAX_FIELDS} options are read")
    picture = _of_pixels(value) if pictures == ["pixels"] else _of_image(value)
    return picture, sent


def _of_pixels(value: Any) -> Picture:
    if value is None:
        raise BadRequest("pixels is null; expected a list of rows")
    return Picture(pixels=value)


def _of_image(value: Any) -> Picture:
    match value:
        case str():
            name, text = "image", value
        case {"b64": str(text)} if len(value) == 1:
            name = "image.b64"
        case _:
            raise BadRequest(f"image is {shown(value)}; expected {JSON_FORMS}")
    try:
        body = base64_text.decoded(text)
    except ValueError as error:
        raise BadRequest(
            f"{name} is not base64: {error}; expected the bytes of a picture file in base64, or a data: URL of them"
        ) from error
    if not body:
        raise EmptyBody(f"{name} is empty; expected the bytes of a picture file in base64")
    return Picture(body)


def _option(name: str, value: Any) -> str:
    """The value of an option in JSON as the query writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise InvalidOption(f"{shown(name)} is {shown(value)}; expected a text, a number or a boolean")
    text = str(value)
    if len(text) > forms.MAX_TEXT:
        raise InvalidOption(f"the option {shown(name)} has {len(text)} letters; expected {forms.MAX_TEXT} at most")
    return text


def query() -> dict[str, str]:
    """The query as one value per name.

    Raises:
        InvalidOption: a name that is given twice.
    """
    return _once(request.args)


def _once(sent: MultiDict[str, str]) -> dict[str, str]:
    values = {}
    for name, given in sent.lists():
        if len(given) > 1:
            raise InvalidOption(f"{name[:100]} is given {len(given)} times; give it once")
        values[name] = given[0]
    return values


def options_beside(fields: Mapping[str, Any]) -> dict[str, str]:
    """The options of the query, and those among the fields of a JSON object, as the query writes them.

    Raises:
        InvalidOption: an option that is no text, number or boolean, or given differently in both.
    """
    return _options_with({name: _option(name, value) for name, value in fields.items()}, "JSON")


def _options_with(options: Mapping[str, str], where: str) -> dict[str, str]:
    """The options of the query and these."""
    if service().links is not None:  # where keys are on
        reject_keys(options, where)
    values = query()
    for name, value in options.items():
        if values.setdefault(name, value) != value:
            raise InvalidOption(
                f"{name[:100]} is {shown(values[name])} in the query and {shown(value)} in the {where}; give it once"
            )
    return values


def selector_of(values: Mapping[str, str]) -> ModelSelector:
    """The model that options select."""
    preprocess = choice(values, "preprocess", ("auto", "none"), "auto")
    model = values.get("model", service().model)
    return ModelSelector(model, answering_version(model, values.get("version")), preprocess)
