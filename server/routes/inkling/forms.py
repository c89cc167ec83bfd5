"""Parses a form (multipart/form-data, RFC 7578): files and texts named `image` are pictures, other texts are options.

In memory, so that no picture is written to disk; strictly, so that no part of a picture is read as a whole one; and in
time that no form can draw out, as neither holds for werkzeug's parser.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_options_header

from server.errors import BadRequest, EmptyBody, InvalidOption
from server.options import shown
from server.routes.bodies import base64_text

IMAGE = "image"
MAX_FIELDS = 64  # beside the pictures; no method has as many options
MAX_TEXT = 4096  # bytes of an option, and of the headers of a part
BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]*)"|([^;]*))', re.IGNORECASE)
FOLD = re.compile(r"\r?\n[ \t]+")  # within a header
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
    encoding: str
    content: bytes


def parse(body: bytes, content_type: str, max_pictures: int) -> Form:
    """The pictures and texts of a form.

    Raises:
        EmptyBody: it has no picture.
        BadRequest: it cannot be read, breaks off, or has more or larger parts than are read.
        InvalidOption: a file where an option is expected, or an option that is too long.
    """
    if not body:
        raise EmptyBody(f"the form is empty; expected one or several files named `{IMAGE}` (curl -F {IMAGE}=@7.png)")
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
    mark = b"--" + boundary
    shown_mark = mark[:100].decode("latin-1")
    cut = BadRequest(f"the form breaks off before its last line, {shown_mark}--; send it whole")
    at = 0 if body.startswith(mark) else body.find(b"\n" + mark) + 1  # a preamble may stand before
    if not body.startswith(mark, at):
        raise BadRequest(f"no line of the form is {shown_mark}, the boundary that Content-Type names; {CLIENT}")
    while not body.startswith(b"--", at + len(mark)):
        start = body.find(b"\n", at + len(mark)) + 1
        if not start:
            raise cut
        if body[at + len(mark) : start].strip():
            raise BadRequest(f"a line of the form begins with the boundary {shown_mark} and goes on; {CLIENT}")
        at = body.find(b"\n" + mark, start - 1) + 1
        if not at:
            raise cut
        yield _part(body, start, at - 1)


def _part(body: bytes, start: int, end: int) -> Part:
    """The part from `start` to the line break at `end`."""
    limit = min(end + 1, start + MAX_TEXT)
    blanks = [(at, at + len(line)) for line in (b"\n\r\n", b"\n\n") if (at := body.find(line, start - 1, limit)) >= 0]
    if not blanks:
        raise BadRequest(
            f"the headers of a part of the form do not end within {MAX_TEXT} bytes, with a blank line; {CLIENT}"
        )
    head_end, content = min(blanks)
    headers: dict[str, str] = {}
    for line in FOLD.sub(" ", body[start:head_end].decode(errors="replace")).split("\n"):
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    if "content-disposition" not in headers:
        raise BadRequest(f"a part of the form has no Content-Disposition, which names it; {CLIENT}")
    parameters = parse_options_header(headers["content-disposition"])[1]
    encoding = headers.get("content-transfer-encoding", "").lower()
    end -= body[end - 1 : end] == b"\r"
    return Part(parameters.get("name"), "filename" in parameters, encoding, body[content:end])


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
    if part.encoding in UNENCODED:
        return part.content
    try:
        if part.encoding == "base64":
            return base64_text.decoded(part.content.decode("latin-1"))
    except ValueError as error:
        raise BadRequest(f"the field {shown(part.name)} is not base64, as its headers say: {error}") from error
    raise BadRequest(
        f"the field {shown(part.name)} has Content-Transfer-Encoding: {part.encoding[:100]}; expected none, or base64"
    )


def _described(parts: list[Part]) -> str:
    if not parts:
        return "no fields"
    names = dict.fromkeys("(one without a name)" if part.name is None else part.name for part in parts)
    return f"fields {', '.join(names)[:200]}"
