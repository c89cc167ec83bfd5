"""Lists what the service offers: models with their versions, methods and attacks with their options."""

from typing import Any

from flask import Blueprint, Response, request

from server import attacks
from server.explainers import describe_all, methods_for
from server.models.repository.store import ServedModel
from server.reference import engines_of
from server.routes import states
from server.routes.inkling import parsing
from server.routes.parameters import METHOD, reject_unknown
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("models", __name__)


@blueprint.get("/v1/methods")
def methods() -> Response:
    reject_unknown(parsing.query(), (), request.path)
    store = service().store
    fitting = {
        name: methods_for(served_model.default_version.verbs) for name, served_model in store.served_models.items()
    }
    described = [
        {
            **method,
            **engines_of(method["name"]),
            "models": [model for model, names in fitting.items() if method["name"] in names],
        }
        for method in describe_all()
    ]
    able = [
        name
        for name, served_model in store.served_models.items()
        if served_model.default_version.verbs >= attacks.NEEDS
    ]
    against = [{**attack, "models": able} for attack in attacks.describe_attacks()]
    return json_answer({"methods": described, "default": METHOD, "attacks": against})


@blueprint.get("/v1/models")
def models() -> Response:
    reject_unknown(parsing.query(), (), request.path)
    served_models = service().store.served_models
    return json_answer(
        {
            "models": list(served_models),
            "details": [_details(name, served_model) for name, served_model in served_models.items()],
        }
    )


@blueprint.get("/v1/models/<name:model>")
def one_model(model: str) -> Response:
    reject_unknown(parsing.query(), (), request.path)
    return json_answer(_details(model, service().store.served_model(model)))


def _details(name: str, served_model: ServedModel) -> dict[str, Any]:
    version = served_model.default_version
    card = version.card
    return {
        "name": name,
        "ready": states.is_ready(name, served_model.default_number),  # KServe's word
        "model_version_status": states.version_status(name),  # TensorFlow Serving's
        "versions": list(served_model.versions),
        "labels": dict(served_model.labels),
        "default": served_model.default_number,
        "refused": dict(served_model.refused),
        "notes": list(served_model.notes),
        "digest": card.digest,
        "classes": list(card.classes),
        "verbs": sorted(version.verbs),
        "methods": methods_for(version.verbs),
        "explain": version.explain,
        "runtime": version.runtime,
        "card": {
            "architecture": card.architecture,
            "image": {
                "height": card.image.height,
                "width": card.image.width,
                "preprocessing": card.image.preprocessing,
            },
            "temperature": card.temperature,
            "energy_threshold": card.energy_threshold,
            "metrics": card.metrics,
            "training": card.training,
        },
    }
