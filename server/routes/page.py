"""The page for people at /, its element alone at /embed for iframes, and the files that they are made of."""

from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from server.routes.responses import json_answer
from server.routes.service import service
from server.routes.static_files import STATIC, static_file

blueprint = Blueprint("page", __name__)

FOLDERS = ("element", "page", "vendor/perfect-freehand")
FILES = {  # by their address below /static/: nothing else of the folder is answered
    path.relative_to(STATIC).as_posix(): path
    for folder in FOLDERS
    for path in STATIC.joinpath(folder).iterdir()
    if path.suffix in (".js", ".css", ".svg", ".ts")
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "
)
SEE = ("/v1/models", "/v1/methods", "POST /v1/predict", "POST /v1/explain", "POST /v1/compare", "POST /v1/adversarial",
       "/v2", "/docs")  # fmt: skip
REVALIDATE = 0  # seconds: files whose names stay when they change are asked for anew each time, by their ETag


@blueprint.get("/", strict_slashes=False)  # an empty path (GET http://host) is the same, not redirected
def root() -> Response:
    """The page for who names text/html; JSON for others, such as KServe's client, which accepts anything."""
    if any(kind == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes):
        return _page("index.html", "'none'")
    response = json_answer({"status": "alive", "see": SEE})
    response.headers["Vary"] = "Accept"
    return response


@blueprint.get("/embed")
def embed() -> Response:
    """The element alone. Its query has the element's attributes."""
    return _page("embed.html", service().frame_ancestors)


@blueprint.get("/static/<path:name>")
def asset(name: str) -> Response:
    """A file of the page or of the element, which pages of others may load."""
    if name not in FILES:
        raise NotFound
    response = static_file(FILES[name], REVALIDATE)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    return static_file(FILES["page/icon.svg"])


def _page(name: str, ancestors: str) -> Response:
    response = static_file(Path(STATIC, "page", name), REVALIDATE)
    response.headers["Content-Security-Policy"] = POLICY + ancestors
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response
