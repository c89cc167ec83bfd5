"""Pictures in, the smallest changes found that flip their answers out: POST /v1/adversarial."""

from collections.abc import Mapping

from flask import Blueprint, Response, g

from server.attacks import ATTACKS
from server.attacks.types import AttackResult
from server.inference.attack import AttackRequest
from server.inference.attack import attack as attack_picture
from server.inference.explain_request import LARGEST_SEED, method_options
from server.options import number
from server.render import ATTACK_RENDERERS, LANGUAGES, attack_json
from server.routes.inkling import parsing, summaries
from server.routes.inkling.negotiation import each, language_of, media_type_for, rendered
from server.routes.inkling.parsing import ABOUT_MODEL, selector_of
from server.routes.parameters import budget_of
from server.routes.responses import json_answer
from server.routes.service import service, session
from server.types import Picture

blueprint = Blueprint("attack", __name__)

ABOUT_ATTACK = (*ABOUT_MODEL, "method", "target", "seed", "budget_ms", "format", "lang")
METHOD = "pgd"


@blueprint.post("/v1/adversarial")
def attack() -> Response:
    sent = parsing.received()
    media_type, language = media_type_for(sent, ATTACK_RENDERERS), language_of(sent.options)
    wanted, selector, budget = _request_of(sent.options), selector_of(sent.options), budget_of(sent.options)
    with session(budget) as explain_session:

        def one(picture: Picture) -> AttackResult:
            attacked = attack_picture(service().store, picture, selector, wanted, explain_session, g.stages)
            service().metrics.count_picture(attacked.prediction, attacked.digit.placement.warnings)
            return attacked

        if sent.several:
            return json_answer(each(lambda picture: attack_json(one(picture), LANGUAGES[language]), sent.pictures))
        attacked = one(sent.pictures[0])
    return rendered(attacked, media_type, ATTACK_RENDERERS, language, summaries.of_attack)


def _request_of(values: Mapping[str, str]) -> AttackRequest:
    method = values.get("method", METHOD)
    return AttackRequest(
        method,
        method_options(values, ABOUT_ATTACK, ATTACKS.get(method), f"/v1/adversarial with method {method}"),
        values.get("target"),
        number("seed", values.get("seed", 0), int, 0, LARGEST_SEED),
    )
