"""A request as its bytes arrive, read without gunicorn, where all of it is there and nothing about it is unusual.

What this takes, gunicorn would read the same, byte for byte; whatever could mean anything else is left to it: another
line ending, a field twice, one that changes how a message is read or what becomes of its connection, one byte too few
or too many.
"""

import re
from dataclasses import dataclass

HEAD = re.compile(
    rb"POST /v1/predict(?:\?model=([A-Za-z0-9._-]{1,100}))? HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]{1,100}: [\x20-\x7e]{0,2000}\r\n){1,50})\r\n"
)
LENGTH = re.compile(rb"[1-9][0-9]{0,3}")  # bytes; a model's image has some hundred
UNUSUAL = frozenset(
    {
        *(b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te", b"http2-settings"),
        *(b"x-forwarded-protocol", b"x-forwarded-ssl"),  # may contradict X-Forwarded-Proto
    }
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture in the body of a POST to /v1/predict; `model` and `request_id` as they were asked for, or empty."""

    model: str
    request_id: str
    body: bytes


def read(request: bytes) -> Sent | None:
    """The one request that these bytes are, or None."""
    head = HEAD.match(request)
    if head is None:
        return None
    lines = head[2].split(b"\r\n")[:-1]
    fields = {name.lower(): value for name, _, value in [line.partition(b": ") for line in lines]}
    if len(fields) < len(lines) or not UNUSUAL.isdisjoint(fields):
        return None
    if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    length = fields.get(b"content-length", b"")
    if not LENGTH.fullmatch(length) or int(length) != len(request) - head.end():
        return None
    if not fields.get(b"content-type", b"").startswith(b"image/"):
        return None
    identifier = fields.get(b"x-request-id", b"").strip()
    return Sent((head[1] or b"").decode(), identifier.decode(), request[head.end() :])
