"""Pictures in, explanations out: POST /v1/explain."""

from flask import Blueprint, Response, g

from server.inference.explain import explain as explain_picture
from server.inference.explain_request import explain_request_of
from server.render import LANGUAGES
from server.routes import rollout
from server.routes.inkling import links, parsing, summaries
from server.routes.inkling.negotiation import each, language_of, media_type_for, rendered
from server.routes.inkling.parsing import ABOUT_EXPLANATION, selector_of
from server.routes.middleware import access_log
from server.routes.parameters import budget_of
from server.routes.responses import json_answer
from server.routes.service import service, session
from server.types import Explanation, Picture

blueprint = Blueprint("explain", __name__)


@blueprint.post("/v1/explain")
def explain() -> Response:
    sent = parsing.received()  # before the session: a budget begins when all has arrived
    media_type, language = media_type_for(sent, links.RENDERERS), language_of(sent.options)
    words = LANGUAGES[language]
    wanted = explain_request_of(sent.options, ABOUT_EXPLANATION, "/v1/explain")
    selector, budget = selector_of(sent.options), budget_of(sent.options)
    with session(budget) as explain_session:

        def one(picture: Picture) -> Explanation:
            outcome = explain_picture(service().store, picture, selector, wanted, explain_session, g.stages)
            access_log.record_explanation(outcome.value, outcome.source)
            rollout.offer(outcome.value.prediction, outcome.value.digit)
            return outcome.value

        if sent.several:
            return json_answer(each(lambda picture: links.explanation_json(one(picture), words), sent.pictures))
        explanation = one(sent.pictures[0])
    response = rendered(explanation, media_type, links.RENDERERS, language, summaries.of_explanation)
    response.headers.update({"Cache-Control": "no-store", **links.validators(explanation, media_type, language)})
    if media_type != links.JSON and explanation.kept:
        response.headers["Content-Location"] = links.address(explanation, media_type)
    return response
