"""Whose pages may ask from a browser. Imported only where there are such."""

from flask import Flask
from flask_cors import CORS

ASKED_WITH = ("Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "If-None-Match")
EXPOSED = (
    "ETag", "Location", "Retry-After", "X-Request-ID", "Server-Timing", "RateLimit", "RateLimit-Policy",
    "WWW-Authenticate",
)  # fmt: skip
REMEMBERED = 3600  # seconds that a browser need not ask again


def allow(app: Flask, origins: str) -> None:
    """Let pages of `origins`, with commas between them or * for all, read answers."""
    listed = "*" if origins == "*" else origins.split(",")
    CORS(
        app,
        origins=listed,
        methods=["GET", "HEAD", "POST"],
        allow_headers=list(ASKED_WITH),
        expose_headers=list(EXPOSED),
        max_age=REMEMBERED,
        send_wildcard=origins == "*",
    )
