"""Endpoints for operators: is the service alive, is it ready, and its metrics."""

from flask import Blueprint, Response

from server.metrics import CONTENT_TYPE
from server.routes import states
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("ops", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready when the default model can predict; `explain` says whether all models can explain yet."""
    served_models = service().store.served_models
    ready = states.is_server_ready()
    found = {served_model.default_version.explain for served_model in served_models.values()}
    explain = next((state for state in ("loading", "off") if state in found), "ready")
    return json_answer({"ready": ready, "explain": explain if served_models else "off"}, 200 if ready else 503)


@blueprint.get("/metrics")
def metrics() -> Response:
    metrics, store = service().metrics, service().store
    loaded = {name: len(served_model.versions) for name, served_model in store.served_models.items()}
    metrics.set_versions(loaded, store.unusable)
    return Response(metrics.text(), content_type=CONTENT_TYPE)
