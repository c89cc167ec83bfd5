"""How a version on trial does beside the one that answers: GET /v1/models/{model}/shadow."""

from typing import Any

from flask import Blueprint, Response, request

from server.models.repository.store import ServedModel
from server.options import reject_unknown
from server.rollout.report import ClassReport, report
from server.rollout.shares import Share
from server.routes.inkling import parsing
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("rollouts", __name__)

NO_SHADOW = "No version is asked beside the one that answers; INKLING_SHADOW sets one."


@blueprint.get("/v1/models/<name:model>/shadow")
def shadow(model: str) -> Response:
    """What this server has counted since it started, of the version that the label points at now."""
    reject_unknown(parsing.query(), (), request.path)
    served_model = service().store.served_model(model)
    asked, canary = (
        None if one is None else _share(one.shares.get(model), served_model)
        for one in (service().shadow, service().canary)
    )
    version = None if asked is None else asked["version"]
    found = report(service().metrics.shadow_counts(model, version) if version else {})
    return json_answer(
        {
            "model": model,
            "shadow": asked,
            "canary": canary,
            "compared": found.compared,
            "changed": found.changed,
            "changed_interval": list(found.interval),
            "skipped": service().metrics.shadow_skipped(model),
            "suspicious": found.suspicious,
            "summary": NO_SHADOW if asked is None else found.summary,
            "classes": [_class(one) for one in found.classes],
        }
    )


def _share(share: Share | None, served_model: ServedModel) -> dict[str, Any] | None:
    if share is None:
        return None
    number = served_model.labels.get(share.label)
    is_served = number in served_model.versions
    return {"label": share.label, "share": share.share, "version": number if is_served else None}


def _class(one: ClassReport) -> dict[str, Any]:
    return {
        "class": one.label,
        "compared": one.compared,
        "changed": one.changed,
        "changed_interval": list(one.interval),
        "confidence_moved": one.confidence_moved,
        "explanation_moved": one.explanation_moved,
        "suspicious": one.suspicious,
    }
