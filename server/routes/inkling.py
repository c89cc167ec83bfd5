"""Our own dialect, for people and apps: pictures in, answers out."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from flask import Blueprint, Response, g, request
from werkzeug.datastructures import MIMEAccept

from server import attacks
from server.errors import NotAcceptable, OutOfTime, PictureError
from server.explainers import ALIASES, EXPLAINERS, describe_all, methods_for
from server.inference.explain import ExplainRequest
from server.inference.explain import explain as explain_picture
from server.inference.predict import ModelSelector
from server.inference.predict import predict as predict_picture
from server.models.store import Family
from server.options import boolean, number
from server.reference import ENGINES, REFERENCES, engines_of
from server.render import prediction_json
from server.routes import linked, observed, parsing, states
from server.routes.answers import json_answer
from server.routes.errors import error_body
from server.routes.service import request_context, service, session
from server.types import Explanation, Picture

T = TypeVar("T")

blueprint = Blueprint("inkling", __name__)

ABOUT_MODEL = ("model", "version", "preprocess")
ABOUT_EXPLANATION = (
    *ABOUT_MODEL, "method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality", "frame", "format",
)  # fmt: skip
FORMATS = {
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "npz": "application/x-npz",
}
METHOD = "shapley"
LARGEST_SEED = 2**32 - 1  # what numpy's RandomState takes


@blueprint.post("/v1/predict")
def predict() -> Response:
    values = parsing.query()
    parsing.only(values, ABOUT_MODEL, "/v1/predict")
    selector, context = selector_of(values), request_context()

    def one(picture: Picture) -> dict[str, Any]:
        digit, prediction = predict_picture(service().store, picture, selector, context, g.stages)
        observed.predicted(prediction.card)
        return prediction_json(prediction, digit.placement)

    pictures, several = parsing.pictures(service().max_images)
    return json_answer(each(one, pictures) if several else one(pictures[0]))


@blueprint.post("/v1/explain")
def explain() -> Response:
    values = parsing.query()
    media_type = media_type_of(values, linked.RENDERERS)
    wanted = explain_request_of(values, ABOUT_EXPLANATION, "/v1/explain")
    selector, budget = selector_of(values), budget_of(values)
    pictures, several = pictures_for(media_type)  # before the session: a budget begins when all has arrived
    with session(budget) as own:

        def one(picture: Picture) -> Explanation:
            outcome = explain_picture(service().store, picture, selector, wanted, own, g.stages)
            observed.explained(outcome.value, computed=outcome.source == "computed")
            return outcome.value

        if several:
            return json_answer(each(lambda picture: linked.explanation_json(one(picture)), pictures))
        explanation = one(pictures[0])
    response = rendered(explanation, media_type, linked.RENDERERS)
    response.headers.update({"Cache-Control": "no-store", **linked.validators(explanation, media_type)})
    return response


@blueprint.get("/v1/methods")
def methods() -> Response:
    parsing.only(parsing.query(), (), request.path)
    store = service().store
    fitting = {name: methods_for(family.served.verbs) for name, family in store.families.items()}
    described = [
        {
            **method,
            **engines_of(method["name"]),
            "models": [model for model, names in fitting.items() if method["name"] in names],
        }
        for method in describe_all()
    ]
    able = [name for name, family in store.families.items() if family.served.verbs >= attacks.NEEDS]
    against = [{**attack, "models": able} for attack in attacks.describe_attacks()]
    return json_answer({"methods": described, "default": METHOD, "attacks": against})


@blueprint.get("/v1/models")
def models() -> Response:
    parsing.only(parsing.query(), (), request.path)
    families = service().store.families
    return json_answer(
        {"models": list(families), "details": [_details(name, family) for name, family in families.items()]}
    )


@blueprint.get("/v1/models/<name:model>")
def one_model(model: str) -> Response:
    parsing.only(parsing.query(), (), request.path)
    return json_answer(_details(model, service().store.family(model)))


def _details(name: str, family: Family) -> dict[str, Any]:
    version = family.served
    card = version.card
    return {
        "name": name,
        "ready": states.is_ready(name, family.default),  # KServe's word
        "model_version_status": states.version_status(name),  # TensorFlow Serving's
        "versions": list(family.versions),
        "labels": dict(family.labels),
        "default": family.default,
        "refused": dict(family.refused),
        "notes": list(family.notes),
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


def selector_of(values: Mapping[str, str]) -> ModelSelector:
    """Which model a query asks."""
    preprocess = parsing.choice(values, "preprocess", ("auto", "none"), "auto")
    return ModelSelector(values.get("model", service().model), values.get("version"), preprocess)


def explain_request_of(values: Mapping[str, str], about: Collection[str], where: str) -> ExplainRequest:
    """What a query wants explained; what is not `about` the request are options of its method."""
    method = values.get("method", METHOD)
    engine = parsing.choice(values, "engine", ENGINES, "inkling")
    explainer = (REFERENCES if engine == "reference" else EXPLAINERS).get(ALIASES.get(method, method))
    return ExplainRequest(
        method,
        parsing.own_options(values, about, explainer, f"{where} with method {method}"),
        values.get("target"),
        values.get("versus"),
        parsing.choice(values, "output", ("logit", "probability"), "logit"),
        number("seed", values.get("seed", 0), int, 0, LARGEST_SEED),
        parsing.choice(values, "frame", ("original", "model"), "original"),
        engine,
        boolean("quality", values.get("quality", False)),
    )


def budget_of(values: Mapping[str, Any]) -> float:
    """Seconds that a query gives itself."""
    most = service().max_budget_ms
    seconds: float = number("budget_ms", values.get("budget_ms", most), int, 1, most) / 1000
    return seconds


def media_type_of(values: Mapping[str, str], renderers: Collection[str]) -> str:
    """What to answer with: `format` where it is given, else the best of what Accept names; one of `renderers`.

    Raises:
        InvalidOption, NotAcceptable: a format that is unknown, or that this can not be given in.
    """
    given = ", ".join(renderers)
    if "format" in values:
        chosen = FORMATS[parsing.choice(values, "format", FORMATS, "json")]
        if chosen not in renderers:
            raise NotAcceptable(f"format={values['format']}; this can be given as {given}")
        return chosen
    if not request.accept_mimetypes:
        return FORMATS["json"]
    accepted = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes])
    best = accepted.best_match(list(renderers))
    if best is None:
        raise NotAcceptable(f"Accept: {request.headers['Accept'][:200]}; this can be given as {given}")
    return best


def pictures_for(media_type: str) -> tuple[list[Picture], bool]:
    """The request's pictures, and whether they came as a list.

    Raises:
        NotAcceptable: several pictures are to be answered as anything but JSON.
    """
    pictures, several = parsing.pictures(service().max_images)
    if several and media_type != FORMATS["json"]:
        raise NotAcceptable(f"{len(pictures)} pictures cannot be answered as {media_type}; ask for JSON or send one")
    return pictures, several


def rendered(answer: T, media_type: str, renderers: Mapping[str, Callable[[T], bytes]]) -> Response:
    """The answer to one picture as `media_type`."""
    with g.stages("render"):
        body = renderers[media_type](answer)
    return Response(body, content_type=media_type, headers={"Vary": "Accept"})


def each(answer: Callable[[Picture], dict[str, Any]], pictures: list[Picture]) -> dict[str, Any]:
    """The answer for every picture in order; a bad one has its error in its place and harms no other."""
    results = []
    for picture in pictures:
        try:
            results.append(answer(picture))
        except (PictureError, OutOfTime) as error:
            results.append(error_body(error))
    return {"results": results}
