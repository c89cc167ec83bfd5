"""The express way: a small picture that is POSTed to /v1/predict is answered before Flask begins, whose part of such an
answer is as long as that of all else. The answer is the application's to the letter.

Whatever is unusual goes on to the application as if nothing had been here: other addresses, options and bodies, and
every mistake, which is the application's to tell. So are keys, limits, origins and a log of requests: where one of them
is set there is no express way (app.py).
"""

import re
import time
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from server.inference import Stages, Which, predict, predicted_at_once
from server.render import json_text, prediction_json
from server.routes import wire
from server.routes.headers import request_id, server_timing
from server.routes.service import Service, caller
from server.types import Digit, Picture, Prediction

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Answer = tuple[list[tuple[str, str]], bytes]  # headers and body

PATH = "/v1/predict"
QUERY = re.compile(r"(?:model=([A-Za-z0-9._-]+))?")
LENGTH = re.compile(r"[1-9][0-9]{0,3}")  # bytes; a model's image has some hundred


class Express:
    """`application` with an express way before it."""

    def __init__(self, application: "WSGIApplication", service: Service, most: int) -> None:
        """`most` bytes of a body are read; what is longer is the application's to refuse."""
        self._application, self._service, self._most = application, service, most

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        started = time.perf_counter()
        asked = self._asked(environ)
        answer = None if asked is None else self._asked_for(*asked, environ, started)
        if answer is None:
            return self._application(environ, start_response)
        headers, body = answer
        start_response("200 OK", headers)
        return [body]

    def at_once(self, request: bytes) -> Answer | None:
        """The answer, which is 200, to bytes that have arrived on a connection. None where they are not one whole
        request, and where the answer might take longer than it takes to pass it on (inference.predicted_at_once). The
        version is held from the first look at it on: another that takes its place may have no twin.
        """
        started = time.perf_counter()
        sent = wire.read(request)
        if sent is None or len(sent.body) > self._most:
            return None
        stages = Stages()
        try:
            with self._service.store.handle(sent.model or self._service.model) as version:
                found = predicted_at_once(version, sent.body, stages)
            return None if found is None else self._answer(found, sent.request_id, stages, started)
        except Exception:  # the application meets the same, and knows what to say of it
            return None

    def _asked(self, environ: "WSGIEnvironment") -> tuple[str, bytes] | None:
        """The model and the picture; None where it is the application's to answer."""
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
            return None
        asked = QUERY.fullmatch(environ.get("QUERY_STRING", ""))
        body = None if asked is None else self._body(environ)
        return None if asked is None or body is None else (asked[1] or self._service.model, body)

    def _asked_for(self, model: str, body: bytes, environ: "WSGIEnvironment", started: float) -> Answer | None:
        """Headers and body; None where it is the application's to answer."""
        stages = Stages()
        try:
            found = predict(self._service.store, Picture(body), Which(model), stages, caller(environ))
            return self._answer(found, environ.get("HTTP_X_REQUEST_ID", ""), stages, started)
        except Exception:  # the application meets the same, and knows what to say of it
            return None

    def _answer(self, found: tuple[Digit, Prediction], asked_id: str, stages: Stages, started: float) -> Answer:
        digit, prediction = found
        text = json_text(prediction_json(prediction, digit.placement)) + b"\n"
        self._count(prediction, time.perf_counter() - started)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(text))),
            ("X-Request-ID", request_id(asked_id)),
            ("Server-Timing", server_timing(stages.seconds, started)),
        ]
        return headers, text

    def _body(self, environ: "WSGIEnvironment") -> bytes | None:
        """The small picture that is sent, whole; the application can read again what there is of it."""
        length = environ.get("CONTENT_LENGTH", "")
        if not LENGTH.fullmatch(length) or not environ.get("CONTENT_TYPE", "").startswith("image/"):
            return None
        if int(length) > self._most:
            return None
        try:
            body: bytes = environ["wsgi.input"].read(int(length))
        except OSError:  # the connection is broken
            return None
        environ["wsgi.input"] = BytesIO(body)
        return body if len(body) == int(length) else None

    def _count(self, prediction: Prediction, seconds: float) -> None:
        self._service.metrics.request(PATH, "POST", 200)
        self._service.metrics.predicted(prediction.card.name, seconds)
