"""Which web pages may call the service from a browser (CORS). Imported only where that is set."""

from flask import Flask, Response
from flask_cors import CORS

REQUEST_HEADERS = ("Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "If-None-Match")
EXPOSED = (
    "ETag", "Location", "Retry-After", "X-Request-ID", "Server-Timing", "RateLimit", "RateLimit-Policy",
    "WWW-Authenticate", "Content-Location", "X-Inkling-Prediction", "X-Inkling-Changed-Prediction", "X-Inkling-Id",
)  # fmt: skip
MAX_AGE = 3600  # seconds that a browser need not ask again


def allow(app: Flask, origins: str) -> None:
    """Let pages of `origins`, with commas between them or * for all, read answers."""
    listed = "*" if origins == "*" else origins.split(",")
    CORS(
        app,
        origins=listed,
        methods=["GET", "HEAD", "POST"],
        allow_headers=list(REQUEST_HEADERS),
        expose_headers=list(EXPOSED),
        max_age=MAX_AGE,
        send_wildcard=origins == "*",
    )
    app.after_request(_share)


def _share(response: Response) -> Response:
    """Let pages that are isolated (COEP: require-corp) embed what they may read."""
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
