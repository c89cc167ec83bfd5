"""For those who run the service: is it alive, can it answer."""

import json

from flask import Blueprint, Response

from server.routes.inkling import service

blueprint = Blueprint("ops", __name__)


@blueprint.get("/")
def root() -> Response:
    return _json({"status": "alive", "see": ["/v1/models", "/v1/methods", "POST /v1/predict", "POST /v1/explain"]}, 200)


@blueprint.get("/livez")
def livez() -> Response:
    return _json({"status": "alive"}, 200)


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready when the default model can predict; explanations may still be loading."""
    family = service().store.families.get(service().model)
    version = family.versions[family.default] if family else None
    ready = version is not None and (version.twin is not None or version.full is not None)
    explain = "ready" if version and version.full else "off" if version is None or version.failure else "loading"
    return _json({"ready": ready, "explain": explain}, 200 if ready else 503)


def _json(body: object, status: int) -> Response:
    return Response(json.dumps(body) + "\n", status, content_type="application/json")
