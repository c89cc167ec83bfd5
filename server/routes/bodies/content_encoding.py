"""Inflates compressed bodies (Content-Encoding) before anything reads them, so that every address and content type,
forms too, takes them."""

import zlib
from io import BytesIO

from flask import request

from server.errors import BadRequest, BodyTooLarge
from server.routes.bodies.request_body import SHORT, STREAMED, whole_body

ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
GZIP_OR_ZLIB, BARE = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS
STEP = 65536  # bytes that are inflated at once
FREE = 1 << 20  # bytes that may be inflated from however few
MAX_RATIO = 200  # inflated bytes for each one beyond that, as Apache's DeflateInflateRatioLimit
MAX_MEMBERS = 1000  # gzip streams one after the other, of which bgzip makes one for each 64 KiB


def inflate() -> None:
    """Put the inflated body in the place of a compressed one; the limit on bodies holds for both.

    Raises:
        BodyTooLarge: more bytes than are read, or MAX_RATIO times as many as were sent.
        BadRequest: an encoding that is not known here, several one upon the other, or damaged data.
    """
    header = request.environ.get("HTTP_CONTENT_ENCODING")
    if header is None or request.endpoint in STREAMED:
        return
    given = [one for one in map(str.strip, header.lower().split(",")) if one not in ("", "identity")]
    if given and (len(given) > 1 or given[0] not in ENCODINGS):
        raise BadRequest(f"Content-Encoding {header[:SHORT]!r}; expected gzip, deflate or none, once")
    if given and (sent := whole_body()):
        inflated = _Inflating(sent, ENCODINGS[given[0]], request.max_content_length or 0).result()
        size = inflated.tell()
        inflated.seek(0)
        request.environ.update({"wsgi.input": inflated, "CONTENT_LENGTH": str(size)})
    del request.environ["HTTP_CONTENT_ENCODING"]


class _Inflating:
    """Inflates `sent` piece by piece, and stops at the first byte too many."""

    def __init__(self, sent: bytes, encoding: str, limit: int) -> None:
        self._sent, self._encoding, self._limit = sent, encoding, limit

    def result(self) -> BytesIO:
        try:
            return self._inflated(GZIP_OR_ZLIB)
        except zlib.error as first:
            error = first
        if self._encoding == "deflate":  # some clients leave out the head and tail of zlib
            try:
                return self._inflated(BARE)
            except zlib.error:
                pass
        raise BadRequest(
            f"the body is not {self._encoding}, as its Content-Encoding says ({error}); compress it again"
        ) from error

    def _inflated(self, kind: int) -> BytesIO:
        found, stream, members = BytesIO(), zlib.decompressobj(kind), 1
        for start in range(0, len(self._sent), STEP):
            piece = self._sent[start : start + STEP]
            while piece:
                if stream.eof:
                    stream, members = self._next(members), members + 1
                while made := stream.decompress(piece, STEP):
                    self._check(found.tell() + len(made))
                    found.write(made)
                    piece = stream.unconsumed_tail
                piece = stream.unused_data
        if not stream.eof:
            raise zlib.error("it breaks off")
        return found

    def _next(self, members: int) -> "zlib._Decompress":
        """For the gzip stream that follows one: together they are one gzip file (RFC 1952, 2.2)."""
        if self._encoding != "gzip":
            raise zlib.error("more follows after its end")
        if members == MAX_MEMBERS:
            raise BadRequest(f"the body has more than {MAX_MEMBERS} gzip streams; compress it as one")
        return zlib.decompressobj(GZIP_OR_ZLIB)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise BodyTooLarge(f"the body inflates to more than {self._limit} bytes; send fewer rows in one request")
        if size > max(FREE, MAX_RATIO * len(self._sent)):
            raise BodyTooLarge(
                f"the body inflates to more than {MAX_RATIO} times its {len(self._sent)} bytes; send it without "
                "Content-Encoding"
            )
