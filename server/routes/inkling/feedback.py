"""The right label for a picture, or for an earlier explanation: POST /v1/feedback, where INKLING_FEEDBACK is set."""

import logging

from flask import Blueprint, Response, g, request

from server.errors import BadRequest, FeedbackNotKept, Forbidden, InvalidOption, UnknownExplanation
from server.inference.predict import predict as predict_picture
from server.options import reject_unknown, shown
from server.routes.bodies import request_body
from server.routes.inkling import parsing
from server.routes.inkling.explanations import ID
from server.routes.inkling.parsing import ABOUT_MODEL, selector_of
from server.routes.responses import json_answer
from server.routes.service import request_context, service
from server.types import Digit, Prediction

blueprint = Blueprint("feedback", __name__)

log = logging.getLogger(__name__)


@blueprint.post("/v1/feedback")
def feedback() -> Response:
    kept_in = service().feedback
    if kept_in is None:
        raise Forbidden(
            "this server collects no labels; its operator can start it with INKLING_FEEDBACK=FILE to collect them"
        )
    digit, prediction, label = _labelled()
    if label not in prediction.card.classes:
        known = ", ".join(prediction.card.classes)
        raise InvalidOption(f"label is {shown(label)}; {prediction.card.name} tells {known} apart")
    try:
        kept_in.add(digit.pixels, label, prediction.label, prediction.card.name, prediction.card.version)
    except FeedbackNotKept as error:
        log.error("%s: %s", kept_in.path, error.__cause__ or error)
        raise
    model = {"name": prediction.card.name, "version": prediction.card.version}
    return json_answer({"kept": True, "label": label, "answered": prediction.label, "model": model})


def _labelled() -> tuple[Digit, Prediction, str]:
    """The digit, what is answered for it, and the label that is told."""
    if "id" in request.args:
        options = parsing.query()
        if request_body.whole_body():
            raise BadRequest("got an id and a body; send the id of an explanation alone, or a picture without an id")
        reject_unknown(options, ("id", "label"), "/v1/feedback?id=")
        return *_explained(options["id"]), _label_of(options)
    sent = parsing.received()
    if sent.several:
        raise BadRequest(f"{len(sent.pictures)} pictures with one label; send each in a request of its own")
    reject_unknown(sent.options, (*ABOUT_MODEL, "label"), "/v1/feedback")
    label = _label_of(sent.options)
    selector = selector_of(sent.options)
    return *predict_picture(service().store, sent.pictures[0], selector, request_context(), g.stages), label


def _label_of(options: dict[str, str]) -> str:
    if "label" not in options:
        raise InvalidOption("label is missing; say which class the picture shows, such as label=7")
    return options["label"]


def _explained(identity: str) -> tuple[Digit, Prediction]:
    kept = service().cache.find(identity) if ID.fullmatch(identity) else None
    if kept is None:
        raise UnknownExplanation(f"no explanation {shown(identity)} is kept here; send its picture instead of the id")
    return kept.digit, kept.prediction
