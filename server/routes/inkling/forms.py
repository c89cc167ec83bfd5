"""Parses a form (multipart/form-data, RFC 7578): files and texts named `image` are pictures, other texts are options.

In memory, so that no picture is written to disk; strictly, so that no part of a picture is read as a whole one.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from werkzeug.datastructures import Headers, MultiDict
from werkzeug.sansio.multipart import NEED_DATA, Data, Field, File, MultipartDecoder, State

from server.errors import BadRequest, EmptyBody, InvalidOption
from server.options import shown
from server.routes import base64_text

IMAGE = "image"
MAX_FIELDS = 64  # beside the pictures; no method has as many options
MAX_TEXT = 4096  # bytes of an option, and of the headers of a part
BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]*)"|([^;]*))', re.IGNORECASE)
UNENCODED = ("", "7bit", "8bit", "binary")
CLIENT = "let the client library set the header: leave Content-Type out (fetch, axios, requests), or use curl -F"


class Form(NamedTuple):
    """What a form holds."""

    pictures: list[bytes]
    texts: MultiDict[str, str]


class Part(NamedTuple):
    """One part of a form. A part without a file's name is a text."""

    name: str | None
    is_file: bool
    headers: Headers
    content: bytes


class _Decoder(MultipartDecoder):
    """werkzeug's decoder, for headers in any encoding: what is not UTF-8 in them becomes U+FFFD."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > MAX_TEXT:
            raise BadRequest(
                f"a part of the form has more than {MAX_TEXT} bytes of headers; send its name and its type"
            )
        if b"\n--" + self.boundary in data:
            raise BadRequest(f"a part of the form has no headers; {CLIENT}")
        return super()._parse_headers(data.decode(errors="replace").encode())


def parse(body: bytes, content_type: str, max_pictures: int) -> Form:
    """The pictures and texts of a form.

    Raises:
        EmptyBody: it has no picture.
        BadRequest: it cannot be read, breaks off, or has more or larger parts than are read.
        InvalidOption: a file where an option is expected, or an option that is too long.
    """
    parts = []
    for part in _parts(body, _boundary(content_type)):
        parts.append(part)
        if len(parts) > max_pictures + MAX_FIELDS:
            raise BadRequest(
                f"the form has more than {max_pictures + MAX_FIELDS} parts; at most {max_pictures} pictures and "
                f"{MAX_FIELDS} options are read, send the rest in several requests"
            )
    pictures = [_picture(part) for part in parts if part.name == IMAGE]
    if not pictures:
        raise EmptyBody(
            f"the form has {_described(parts)}; expected one or several files named `{IMAGE}` (curl -F {IMAGE}=@7.png)"
        )
    return Form(pictures, MultiDict([_option(part) for part in parts if part.name != IMAGE]))


def _boundary(content_type: str) -> bytes:
    found = BOUNDARY.search(content_type)
    boundary = (found[1] or found[2] or "").strip() if found else ""
    if not boundary:
        raise BadRequest(f"Content-Type: {content_type[:100]} names no boundary, which separates the fields; {CLIENT}")
    return boundary.encode("latin-1")  # as WSGI decodes headers


def _parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    decoder = _Decoder(boundary)
    decoder.receive_data(body)  # all at once: it may miss a boundary that lies in two pieces
    part: Field | File = Field("", Headers())
    pieces: list[bytes] = []
    while (event := _next(decoder)) is not NEED_DATA:
        if isinstance(event, Field | File):
            part, pieces = event, []
        elif isinstance(event, Data):
            pieces.append(event.data)
            if not event.more_data:
                yield Part(part.name, isinstance(part, File), part.headers, b"".join(pieces))
    if decoder.state is State.EPILOGUE:
        return
    mark = f"--{boundary.decode('latin-1')[:100]}"
    if not body:
        raise EmptyBody(f"the form is empty; expected one or several files named `{IMAGE}` (curl -F {IMAGE}=@7.png)")
    if decoder.state is State.PREAMBLE:
        raise BadRequest(f"no line of the form is {mark}, the boundary that Content-Type names; {CLIENT}")
    where = "the headers" if decoder.state is State.PART else "the content"
    raise BadRequest(f"the form breaks off in {where} of a part, before its last line {mark}--; send it whole")


def _next(decoder: MultipartDecoder) -> object:
    try:
        return decoder.next_event()
    except ValueError as error:
        raise BadRequest(f"the form cannot be read ({error}); {CLIENT}") from error


def _picture(part: Part) -> bytes:
    """The bytes of a picture's file. A text is base64, unless it is a file: every picture file has a byte 0."""
    content = _unencoded(part)
    if part.is_file or b"\0" in content:
        return content
    try:
        return base64_text.decoded(content.decode("latin-1"))
    except ValueError as error:
        raise BadRequest(
            f"the field `{IMAGE}` is a text, but not base64: {error}; expected a file (curl -F {IMAGE}=@7.png, with "
            "the @), or the bytes of one in base64"
        ) from error


def _option(part: Part) -> tuple[str, str]:
    """The name and value of an option."""
    if part.name is None:
        raise BadRequest(f"a part of the form has no name; a picture is named `{IMAGE}`, an option as in the query")
    if part.is_file:
        raise InvalidOption(
            f"the field {shown(part.name)} is a file; pictures are files named `{IMAGE}`, options are texts, without "
            "the name of a file"
        )
    content = _unencoded(part)
    if len(content) > MAX_TEXT:
        raise InvalidOption(f"the option {shown(part.name)} has {len(content)} bytes; expected {MAX_TEXT} at most")
    return part.name, content.decode(errors="replace")


def _unencoded(part: Part) -> bytes:
    """The content of a part, whose Content-Transfer-Encoding is none or base64."""
    encoding = part.headers.get("content-transfer-encoding", "").strip().lower()
    if encoding in UNENCODED:
        return part.content
    try:
        if encoding == "base64":
            return base64_text.decoded(part.content.decode("latin-1"))
    except ValueError as error:
        raise BadRequest(f"the field {shown(part.name)} is not base64, as its headers say: {error}") from error
    raise BadRequest(
        f"the field {shown(part.name)} has the Content-Transfer-Encoding {shown(encoding)}; expected none, or base64"
    )


def _described(parts: list[Part]) -> str:
    if not parts:
        return "no fields"
    names = dict.fromkeys("(one without a name)" if part.name is None else part.name for part in parts)
    return f"fields {', '.join(names)[:200]}"
