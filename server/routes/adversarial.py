"""Pictures in, the smallest changes found that flip their answers out: POST /v1/adversarial."""

from collections.abc import Mapping

from flask import Blueprint, Response, g

from server import adversarial
from server.attacks import ATTACKS
from server.options import number
from server.render import ATTACK_RENDERERS, attack_json
from server.routes import parsing
from server.routes.inkling import ABOUT_MODEL, LARGEST_SEED, media_type_of, respond, which_of
from server.routes.service import desk, service

blueprint = Blueprint("adversarial", __name__)

ABOUT_ATTACK = (*ABOUT_MODEL, "method", "target", "seed", "budget_ms", "format")
METHOD = "pgd"


@blueprint.post("/v1/adversarial")
def attack() -> Response:
    values = parsing.query()
    media_type = media_type_of(values, ATTACK_RENDERERS)
    how, which = _how(values), which_of(values)
    with desk(how.budget) as own:
        return respond(
            media_type,
            lambda picture: adversarial.attack(service().store, picture, which, how, g.stages, desk=own),
            ATTACK_RENDERERS,
            attack_json,
        )


def _how(values: Mapping[str, str]) -> adversarial.How:
    method = values.get("method", METHOD)
    most = service().max_budget_ms
    return adversarial.How(
        method,
        parsing.own_options(values, ABOUT_ATTACK, ATTACKS.get(method), f"/v1/adversarial with method {method}"),
        values.get("target"),
        number("seed", values.get("seed", 0), int, 0, LARGEST_SEED),
        number("budget_ms", values.get("budget_ms", most), int, 1, most) / 1000,
    )
