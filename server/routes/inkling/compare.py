"""One picture in, several explanations out: POST /v1/compare."""

from collections.abc import Mapping

from flask import Blueprint, Response, g

from server.errors import InvalidOption
from server.inference.compare import Case
from server.inference.compare import compare as compare_explanations
from server.inference.explain_request import explain_request_of
from server.options import shown, unknown_name
from server.render import COMPARISON_RENDERERS, LANGUAGES, comparison_json
from server.routes.inkling import parsing, summaries
from server.routes.inkling.negotiation import each, language_of, media_type_for, rendered
from server.routes.inkling.parsing import ABOUT_EXPLANATION, selector_of
from server.routes.middleware import access_log
from server.routes.parameters import budget_of
from server.routes.responses import json_answer
from server.routes.service import service, session
from server.types import Comparison, Picture

blueprint = Blueprint("compare", __name__)

AXES = {"methods": "method", "models": "model", "versions": "version"}  # what is compared -> what it stands in for
ABOUT_COMPARISON = (*ABOUT_EXPLANATION, *AXES)
MAX_CASES = 8


@blueprint.post("/v1/compare")
def compare() -> Response:
    sent = parsing.received()
    media_type, language = media_type_for(sent, COMPARISON_RENDERERS), language_of(sent.options)
    cases, budget = _cases(sent.options), budget_of(sent.options)
    with session(budget) as explain_session:

        def one(picture: Picture) -> Comparison:
            compared = compare_explanations(service().store, picture, cases, explain_session, g.stages)
            access_log.record_comparison(compared.explanations, compared.rows)
            return compared

        if sent.several:
            return json_answer(each(lambda picture: comparison_json(one(picture), LANGUAGES[language]), sent.pictures))
        compared = one(sent.pictures[0])
    return rendered(compared, media_type, COMPARISON_RENDERERS, language, summaries.of_comparison)


def _cases(values: Mapping[str, str]) -> list[Case]:
    """The cases to compare: one query for each member of the one list that is given."""
    given = [axis for axis in AXES if axis in values]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        raise InvalidOption(
            f"got {got}; expected one of methods=lime,shapley, models=mlp,cnn or versions=1,2, and the others as one: "
            "method=, model=, version="
        )
    axis, single = given[0], AXES[given[0]]
    if single in values:
        raise InvalidOption(f"{axis} and {single} are both given; give {axis} alone")
    members = _members(axis, values[axis])
    rest = {name: value for name, value in values.items() if name != axis}
    queries = _for_methods(rest, members) if axis == "methods" else [rest] * len(members)
    return [_case({**query, single: member}) for query, member in zip(queries, members, strict=True)]


def _members(axis: str, text: str) -> list[str]:
    members = text.split(",")
    limit = 2 if axis == "versions" else MAX_CASES
    if not all(members) or len(set(members)) < len(members) or not 2 <= len(members) <= limit:
        bounds = "2" if limit == 2 else f"2 to {limit}"
        raise InvalidOption(f"{axis}={shown(text)}; expected {bounds} different names with commas between them")
    return members


def _for_methods(values: Mapping[str, str], methods: list[str]) -> list[dict[str, str]]:
    """The query of each method: `lime.n_samples=500` is an option of lime alone."""
    shared, options = {}, {method: dict[str, str]() for method in methods}
    for name, value in values.items():
        method, _, option = name.partition(".")
        if name in ABOUT_EXPLANATION:
            shared[name] = value
        elif option in ABOUT_COMPARISON and method in options:
            raise InvalidOption(f"{name} is one for all that are compared; give {option}= without {method}.")
        elif option and method in options:
            options[method][option] = value
        else:
            known = [*ABOUT_COMPARISON, *(f"{method}.<option>" for method in methods)]
            raise unknown_name(name, known, "/v1/compare")
    return [{**shared, **options[method]} for method in methods]


def _case(values: Mapping[str, str]) -> Case:
    return selector_of(values), explain_request_of(values, ABOUT_COMPARISON, "/v1/compare")
