"""Pictures in, digits out: POST /v1/predict."""

from typing import Any

from flask import Blueprint, Response, g

from server.inference.neighbours import predict_with_neighbours
from server.inference.predict import predict as predict_picture
from server.inference.predict import with_coverage
from server.options import boolean, number
from server.render import neighbours_json, prediction_json
from server.routes import rollout
from server.routes.inkling import parsing
from server.routes.inkling.negotiation import each
from server.routes.inkling.parsing import ABOUT_MODEL, selector_of
from server.routes.middleware import access_log
from server.routes.parameters import reject_unknown
from server.routes.responses import json_answer
from server.routes.service import request_context, service
from server.types import Picture

blueprint = Blueprint("predict", __name__)


@blueprint.post("/v1/predict")
def predict() -> Response:
    sent = parsing.received()
    reject_unknown(sent.options, (*ABOUT_MODEL, "pixels", "coverage", "neighbours"), "/v1/predict")
    wants_pixels, wants_neighbours = (boolean(name, sent.options.get(name, False)) for name in ("pixels", "neighbours"))
    coverage = number("coverage", sent.options["coverage"], float, 0, 1) if "coverage" in sent.options else None
    selector, context, stages = selector_of(sent.options), request_context(), g.stages

    def one(picture: Picture) -> dict[str, Any]:
        found = None
        if wants_neighbours:
            digit, prediction, found = predict_with_neighbours(service().store, picture, selector, context, stages)
        else:
            digit, prediction = predict_picture(service().store, picture, selector, context, stages)
        access_log.record_prediction(prediction, digit.placement.warnings)
        rollout.offer(prediction, digit)
        if coverage is not None:
            prediction = with_coverage(prediction, coverage)
        with stages("render"):
            answer = prediction_json(prediction, digit.placement, digit.pixels if wants_pixels else None)
            return answer if found is None else {**answer, "neighbours": neighbours_json(found)}

    answer = each(one, sent.pictures) if sent.several else one(sent.pictures[0])
    with stages("render"):
        return json_answer(answer)
