"""The shapes of bodies and answers that several addresses share, by name."""

from typing import Any, get_args

from server.openapi.parts import listed, nullable, record, ref, with_optional
from server.types import Kind, Place, Section, State, Stop, Unit, Verb

NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
IMAGE = listed(listed(NUMBER))
FREE: dict[str, Any] = {"type": "object"}
PIXELS = {
    "anyOf": [
        IMAGE,
        *(listed(one) for one in (NUMBER, FLAG, listed(FLAG), listed(listed(NUMBER)), listed(listed(listed(NUMBER))))),
    ],
    "description": "28 rows of 28 numbers, or all 784 in one row: 0 is paper. All are whole and 0..255, or, where none "
    "is above 1, 0..1; true is ink. A channel or a batch of one around them is taken off. They are not moved, scaled "
    "or inverted; `preprocessing` says how they were read",
}


def _one_of(literal: Any) -> dict[str, Any]:
    return {"type": "string", "enum": list(get_args(literal))}


def _nullable_enum(literal: Any) -> dict[str, Any]:
    return {"enum": [*get_args(literal), None]}


ATTRIBUTION = record(
    unit=_one_of(Unit),
    signed={**FLAG, "description": "whether values below 0 speak against the class; else they are strengths"},
    values=IMAGE,
    stderr=nullable(IMAGE),
    segments=nullable(listed(listed(WHOLE))),
    segment_values=nullable(listed(NUMBER)),
    segment_stderr=nullable(listed(NUMBER)),
    painted={"type": "string", "enum": ["values", "segment_values"], "description": "what a heatmap shows"},
    score=nullable(NUMBER),
    base_value=nullable(NUMBER),
    certificate=ref("Certificate"),
    warnings=listed(TEXT),
)
ANSWERED = {
    "model": record(name=TEXT, version=TEXT, digest=TEXT),
    "prediction": record(class_=WHOLE, label=TEXT, probability=NUMBER),
    "probabilities": listed(NUMBER),
    "prediction_set": {
        **nullable(record(labels=listed(TEXT), coverage=NUMBER, n=WHOLE)),
        "description": "the digits that it may be, the likeliest first: for a share `coverage` of digits like the `n` "
        "that this was calibrated on, the right one is among them. null where the picture is unlike digits, and where "
        "the version has no calibration",
    },
    "in_distribution": record(ok=FLAG, score=NUMBER, threshold=NUMBER),
    "preprocessing": with_optional(
        {"pixels": {**IMAGE, "description": "what the model got, where pixels=true asks for it"}},
        steps={**listed(TEXT), "description": "what was done with what was sent, in order"},
        transform={"type": "array", "items": NUMBER, "minItems": 6, "maxItems": 6},
        warnings={
            **listed(TEXT),
            "description": "what may be wrong with the picture, each a code and words after a colon. "
            "`multiple-objects`: several things are as large as a digit, and one was read. Of numbers: "
            "`unusual-scale` (the highest is 2 to 16), `looks-inverted` (paper is high), `looks-blank` (of tensors: no "
            "ink stands out)",
        },
    ),
}
MEASURE = record(
    value=nullable(NUMBER),
    random=nullable(NUMBER),
    intensity=nullable(NUMBER),
    better={"enum": ["lower", "higher"]},
    random_beaten=nullable(NUMBER),
    better_than_random=nullable(FLAG),
    better_than_intensity=nullable(FLAG),
)
OPTION_VALUE = {
    "type": ["string", "number", "boolean"],
    "description": "an option, with its name and value as in the query; one that is also in the query has to be equal",
}
OPTION = record(name=TEXT, type=TEXT, default={}, description=TEXT)

