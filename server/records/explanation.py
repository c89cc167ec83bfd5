"""Explanation <-> the bytes of a record: all that rendering reads, and no more of the model's card than that.

What was answered once is answered again byte for byte, even if the model's version is gone by then. The frame is not
kept: how an explanation is shown is up to who asks for it. Knows no file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast, get_args

import numpy as np

from server.errors import ServiceError
from server.explainers import EXPLAINERS
from server.options import parse
from server.records.block import Damaged, pack, unpack
from server.reference import REFERENCES
from server.types import (
    Array,
    Attribution,
    Digit,
    Explainer,
    Explanation,
    ImageSpec,
    InDistribution,
    Measure,
    ModelCard,
    Placement,
    Prediction,
    Quality,
    State,
    Stop,
    Target,
    Unit,
)

OPTIONAL = ("segments", "segment_values", "stderr")  # arrays that a method may not have
NUMBERS = ("score", "base_value", "convergence_delta", "uncorrected_delta", "local_r2", "top3_probability")  # or None


class Foreign(Damaged):
    """A whole record, made by other code than this."""


def encode(explanation: Explanation, edition: str) -> bytes:
    """Raises ValueError or TypeError for what has no form in a record."""
    arrays = _arrays(explanation)
    picture = _differences(arrays.pop("picture"))
    return pack({"edition": edition, **_facts(explanation)}, {**arrays, "picture": picture})


def decode(block: bytes, identity: str, edition: str) -> Explanation:
    """The explanation with that id, as kept; its card has neither background nor verbs, metrics or training.

    Raises:
        Foreign: it was made by other code.
        Damaged: it is no whole record, or that of another.
    """
    told, arrays = unpack(block)
    if told.get("edition") != edition:
        raise Foreign(f"it was made by edition {told.get('edition')!r} of this server, which is now {edition!r}")
    try:
        arrays["picture"] = _picture(arrays["picture"])
        found = _explanation(told, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ServiceError) as error:
        raise Damaged(f"its fields can not be read ({type(error).__name__}: {error})") from error
    if found.id != identity:
        raise Damaged(f"it is the record of {found.id}")
    return found


def fingerprint(explanation: Explanation) -> str:
    """A hash of all that any rendering of it depends on, but for the code that renders."""
    facts = [_facts(explanation), explanation.frame, explanation.kept]
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in _arrays(explanation).items():
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _facts(explanation: Explanation) -> dict[str, Any]:
    """All but the arrays, as JSON says it; floats come back as they were."""
    prediction, card, placement = explanation.prediction, explanation.prediction.card, explanation.digit.placement
    target, attribution = explanation.target, explanation.attribution
    known = prediction.in_distribution
    return {
        "id": explanation.id,
        "card": [card.name, card.version, card.digest, card.architecture, list(card.classes)],
        "calibration": [float(card.temperature), float(card.energy_threshold)],
        "prediction": [int(prediction.index), bool(known.ok), float(known.score), float(known.threshold)],
        "placement": {
            "transform": [float(number) for number in placement.transform],
            "size": [int(placement.width), int(placement.height)],
            "steps": list(placement.steps),
            "warnings": list(placement.warnings),
        },
        "target": [int(target.index), None if target.versus is None else int(target.versus)],
        "explainer": [explanation.engine, explanation.explainer.name, _options(explanation.explainer)],
        "seed": int(explanation.seed),
        "output": explanation.output,
        "attribution": {
            "unit": attribution.unit,
            "state": attribution.state,
            "stop": attribution.stop,
            "rows": int(attribution.rows),
            "warnings": list(attribution.warnings),
            **{name: _number(getattr(attribution, name)) for name in NUMBERS},
        },
        "quality": None if explanation.quality is None else _measured(explanation.quality),
    }


def _arrays(explanation: Explanation) -> dict[str, Array]:
    attribution, prediction = explanation.attribution, explanation.prediction
    optional = {name: getattr(attribution, name) for name in OPTIONAL}
    every = {
        "picture": explanation.digit.placement.picture,
        "pixels": explanation.digit.pixels,
        "probabilities": prediction.probabilities,
        "logits": prediction.logits,
        "values": attribution.values,
        **{name: array for name, array in optional.items() if array is not None},
    }
    return {name: np.asarray(array) for name, array in every.items()}


def _options(explainer: Explainer) -> dict[str, Any]:
    return {one.name: getattr(explainer, one.name) for one in dataclasses.fields(cast(Any, explainer))}


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _measured(quality: Quality) -> dict[str, Any]:
    measures = [
        [one.name, _number(one.value), _number(one.random), _number(one.intensity), one.better, _number(one.beaten)]
        for one in quality.measures
    ]
    return {"verdict": quality.verdict, "measures": measures}


def _explanation(told: Mapping[str, Any], arrays: Mapping[str, Array]) -> Explanation:
    pixels, values = arrays["pixels"], arrays["values"]
    name, version, digest, architecture, classes = told["card"]
    temperature, threshold = told["calibration"]
    index, ok, score, least = told["prediction"]
    explained, versus = told["target"]
    spec = ImageSpec(*pixels.shape)
    card = ModelCard(
        name, version, digest, architecture, tuple(classes), spec, temperature, threshold,
        np.zeros((0, *pixels.shape), np.float32), frozenset(),
    )  # fmt: skip
    _expect(arrays["probabilities"].shape == arrays["logits"].shape == (len(classes),), "one number for each class")
    _expect(0 <= index < len(classes), "a predicted class that there is")
    _expect(values.shape == pixels.shape, "a value for each pixel")
    engine, method, options = told["explainer"]
    known = {"inkling": EXPLAINERS, "reference": REFERENCES}[engine][method]
    measured = told["quality"]
    _expect(told["output"] in ("logit", "probability"), "output to be logit or probability")
    return Explanation(
        told["id"],
        Digit(pixels, _placement(told["placement"], arrays["picture"])),
        Prediction(card, index, arrays["probabilities"], arrays["logits"], InDistribution(ok, score, least)),
        _target(explained, versus, card.classes),
        _attribution(told["attribution"], arrays),
        known(**parse(known, options)),
        told["seed"],
        told["output"],
        engine=engine,
        quality=None
        if measured is None
        else Quality(tuple(Measure(*one) for one in measured["measures"]), measured["verdict"]),
        kept=True,
    )


def _placement(told: Mapping[str, Any], picture: Array) -> Placement:
    a, b, c, d, e, f = told["transform"]
    width, height = told["size"]
    _expect(width > 0 and height > 0 and picture.size > 0, "a picture with pixels")
    return Placement((a, b, c, d, e, f), width, height, picture, tuple(told["steps"]), tuple(told["warnings"]))


def _target(index: int, versus: int | None, classes: tuple[str, ...]) -> Target:
    return Target.of_class(index, classes) if versus is None else Target.contrast(index, versus, classes)


def _attribution(told: Mapping[str, Any], arrays: Mapping[str, Array]) -> Attribution:
    optional: dict[str, Any] = {name: arrays.get(name) for name in OPTIONAL}
    segments, per_segment = optional["segments"], optional["segment_values"]
    for name in ("segments", "stderr"):
        array = optional[name]
        _expect(array is None or array.shape == arrays["values"].shape, f"{name} for each pixel")
    if segments is not None and per_segment is not None:
        _expect(segments.dtype.kind in "iu" and 0 <= segments.min() <= segments.max() < len(per_segment), "segments")
    for name, literal in (("unit", Unit), ("state", State)):
        _expect(told[name] in get_args(literal), f"{name} to be one that there is")
    _expect(told["stop"] is None or told["stop"] in get_args(Stop), "a reason for stopping that there is")
    return Attribution(
        arrays["values"], told["unit"], told["state"], told["rows"], stop=told["stop"],
        warnings=tuple(told["warnings"]), **optional, **{name: told[name] for name in NUMBERS},
    )  # fmt: skip


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"expected {what}")


def _differences(picture: Array) -> Array:
    """(3, h, w) uint8 that zlib finds less in than in the picture (h, w, 3) itself: each row less the one above it, and
    red and blue less green. Modulo 256, so nothing is lost."""
    _expect(picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8, "a picture of 8 bits")
    planes = np.moveaxis(picture, 2, 0).copy()
    planes[[0, 2]] -= planes[1]
    return np.diff(planes, axis=1, prepend=np.zeros_like(planes[:, :1]))


def _picture(differences: Array) -> Array:
    """The picture (h, w, 3) uint8 that these are the differences of."""
    _expect(differences.ndim == 3 and len(differences) == 3 and differences.dtype == np.uint8, "a picture")
    planes = np.cumsum(differences, axis=1, dtype=np.uint8)
    planes[[0, 2]] += planes[1]
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))
