"""JSON responses, for every dialect."""

from typing import Any

from flask import Response

from server.render import json_text


def json_answer(body: Any, status: int = 200) -> Response:
    """`body` may hold arrays; what is not finite must not be among its numbers."""
    return Response(json_text(body) + b"\n", status, content_type="application/json")
