"""The documentation of the service: /openapi.json, and the same as a page at /docs without external resources."""

import json
from functools import cache

from flask import Blueprint, Response

from server.openapi import document
from server.routes.static_files import STATIC, static_file

blueprint = Blueprint("docs", __name__)

VENDORED = STATIC / "vendor" / "swagger-ui"
ASSETS = {"docs.js": STATIC, "swagger-ui-bundle.js": VENDORED, "swagger-ui.css": VENDORED}
# the vendored page sets styles and small pictures from its script, and shows a heatmap that was tried as a blob
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return Response(_written(), content_type="application/json")


@blueprint.get("/docs")
def docs() -> Response:
    response = static_file(STATIC / "docs.html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/docs/<any(" + ", ".join(f"'{name}'" for name in ASSETS) + "):name>")
def asset(name: str) -> Response:
    return static_file(ASSETS[name] / name)


@cache
def _written() -> str:
    return json.dumps(document()) + "\n"
