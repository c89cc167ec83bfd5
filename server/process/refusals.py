"""Answers in place of the application to what never becomes a request of its: errors in its one JSON shape, as bytes.

Must not know gunicorn or sockets.
"""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

RETRY_AFTER = 5  # seconds
FOR_PAGES = (  # of every origin: an answer has nothing but what its own request said
    "Access-Control-Allow-Origin: *",
    "Access-Control-Expose-Headers: Retry-After, X-Request-ID",
    "Cross-Origin-Resource-Policy: cross-origin",
)


@dataclass(frozen=True)
class Refusal:
    """One error: its status and code, and what was got, what was expected and how to fix it."""

    status: HTTPStatus
    code: str
    error: str

    def answer(self, fields: Collection[str] = ()) -> tuple[str, bytes]:
        """A new request id, and the bytes of a whole answer that has it, with further header fields."""
        identifier = os.urandom(16).hex()
        shown = {"error": self.error, "code": self.code, "request_id": identifier}
        body = json.dumps(shown, separators=(",", ":")) + "\n"
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Retry-After: {RETRY_AFTER}"] if self.status == HTTPStatus.SERVICE_UNAVAILABLE else []),
            "X-Content-Type-Options: nosniff",
            f"X-Request-ID: {identifier}",
            *fields,
        ]
        return identifier, "\r\n".join([*head, "", body]).encode("ascii")


def unreadable(status: int, error: str) -> Refusal:
    """The refusal of what cannot be read as a request."""
    return Refusal(HTTPStatus(status), "bad_request" if status < 500 else "not_implemented", error)


TLS = unreadable(400, "got the first bytes of TLS, and this port speaks plain HTTP; ask http://, not https://")
NO_TURN = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "busy",
    f"no turn for this upload in time, because others are as large; try again in {RETRY_AFTER} s",
)
BUG = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal_error",
    "something went wrong on our side; the log has it under this request id",
)
