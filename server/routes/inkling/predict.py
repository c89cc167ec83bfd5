"""Pictures in, digits out: POST /v1/predict; with `explain_if`, also why, where that is worth it."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, g

from server.errors import ServiceError
from server.inference.explain_if import Condition, predict_and_explain_if
from server.inference.explain_request import explain_request_of
from server.inference.neighbours import predict_with_neighbours
from server.inference.predict import predict as predict_picture
from server.inference.predict import with_coverage
from server.options import boolean, number, reject_unknown
from server.render import LANGUAGES, neighbours_json, prediction_json
from server.routes import rollout
from server.routes.errors import error_body
from server.routes.inkling import links, parsing
from server.routes.inkling.negotiation import each, language_of
from server.routes.inkling.parsing import ABOUT_EXPLANATION, ABOUT_MODEL, selector_of
from server.routes.middleware import access_log
from server.routes.middleware.auth import require
from server.routes.parameters import budget_of
from server.routes.responses import json_answer
from server.routes.service import request_context, service, session
from server.types import Digit, Picture, Prediction

blueprint = Blueprint("predict", __name__)

ABOUT_PREDICTION = ("pixels", "coverage", "neighbours")
Answer = Callable[[Picture], dict[str, Any]]


@blueprint.post("/v1/predict")
def predict() -> Response:
    sent = parsing.received()
    if "explain_if" in sent.options:
        return _predict_and_explain_if(sent)
    reject_unknown(sent.options, (*ABOUT_MODEL, *ABOUT_PREDICTION, "explain_if"), "/v1/predict")
    wants_neighbours = boolean("neighbours", sent.options.get("neighbours", False))
    rendered, selector, stages = _renderer(sent.options), selector_of(sent.options), g.stages
    context = request_context()

    def one(picture: Picture) -> dict[str, Any]:
        found = None
        if wants_neighbours:
            digit, prediction, found = predict_with_neighbours(service().store, picture, selector, context, stages)
        else:
            digit, prediction = predict_picture(service().store, picture, selector, context, stages)
        access_log.record_prediction(prediction, digit.placement.warnings)
        rollout.offer(prediction, digit)
        answer = rendered(digit, prediction)
        return answer if found is None else {**answer, "neighbours": neighbours_json(found)}

    return _answered(sent, one)


def _renderer(options: Mapping[str, str]) -> Callable[[Digit, Prediction], dict[str, Any]]:
    """What makes the JSON of a prediction, as the options say."""
    wants_pixels = boolean("pixels", options.get("pixels", False))
    coverage = number("coverage", options["coverage"], float, 0, 1) if "coverage" in options else None

    def rendered(digit: Digit, prediction: Prediction) -> dict[str, Any]:
        if coverage is not None:
            prediction = with_coverage(prediction, coverage)
        with g.stages("render"):
            return prediction_json(prediction, digit.placement, digit.pixels if wants_pixels else None)

    return rendered


def _answered(sent: parsing.Sent, one: Answer) -> Response:
    answer = each(one, sent.pictures) if sent.several else one(sent.pictures[0])
    with g.stages("render"):
        return json_answer(answer)


def _predict_and_explain_if(sent: parsing.Sent) -> Response:
    """Predict, and explain by the options of /v1/explain where the condition holds: `explanation` is null where it does
    not, and an error where there was none to be had."""
    require("explain")
    options = {name: value for name, value in sent.options.items() if name not in ("pixels", "coverage", "explain_if")}
    wanted = explain_request_of(options, [one for one in ABOUT_EXPLANATION if one != "format"], "explain_if")
    condition, rendered = Condition.parse(sent.options["explain_if"]), _renderer(sent.options)
    selector, words = selector_of(options), LANGUAGES[language_of(options)]
    with session(budget_of(options)) as explain_session:

        def one(picture: Picture) -> dict[str, Any]:
            digit, prediction, outcome = predict_and_explain_if(
                condition, service().store, picture, selector, wanted, explain_session, g.stages
            )
            rollout.offer(prediction, digit)
            if outcome is None or isinstance(outcome, ServiceError):
                access_log.record_prediction(prediction, digit.placement.warnings)
                explanation = None if outcome is None else error_body(outcome)
            else:
                access_log.record_explanation(outcome.value, outcome.source)
                explanation = links.explanation_json(outcome.value, words)
            return {**rendered(digit, prediction), "explanation": explanation}

        return _answered(sent, one)