NAMED = {"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2}
SPAN = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
RECORD = {
    "named_cause": {**NAMED, "description": "in how many pictures it named the known cause, and of how many"},
    "interval": {**SPAN, "description": "of that share, 95 %"},
    "yardstick": NUMBER,
    "ink": {**NUMBER, "description": "yardstick of the ink itself taken as the map"},
    "flagged": {**FLAG, "description": "whether it is not to be believed"},
    "kinds": {"type": "object", "additionalProperties": NAMED},
}
ROLLOUT = record(label=TEXT, share=NUMBER, version=nullable(TEXT))
COMPARED = {"compared": WHOLE, "changed": WHOLE, "changed_interval": SPAN}
SHADOW = record(
    model=TEXT,
    shadow=nullable(ROLLOUT),
    canary=nullable(ROLLOUT),
    **COMPARED,
    skipped=WHOLE,
    suspicious=listed(TEXT),
    summary=TEXT,
    classes=listed(
        record(
            **{"class": TEXT},
            **COMPARED,
            confidence_moved=nullable(NUMBER),
            explanation_moved=nullable(NUMBER),
            suspicious=FLAG,
        )
    ),
)
NEAR = listed(record(centroid={**WHOLE, "description": "its index on the map"}, label=TEXT, distance=NUMBER))
NEIGHBOURS = record(position=SPAN, own=NEAR, next=NEAR)
BELIEVE = record(
    index={**nullable(WHOLE), "description": "in `explanations`, of the one to believe"},
    method=nullable(TEXT),
    why={**TEXT, "description": "or why there is none"},
)

EXPLAINED: dict[str, Any] = dict(
    id=TEXT,
    **ANSWERED,
    target=record(class_=WHOLE, versus=nullable(WHOLE), label=TEXT),
    explanation=record(
        method=TEXT,
        engine={"enum": ["inkling", "reference"]},
        runtime={"enum": ["litert", "tensorflow"]},
        options=FREE,
        seed=WHOLE,
        output={"enum": ["logit", "probability"]},
        **ATTRIBUTION["properties"],
        parts={**listed(ref("Part")), "description": "the parts of the digit, the costliest first; none without ink"},
        quality=nullable(ref("Quality")),
    ),
    trial={
        **nullable(record(**RECORD, summary=TEXT)),
        "description": "how this method did on nets like this one whose cause is known; null where it was not tried",
    },
    alt=TEXT,
)

SCHEMAS: dict[str, Any] = {
    "Error": record(error=TEXT, code=TEXT, request_id=TEXT),
    "PictureInJson": {
        "oneOf": [
            {
                **record(image={"anyOf": [TEXT, {**record(b64=TEXT), "additionalProperties": False}]}),
                "additionalProperties": OPTION_VALUE,
                "description": "a picture file in base64, or a data: URL of it; and options",
            },
            {
                **record(pixels=PIXELS),
                "additionalProperties": OPTION_VALUE,
                "description": "the model's image as numbers; and options",
            },
        ],
    },
    "Prediction": with_optional(
        {
            "neighbours": {**NEIGHBOURS, "description": "where the digit lands; where neighbours=true asks for it"},
            "explanation": {
                "anyOf": [ref("Explanation"), ref("Error"), {"type": "null"}],
                "description": "where explain_if is given: null where it does not hold; an error where there is none",
            },
        },
        **ANSWERED,
    ),
    "Map": record(
        model=record(name=TEXT, version=TEXT, digest=TEXT),
        positions={**listed(SPAN), "description": "of each centroid, x and y in 0..1 from the upper left corner"},
        labels={**listed(TEXT), "description": "what the version reads in each"},
        centroids={**listed(IMAGE), "description": "means of training images, as a model's image"},
    ),
    "Certificate": record(
        state=_one_of(State),
        convergence_delta=nullable(NUMBER),
        uncorrected_delta=nullable(NUMBER),
        stderr_max=nullable(NUMBER),
        bias_max={
            **nullable(NUMBER),
            "description": "of `lime`: how far the ridge penalty has moved a coefficient at most, in `unit`",
        },
        local_r2=nullable(NUMBER),
        rows=WHOLE,
        stop=_nullable_enum(Stop),
        top3_probability=nullable(NUMBER),
        summary={**TEXT, "description": "what that means, in words"},
    ),
    "Part": record(
        name={**TEXT, "description": "what a person would call it"},
        kind=_one_of(Kind),
        place=_nullable_enum(Place),
        section=_nullable_enum(Section),
        drop={
            **nullable(NUMBER),
            "description": "how far the score falls without it, or with a gap closed by a stroke; null without time",
        },
        box={
            "type": "array",
            "items": WHOLE,
            "minItems": 4,
            "maxItems": 4,
            "description": "row, column, height, width",
        },
        supporting={**NUMBER, "description": "its share of all evidence of the map, for the class"},
        opposing={**NUMBER, "description": "its share of all evidence of the map, against the class"},
        stderr={**nullable(NUMBER), "description": "the standard error of the two together"},
    ),
    "Attribution": ATTRIBUTION,
    "Quality": record(
        measures={"type": "object", "additionalProperties": MEASURE}, passed=nullable(FLAG), verdict=TEXT
    ),
    "Explanation": record(**EXPLAINED, links=nullable(record(self=TEXT, png=TEXT, svg=TEXT, npz=TEXT))),
    "Compared": record(**EXPLAINED),
    "Comparison": record(
        explanations=listed(ref("Compared")),
        agreement=record(measure=TEXT, labels=listed(TEXT), matrix=listed(listed(nullable(NUMBER)))),
        difference=nullable(ref("Attribution")),
        rows=WHOLE,
        believe=BELIEVE,
        alt=TEXT,
    ),
    "Attack": record(
        **ANSWERED,
        adversarial=record(
            method=TEXT,
            options=FREE,
            seed=WHOLE,
            target=nullable(WHOLE),
            found=FLAG,
            class_=nullable(WHOLE),
            label=nullable(TEXT),
            probability=nullable(NUMBER),
            probabilities=nullable(listed(NUMBER)),
            pixels=nullable(IMAGE),
            image=nullable({**TEXT, "description": "a data: URL of them as a PNG of 16 bits, to be posted as `image`"}),
            change=nullable(IMAGE),
            l2=nullable(NUMBER),
            linf=nullable(NUMBER),
            rows=WHOLE,
        ),
        alt=TEXT,
    ),
    "VersionStatus": record(
        version=TEXT,
        state={"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
        status=record(error_code=TEXT, error_message=TEXT),
    ),
    "ModelDetails": record(
        name=TEXT,
        ready=FLAG,
        model_version_status=listed(ref("VersionStatus")),
        versions=listed(TEXT),
        labels={"type": "object", "additionalProperties": TEXT},
        default=TEXT,
        refused={"type": "object", "additionalProperties": TEXT},
        notes=listed(TEXT),
        digest=TEXT,
        classes=listed(TEXT),
        verbs=listed(_one_of(Verb)),
        methods=listed(TEXT),
        explain={"enum": ["ready", "loading", "off"]},
        runtime=nullable({"enum": ["litert", "tensorflow"]}),
        trials={"type": "object", "additionalProperties": nullable(ref("Trial"))},
        card=FREE,
    ),
    "Trial": record(
        pictures={**WHOLE, "description": "for each kind of planted cause"},
        digits={**WHOLE, "description": "that the yardstick was taken on"},
        controls=record(ink=NUMBER, random=NUMBER),
        results=listed(record(method=TEXT, options=FREE, rank=WHOLE, **RECORD, yardstick_interval=SPAN)),
    ),
    "Best": record(
        name=TEXT,
        summary=TEXT,
        models={"type": "object", "additionalProperties": record(method=TEXT, options=FREE, tried=FLAG)},
    ),
    "Method": record(
        name=TEXT,
        aliases=listed(TEXT),
        revision=WHOLE,
        summary=TEXT,
        needs=listed(_one_of(Verb)),
        signed=FLAG,
        complete=FLAG,
        paper=TEXT,
        options=listed(OPTION),
        engines=listed(TEXT),
        reference=nullable(record(revision=WHOLE, summary=TEXT, complete=FLAG, installed=FLAG, options=listed(OPTION))),
        models=listed(TEXT),
    ),
    "AttackMethod": record(name=TEXT, summary=TEXT, paper=TEXT, options=listed(OPTION), models=listed(TEXT)),
}
