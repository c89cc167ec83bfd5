"""The documentation of the service: /openapi.json, and the same as a page at /docs without external resources."""

import gzip
import json
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request

from server.openapi import document

blueprint = Blueprint("docs", __name__)

STATIC = Path(__file__).parent.parent / "static"
VENDORED = STATIC / "vendor" / "swagger-ui"
ASSETS = {"docs.js": STATIC, "swagger-ui-bundle.js": VENDORED, "swagger-ui.css": VENDORED}
# the vendored page sets styles and small pictures from its script, and shows a heatmap that was tried as a blob
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return Response(_written(), content_type="application/json")


@blueprint.get("/docs")
def docs() -> Response:
    response = _file(STATIC / "docs.html", "text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/docs/<any(" + ", ".join(f"'{name}'" for name in ASSETS) + "):name>")
def asset(name: str) -> Response:
    return _file(ASSETS[name] / name, "text/javascript" if name.endswith(".js") else "text/css")


def _file(path: Path, kind: str) -> Response:
    """The file at `path`, or its .gz beside it; sent compressed to clients that accept gzip."""
    packed = path.with_name(f"{path.name}.gz")
    body = packed.read_bytes() if packed.exists() else gzip.compress(path.read_bytes(), mtime=0)
    as_packed = request.accept_encodings["gzip"] > 0
    response = Response(body if as_packed else gzip.decompress(body), content_type=f"{kind}; charset=utf-8")
    if as_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers.extend({"Cache-Control": "max-age=3600", "Vary": "Accept-Encoding"})
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _written() -> str:
    return json.dumps(document()) + "\n"
