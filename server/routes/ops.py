"""For those who run the service: is it alive, can it answer."""

from flask import Blueprint, Response

from server.metrics import CONTENT_TYPE
from server.routes import states
from server.routes.responses import json_answer
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
    return json_answer({"status": "alive", "see": see})


@blueprint.get("/livez")
def livez() -> Response:
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready when the default model can predict; `explain` says whether all models can explain yet."""
    families = service().store.families
    ready = states.is_server_ready()
    found = {family.served.explain for family in families.values()}
    explain = next((state for state in ("loading", "off") if state in found), "ready")
    return json_answer({"ready": ready, "explain": explain if families else "off"}, 200 if ready else 503)


@blueprint.get("/metrics")
def metrics() -> Response:
    metrics, families = service().metrics, service().store.families
    metrics.versions({name: len(family.versions) for name, family in families.items()})
    return Response(metrics.text(), content_type=CONTENT_TYPE)
