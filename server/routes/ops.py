"""For those who run the service: is it alive, can it answer."""

import json

from flask import Blueprint, Response

from server.metrics import CONTENT_TYPE
from server.routes import states
from server.routes.service import service

blueprint = Blueprint("ops", __name__)


@blueprint.get("/")
def root() -> Response:
    see = [
        "/v1/models",
        "/v1/methods",
        "POST /v1/predict",
        "POST /v1/explain",
        "POST /v1/compare",
        "POST /v1/adversarial",
        "/v2",
        "/docs",
    ]
    return _json({"status": "alive", "see": see}, 200)


@blueprint.get("/livez")
def livez() -> Response:
    return _json({"status": "alive"}, 200)


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready when the default model can predict; `explain` says whether all models can explain yet."""
    families = service().store.families
    ready = states.is_server_ready()
    found = {family.served.explain for family in families.values()}
    explain = next((state for state in ("loading", "off") if state in found), "ready")
    return _json({"ready": ready, "explain": explain if families else "off"}, 200 if ready else 503)


@blueprint.get("/metrics")
def metrics() -> Response:
    metrics, families = service().metrics, service().store.families
    metrics.versions({name: len(family.versions) for name, family in families.items()})
    return Response(metrics.text(), content_type=CONTENT_TYPE)


def _json(body: object, status: int) -> Response:
    return Response(json.dumps(body) + "\n", status, content_type="application/json")
