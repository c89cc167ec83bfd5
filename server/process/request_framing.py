"""Buffers the bytes of one request until a thread can read it without waiting for the client.

It looks for the end of the head and for the length of the body, which tells when a thread is to be given the request,
and for TLS, in which there is no end of a head. What else the bytes mean, and where the request ends, is for the
server's own parser to say. Must not know gunicorn, sockets or threads.
"""

import re
from enum import Enum

BARE_LF = re.compile(rb"(?<!\r)\n")
FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:([^\r\n]*)", re.IGNORECASE)
TLS_HANDSHAKE = b"\x16"  # the first byte of TLS (RFC 8446, 5.1), and of no request
DIGITS = 18  # of a length; more are no length


class Needs(Enum):
    """What has to arrive before a thread can read the request without waiting."""

    HEAD = "the rest of the head"
    BODY = "the rest of the body, which has room in the buffer"
    NOTHING = "nothing"
    THREAD = "more than has room, or nobody knows how much: a thread has to wait for it"
    REFUSAL = "a head that ends: this one is longer than has room"
    TLS = "plain HTTP: this is TLS"


class RequestFraming:
    """The bytes of one request, and what it needs. They are `limit` at most, unless `received` are more already."""

    def __init__(self, limit: int, received: bytes = b"") -> None:
        self.received = bytearray()
        self.needs = Needs.HEAD
        self._limit = limit
        self._size = 0  # bytes of head and body together
        self.add(received)

    @property
    def room(self) -> int:
        return max(0, self._limit - len(self.received))

    @property
    def ready(self) -> bool:
        """Whether nothing more is to be collected."""
        return self.needs not in (Needs.HEAD, Needs.BODY)

    def add(self, data: bytes) -> None:
        new = len(self.received)
        self.received += data
        if self.needs is Needs.HEAD:
            self._find_end_of_head(new)
        if self.received.startswith(TLS_HANDSHAKE):
            self.needs = Needs.TLS
        if self.needs is Needs.BODY and len(self.received) >= self._size:
            self.needs = Needs.NOTHING
        if self.needs is Needs.HEAD and not self.room:
            self.needs = Needs.REFUSAL

    def _find_end_of_head(self, new: int) -> None:
        """`new` is the index of the first byte that has not been looked at: each is looked at once, however slowly
        they arrive."""
        end = self.received.find(b"\r\n\r\n", max(0, new - 3))
        if BARE_LF.search(self.received, new, len(self.received) if end < 0 else end):
            self.needs = Needs.NOTHING  # no head has such a line: the parser refuses it without reading on
        elif end >= 0:
            length = _body_length(bytes(self.received[: end + 2]))
            self._size = end + 4 + (length or 0)
            self.needs = Needs.THREAD if length is None or self._size > self._limit else Needs.BODY


def _body_length(head: bytes) -> int | None:
    """Bytes of the body; None where the head does not tell, or the client expects a 100 Continue."""
    fields = FRAMING.findall(head)
    if not fields:
        return 0
    name, value = fields[0][0].lower(), fields[0][1].strip(b" \t")
    if len(fields) > 1 or name != b"content-length" or not value.isdigit() or len(value) > DIGITS:
        return None
    return int(value)
