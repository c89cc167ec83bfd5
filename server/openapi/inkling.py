"""Inkling's own dialect, as server/routes/inkling/ speaks it."""

from collections.abc import Collection, Mapping
from typing import Any

from server.attacks import ATTACKS, describe_attacks
from server.explainers import ALIASES, BEST, EXPLAINERS, describe_all
from server.openapi.parts import (
    JSON,
    answer,
    errors,
    in_path,
    listed,
    operation,
    option_schema,
    query,
    record,
    ref,
    unchanged,
)
from server.openapi.schemas import FLAG, OPTION_VALUE, SHADOW, TEXT
from server.reference import ENGINES, REFERENCES, engines_of
from server.render import ATTACK_RENDERERS, COMPARISON_RENDERERS, RENDERERS
from server.types import COVERAGE

TAG = "inkling"
MARKDOWN = "text/markdown; charset=utf-8"
ABOUT = "Pictures in, answers out."
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "application/octet-stream")
FORMATS = {JSON: "json", "image/png": "png", "image/svg+xml": "svg", "application/x-npz": "npz"}
SEED = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "default": 0}

BODY = {
    "required": True,
    "description": "One picture, recognised by its bytes whatever the content type says, or several files as a form. "
    "Beside the picture, a form and JSON take options as the query does.",
    "content": {
        **{kind: {} for kind in PICTURES},
        "multipart/form-data": {
            "schema": {
                **record(image=listed({"type": "string", "contentMediaType": "application/octet-stream"})),
                "additionalProperties": OPTION_VALUE,
            }
        },
        JSON: {"schema": ref("PictureInJson"), "example": {"image": "data:image/png;base64,iVBORw0KGgo="}},
    },
}
MODEL = (
    query("model", TEXT, "name of the model"),
    query("version", TEXT, "a number or a label; the default is `stable`, else the latest"),
    query("preprocess", {"enum": ["auto", "none"], "default": "auto"}, "none = the picture is already a model's image"),
)
PIXELS = query("pixels", {"type": "boolean", "default": False}, "whether the answer has what the model got")
SETS = query(
    "coverage",
    {"type": "number", "default": COVERAGE, "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "for what share of digits `prediction_set` has the right one, as far as the version can vouch for it",
)
NEIGHBOURS = query("neighbours", {"type": "boolean", "default": False}, "whether the answer has where the digit lands")
EXPLAIN_IF = query(
    "explain_if",
    TEXT,
    "explain where it holds: `probability<0.9`, `margin<0.2` or `out_of_distribution`, with commas between several",
)
TIME = query("budget_ms", {"type": "integer", "minimum": 1}, "milliseconds that may be taken")
LANG = query("lang", {"enum": ["en", "zh"]}, "of sentences; stands above the Accept-Language header")
FRAME = query("frame", {"enum": ["original", "model"], "default": "original"}, "where a heatmap lies")
HOW = "how it is explained; best = what the version's trial says to believe first, with the options that were tried"
WHY = (
    query("method", {"enum": [*EXPLAINERS, *ALIASES, BEST], "default": "shapley"}, HOW),
    query("engine", {"enum": list(ENGINES), "default": "inkling"}, "reference = the lime and shap packages themselves"),
    query("target", TEXT, "the explained class; the default is the predicted one"),
    query("versus", TEXT, "a class: why target and not versus"),
    query("output", {"enum": ["logit", "probability"], "default": "logit"}, "what is explained"),
    query("seed", SEED, "of all that is drawn"),
    TIME,
    query("quality", {"type": "boolean", "default": False}, "whether the map is measured too"),
)


def _options(methods: Collection[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each option of any of the methods once, saying whose it is; a method refuses those of others."""
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for method in methods:
        for option in method["options"]:
            found.setdefault(option["name"], []).append((method["name"], option))
    parameters = []
    for name, each in found.items():
        kinds = [option_schema(option) for _, option in each]
        kinds = [kind for number, kind in enumerate(kinds) if kind not in kinds[:number]]
        about = "; ".join(f"{method}: {option['description']}" for method, option in each)
        parameters.append(query(name, kinds[0] if len(kinds) == 1 else {"anyOf": kinds}, about))
    return parameters


def _of_packages() -> list[dict[str, Any]]:
    """What engine=reference takes, method by method."""
    return [
        {"name": f"{name} with engine=reference", "options": engines_of(name)["reference"]["options"]}
        for name in REFERENCES
    ]


def _named(parameters: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    """The same as the fields of a JSON object, where classes may be numbers."""
    fields = {one["name"]: {**one["schema"], "description": one["description"]} for one in parameters}
    return fields | {name: {**fields[name], "type": ["string", "integer"]} for name in ("target", "versus")}


OPTIONS = _options([*describe_all(), *_of_packages()])
EXPLANATION = (*MODEL, *WHY, FRAME, LANG)
PARAMETERS = _named([*WHY, *OPTIONS])


def _format(renderers: Collection[str]) -> dict[str, Any]:
    return query("format", {"enum": [FORMATS[kind] for kind in renderers]}, "stands above the Accept header")


def _answers(name: str, renderers: Collection[str], *mistakes: int, **headers: str) -> dict[str, Any]:
    several = record(results=listed({"anyOf": [ref(name), ref("Error")]}))
    contents = {kind: {"anyOf": [ref(name), several]} if kind == JSON else {} for kind in renderers}
    about = "One answer, or `results` in the order of the pictures."
    return {"200": answer(about, contents, **headers), **errors(*mistakes)}


def _listing(summary: str, schema: Mapping[str, Any], *mistakes: int, at: str = "") -> dict[str, Any]:
    parameters = [in_path(at, "name of the model")] if at else []
    return {"get": operation(TAG, summary, {"200": answer(summary, {JSON: schema}), **errors(*mistakes)}, parameters)}


SHORT = "`class`, `label` (50 characters at most) and `probability` as JSON in ASCII, but where the answer is JSON"
ADDRESS = "where to GET the same again, while it is kept; but where the answer is JSON"
OF_EXPLANATION = {"X_Inkling_Prediction": SHORT, "X_Inkling_Id": "the `id`, but where the answer is JSON"}
WRONG = (400, 404, 406, 413, 415, 422, 503, 504)
PATHS: dict[str, Any] = {
    "/v1/predict": {
        "post": operation(
            TAG,
            "What is it?",
            _answers("Prediction", [JSON], 400, 403, 404, 413, 415, 422, 503, 504),
            [*MODEL, PIXELS, SETS, NEIGHBOURS, EXPLAIN_IF, *WHY, FRAME, LANG, *OPTIONS],
            BODY,
        )
    },
    "/v1/explain": {
        "post": operation(
            TAG,
            "Why?",
            _answers("Explanation", RENDERERS, *WRONG, **OF_EXPLANATION, Content_Location=ADDRESS),
            [*EXPLANATION, _format(RENDERERS), *OPTIONS],
            BODY,
        )
    },
    "/v1/explanations/{id}": {
        "get": operation(
            TAG,
            "An explanation again, while it is kept",
            {
                "200": answer(
                    "As POST /v1/explain gave it.",
                    {kind: ref("Explanation") if kind == JSON else {} for kind in RENDERERS},
                    **OF_EXPLANATION,
                ),
                **unchanged(),
                **errors(400, 404, 406, 503),
            },
            [
                in_path("id", "the `id` of the explanation; with .png, .svg or .npz after it, in that format"),
                FRAME,
                LANG,
                _format(RENDERERS),
            ],
        )
    },
    "/v1/compare": {
        "post": operation(
            TAG,
            "Several explanations of one picture: give one of methods, models and versions",
            _answers("Comparison", COMPARISON_RENDERERS, *WRONG, X_Inkling_Prediction=f"a list of them: {SHORT}"),
            [
                query("methods", TEXT, "2 to 8 methods with commas between; `lime.n_samples=500` is an option of one"),
                query("models", TEXT, "2 to 8 models"),
                query("versions", TEXT, "2 versions of one model"),
                *EXPLANATION,
                _format(COMPARISON_RENDERERS),
                *OPTIONS,  # of one method; several have them with their names before
            ],
            BODY,
        )
    },
    "/v1/adversarial": {
        "post": operation(
            TAG,
            "What would flip it?",
            _answers(
                "Attack",
                ATTACK_RENDERERS,
                *WRONG,
                X_Inkling_Prediction=SHORT,
                X_Inkling_Changed_Prediction="the same for the changed picture, or null",
            ),
            [
                *MODEL,
                query("method", {"enum": list(ATTACKS), "default": "pgd"}, "how the change is sought"),
                query("target", TEXT, "the class to flip to; the default is any other"),
                query("seed", SEED, "of all that is drawn"),
                TIME,
                LANG,
                _format(ATTACK_RENDERERS),
                *_options(describe_attacks()),
            ],
            BODY,
        )
    },
    "/v1/feedback": {
        "post": operation(
            TAG,
            "What it really is; where INKLING_FEEDBACK names a file",
            {
                "200": answer(
                    "Kept, to train with.",
                    {JSON: record(kept=FLAG, label=TEXT, answered=TEXT, model=record(name=TEXT, version=TEXT))},
                ),
                **errors(400, 403, 404, 413, 415, 422, 503, 507),
            },
            [
                query("label", TEXT, "the class that the picture shows; needed, here or beside the picture"),
                query("id", TEXT, "of an explanation that is kept, instead of a picture"),
                *MODEL,
            ],
            {**BODY, "required": False},
        )
    },
    "/v1/methods": _listing(
        "The methods, with their options",
        record(methods=listed(ref("Method")), default=TEXT, best=ref("Best"), attacks=listed(ref("AttackMethod"))),
        400,
    ),
    "/v1/models": _listing("The models", record(models=listed(TEXT), details=listed(ref("ModelDetails"))), 400),
    "/v1/models/{model}": _listing("One model", ref("ModelDetails"), 400, 404, 503, at="model"),
    "/v1/models/{model}/card": {
        "get": operation(
            TAG,
            "The card of a version, for people",
            {
                "200": answer("Markdown, with the front matter of the Hugging Face Hub.", {MARKDOWN: TEXT}),
                **errors(400, 404, 503),
            },
            [in_path("model", "name of the model"), query("version", TEXT, "a number or a label")],
        )
    },
    "/v1/models/{model}/map": {
        "get": operation(
            TAG,
            "Where means of training images lie in what the net sees",
            {
                "200": answer("The map.", {JSON: ref("Map"), "image/svg+xml": {}}),
                **errors(400, 404, 406, 422, 503),
            },
            [
                in_path("model", "name of the model"),
                query("version", TEXT, "a number or a label"),
                query("mark", TEXT, "the `position` of a digit's neighbours, such as 0.25,0.5, to mark on the SVG"),
                _format([JSON, "image/svg+xml"]),
            ],
        )
    },
    "/v1/models/{model}/shadow": _listing(
        "How a version on trial does beside the one that answers", SHADOW, 400, 404, 503, at="model"
    ),
    "/v1/models/{model}/prototypes.png": {
        "get": operation(
            TAG,
            "What excites each class most",
            {"200": answer("A picture of all classes.", {"image/png": {}}), **errors(400, 404, 422, 503)},
            [in_path("model", "name of the model"), query("version", TEXT, "a number or a label")],
        )
    },
}
