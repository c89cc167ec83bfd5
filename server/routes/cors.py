"""Whose pages may ask from a browser. Registered only where there are such.

The few fields that are needed are written here: Flask-CORS, which knows many more, took a twentieth of the rate of
predictions for them.
"""

from collections.abc import Callable

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

ASKED_WITH = frozenset({"authorization", "x-api-key", "content-type", "x-request-id", "if-none-match"})
EXPOSED = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID"
METHODS = ("GET", "HEAD", "POST")
REMEMBERED = 3600  # seconds that a browser need not ask again


def allow(app: Flask, origins: str) -> None:
    """Let pages of `origins`, with commas between them or * for all, read answers."""
    app.after_request(_tell(sorted(origins.split(","))))


def _tell(origins: list[str]) -> Callable[[Response], Response]:
    listed = {origin.lower() for origin in origins}
    several = len(origins) > 1

    def tell(response: Response) -> Response:
        origin = request.environ.get("HTTP_ORIGIN") or origins[0]
        if origins == ["*"]:
            origin = "*"
        elif origin.lower() not in listed:
            return response
        headers = response.headers
        headers.add("Access-Control-Allow-Origin", origin)
        headers.add("Access-Control-Expose-Headers", EXPOSED)
        if several:
            headers.add("Vary", "Origin")
        if request.method == "OPTIONS":
            _answer_preflight(headers)
        return response

    return tell


def _answer_preflight(headers: Headers) -> None:
    """What a browser asks before it sends what a form could not."""
    if request.headers.get("Access-Control-Request-Method", "").upper() in METHODS:
        wanted = [name.strip() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")]
        if given := ", ".join(sorted(name for name in wanted if name.lower() in ASKED_WITH)):
            headers.add("Access-Control-Allow-Headers", given)
        headers.add("Access-Control-Allow-Methods", ", ".join(METHODS))
        headers.add("Access-Control-Max-Age", str(REMEMBERED))
