"""Lists what the service offers: models with their versions, methods and attacks with their options."""

from dataclasses import asdict
from typing import Any, cast

from flask import Blueprint, Response, request

from server import attacks
from server.explainers import BEST, describe_all, methods_for
from server.inference import trial
from server.inference.explain_request import METHOD
from server.models.repository.store import LoadedVersion, ServedModel
from server.options import reject_unknown
from server.reference import engines_of
from server.render import card_markdown, record_json
from server.routes import states
from server.routes.inkling import parsing
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("models", __name__)

ABOUT_BEST = "The method that the trial of the version says to believe first, with the options that were tried."


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
    chosen = {name: _best(served_model.default_version) for name, served_model in store.served_models.items()}
    best = {"name": BEST, "summary": ABOUT_BEST, "models": chosen}
    return json_answer({"methods": described, "default": METHOD, "best": best, "attacks": against})


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


@blueprint.get("/v1/models/<name:model>/card")
def card(model: str) -> Response:
    """The card of one version, for people."""
    values = parsing.query()
    reject_unknown(values, ("version",), request.path)
    version = service().store.find(model, values.get("version"))
    tried = [(one.explainer, one.record) for one in trial.tried(version.card, version.verbs)]
    return Response(card_markdown(version.card, tried), content_type="text/markdown; charset=utf-8")


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
        "trials": {number: _trial(one) for number, one in served_model.versions.items()},
        "card": {
            "architecture": card.architecture,
            "image": {
                "height": card.image.height,
                "width": card.image.width,
                "preprocessing": card.image.preprocessing,
            },
            "quantization": None if card.quantization is None else asdict(card.quantization),
            "temperature": card.temperature,
            "energy_threshold": card.energy_threshold,
            "metrics": card.metrics,
            "training": card.training,
        },
    }


def _best(version: LoadedVersion) -> dict[str, Any]:
    """What method=best is for a version."""
    chosen = trial.best(version.card, version.verbs)
    return {
        "method": chosen.name,
        "options": asdict(cast(Any, chosen)),
        "tried": bool(trial.tried(version.card, version.verbs)),
    }


def _trial(version: LoadedVersion) -> dict[str, Any] | None:
    """What the version's trial found, in the order of belief."""
    found = version.card.trial
    if found is None:
        return None
    results = [
        {
            "method": one.explainer.name,
            "options": asdict(cast(Any, one.explainer)),
            "rank": rank,
            **record_json(one.record),
            "yardstick_interval": list(one.result.interval),
        }
        for rank, one in enumerate(trial.tried(version.card, version.verbs), 1)
    ]
    return {
        "pictures": found.pictures,
        "digits": found.digits,
        "controls": {"ink": found.ink, "random": found.random},
        "results": results,
    }
