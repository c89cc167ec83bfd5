"""Sends files of server/static, compressed where the client accepts it, so that browsers ask again with their ETag."""

import gzip
from functools import cache
from pathlib import Path

from flask import Response, request

STATIC = Path(__file__).parent.parent / "static"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".ts": "text/plain",
}


def static_file(path: Path, max_age: int = 3600) -> Response:
    """The file at `path`, or its .gz beside it; kept by browsers for `max_age` seconds."""
    as_packed = request.accept_encodings["gzip"] > 0
    body, packed = _content(path)
    response = Response(packed if as_packed else body, content_type=f"{KINDS[path.suffix]}; charset=utf-8")
    if as_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers.extend({"Cache-Control": f"max-age={max_age}", "Vary": "Accept-Encoding"})
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _content(path: Path) -> tuple[bytes, bytes]:
    """The bytes of a file, and the same packed."""
    packed = path.with_name(f"{path.name}.gz")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()), packed.read_bytes()
    return path.read_bytes(), gzip.compress(path.read_bytes(), mtime=0)
