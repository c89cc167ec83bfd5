"""Maps any exception to the one JSON shape of errors. An exception that is not ours is a 500 without its text."""

import logging
import re

from flask import Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import WebsocketMismatch

from server.errors import BadRequest, BodyTooLarge, MethodNotPossible, PictureError, ServiceError, UnknownMethod
from server.routes.bodies.request_body import too_large
from server.routes.responses import json_answer
from server.routes.service import service

MALFORMED = re.compile("/v1/models/(?![^/:]+$)")  # below a model: TensorFlow Serving says 400 to what it does not know
VERBS = "POST <model>:predict or :explain, GET <model>[/versions/<number>|/labels/<label>][/metadata]"
log = logging.getLogger(__name__)


def error_body(error: ServiceError) -> dict[str, str]:
    """The fields that the client gets."""
    return {"error": str(error), "code": error.code, "request_id": g.request_id}


def answer_error(error: Exception) -> Response:
    """The response for any exception that reaches the application."""
    if isinstance(error, ServiceError):
        return _response(error, error.status, error.retry_after)
    if isinstance(error, HTTPException):
        return _answer_http(error)
    log.exception("request %s failed", g.request_id, exc_info=error, extra={"facts": {"request_id": g.request_id}})
    return _response(ServiceError("something went wrong on our side; the log has it under this request id"), 500)


def answer_in_protocol(error: ServiceError) -> Response:
    """The response in the dialects of other servers, which answer 400 to anything wrong in the content of a request.

    An unknown model or version is a 404 there too; busy, too slow and too large are what they are here.
    """
    wrong = isinstance(error, PictureError | MethodNotPossible | UnknownMethod)
    return _response(error, 400 if wrong else error.status, error.retry_after)


def _answer_http(error: HTTPException) -> Response:
    """The response to what Flask or werkzeug refused before any of our code ran."""
    if MALFORMED.match(request.path) and isinstance(error, NotFound | MethodNotAllowed):
        return _response(BadRequest(f"Malformed request: {request.method} {request.path[:256]}; {VERBS}"), 400)
    status = error.code or 500
    known = ServiceError(error.description or error.name)
    known.code = error.name.lower().replace(" ", "_")
    if isinstance(error, NotFound):
        known = ServiceError(
            f"nothing is at {request.path[:200]}; see /v1/models, /v1/methods, POST /v1/predict, POST /v1/explain, "
            "POST /v1/compare, POST /v1/adversarial, /v2 for the Open Inference Protocol, and /docs for everything"
        )
        known.code = "not_found"
    elif isinstance(error, MethodNotAllowed):
        known = ServiceError(
            f"{request.method} is not possible at {request.path[:200]}; use {', '.join(error.valid_methods or ())}"
        )
        known.code = "method_not_allowed"
    elif isinstance(error, WebsocketMismatch):
        known = BadRequest("got Upgrade: websocket; there are no websockets here, ask in plain HTTP")
    elif isinstance(error, RequestEntityTooLarge):
        known = BodyTooLarge(too_large(request.max_content_length or 0))
    response = _response(known, status)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.valid_methods or ())
    return response


def _response(error: ServiceError, status: int, retry_after: int | None = None) -> Response:
    if status == 503:
        service().metrics.count_refusal(error.code)
    response = json_answer(error_body(error), status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response
