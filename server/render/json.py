"""Renders predictions and explanations as the JSON of Inkling's own API. Knows no links: those are HTTP's.

Documents are for `json_text`: what is an array stays one. Only finite numbers leave here. Raises ValueError where there
is no such number.
"""

import dataclasses
from typing import Any, cast

import numpy as np

from server.attacks.types import Attack
from server.render.alt import alt_text, part_name, tried
from server.render.certificate import summary
from server.render.jsonable import json_text, known_float, plain, plain_float, plain_floats
from server.render.language import ENGLISH, Words
from server.types import (
    Array,
    Attribution,
    Explainer,
    Explanation,
    Part,
    Placement,
    Prediction,
    Quality,
    Target,
    TrackRecord,
)


def json_bytes(explanation: Explanation, words: Words = ENGLISH) -> bytes:
    return json_text(explanation_json(explanation, words))


def explanation_json(explanation: Explanation, words: Words = ENGLISH) -> dict[str, Any]:
    """All of POST /v1/explain but `links`."""
    attribution = explanation.attribution
    return {
        "id": explanation.id,
        **prediction_json(explanation.prediction, explanation.digit.placement),
        "target": _target(explanation.target),
        "explanation": {
            "method": explanation.explainer.name,
            "engine": explanation.engine,
            "runtime": explanation.runtime,
            "options": options(explanation.explainer),
            "seed": int(explanation.seed),
            "output": explanation.output,
            **attribution_json(attribution, explanation.explainer.signed, words),
            "parts": [_part(part, words) for part in explanation.parts],
            "quality": None if explanation.quality is None else _quality(explanation.quality, words),
        },
        "trial": _trial(explanation, words),
        "alt": alt_text(explanation, words),
    }


def record_json(record: TrackRecord) -> dict[str, Any]:
    """How a method did where the cause is known."""
    return {
        "named_cause": list(record.named_cause),
        "interval": [plain_float(end, "interval") for end in record.interval],
        "yardstick": plain_float(record.yardstick, "yardstick"),
        "ink": plain_float(record.ink, "ink"),
        "flagged": record.flagged,
        "kinds": {kind: [count, record.pictures] for kind, count in record.named.items()},
    }


def _trial(explanation: Explanation, words: Words) -> dict[str, Any] | None:
    if explanation.trial is None:
        return None
    return {**record_json(explanation.trial), "summary": "".join(tried(explanation, words))}


def attribution_json(attribution: Attribution, signed: bool, words: Words = ENGLISH) -> dict[str, Any]:
    """What a method said, and how far that can be trusted."""
    return {
        "unit": attribution.unit,
        "signed": signed,
        **_arrays(attribution),
        "painted": "segment_values" if attribution.segment_values is not None and not attribution.fine else "values",
        "score": known_float(attribution.score, "score"),
        "base_value": known_float(attribution.base_value, "base_value"),
        "certificate": _certificate(attribution, words),
        "warnings": list(attribution.warnings),
    }


def prediction_json(prediction: Prediction, placement: Placement, pixels: Array | None = None) -> dict[str, Any]:
    """All of POST /v1/predict; with the `pixels` that the model got, where they are given."""
    card, in_distribution = prediction.card, prediction.in_distribution
    probabilities = plain_floats(prediction.probabilities, "probabilities")
    return {
        "model": {"name": card.name, "version": card.version, "digest": card.digest},
        "prediction": answer_json(prediction, probabilities),
        "probabilities": probabilities,
        "prediction_set": _set_json(prediction),
        "in_distribution": {
            "ok": bool(in_distribution.ok),
            "score": plain_float(in_distribution.score, "in_distribution.score"),
            "threshold": plain_float(in_distribution.threshold, "in_distribution.threshold"),
        },
        "preprocessing": {
            "steps": list(placement.steps),
            "transform": [plain_float(number, "transform") for number in placement.transform],
            "warnings": list(placement.warnings),
            **({} if pixels is None else {"pixels": plain_floats(pixels, "pixels")}),
        },
    }


def _set_json(prediction: Prediction) -> dict[str, Any] | None:
    if (found := prediction.prediction_set) is None:
        return None
    labels = [prediction.card.classes[index] for index in found.classes]
    return {"labels": labels, "coverage": found.coverage, "n": found.n}


def answer_json(prediction: Prediction, probabilities: Array | None = None) -> dict[str, Any]:
    """The predicted class; `probabilities` (K,) are those of the prediction, where they are checked already."""
    if probabilities is None:
        probabilities = plain_floats(prediction.probabilities, "probabilities")
    return {
        "class": int(prediction.index),
        "label": prediction.label,
        "probability": probabilities[prediction.index],
    }


def options(method: Explainer | Attack) -> dict[str, Any]:
    """The fields of a method, which are its options."""
    names = [field.name for field in dataclasses.fields(cast(Any, method))]
    return {name: plain(getattr(method, name), name) for name in names}


def _target(target: Target) -> dict[str, Any]:
    versus = None if target.versus is None else int(target.versus)
    return {"class": int(target.index), "versus": versus, "label": target.label}


def _arrays(attribution: Attribution) -> dict[str, Any]:
    segments, per_segment = attribution.segments, attribution.segment_values
    return {
        "values": plain_floats(attribution.values, "values"),
        "stderr": _known_floats(attribution.stderr, "stderr"),
        "segments": None if segments is None else np.ascontiguousarray(segments),
        "segment_values": None if per_segment is None else plain_floats(per_segment, "segment_values"),
        "segment_stderr": _known_floats(attribution.segment_stderr, "segment_stderr"),
    }


def _known_floats(array: Array | None, name: str) -> Array | None:
    return None if array is None or not np.isfinite(array).all() else plain_floats(array, name)


def _quality(quality: Quality, words: Words) -> dict[str, Any]:
    """Each measure with its two controls, whether the map is better than they are, and the same as a sentence."""
    measures = {
        one.name: {
            "value": known_float(one.value, one.name),
            "random": known_float(one.random, one.name),
            "intensity": known_float(one.intensity, one.name),
            "better": one.better,
            "random_beaten": known_float(one.beaten, one.name),
            "better_than_random": one.better_than_random,
            "better_than_intensity": one.better_than_ink,
        }
        for one in quality.measures
    }
    return {"measures": measures, "passed": quality.passed, "verdict": words.verdict(quality)}


def _part(part: Part, words: Words) -> dict[str, Any]:
    return {
        "name": part_name(part, words),
        "kind": part.kind,
        "place": part.place,
        "section": part.section,
        "drop": known_float(part.drop, "drop"),
        "box": list(part.box),
        "supporting": known_float(part.supporting, "supporting"),
        "opposing": known_float(part.opposing, "opposing"),
        "stderr": known_float(part.stderr, "stderr"),
    }


def _certificate(attribution: Attribution, words: Words) -> dict[str, Any]:
    _, stderr = attribution.ranked
    return {
        "state": attribution.state,
        "convergence_delta": known_float(attribution.convergence_delta, "convergence_delta"),
        "uncorrected_delta": known_float(attribution.uncorrected_delta, "uncorrected_delta"),
        "stderr_max": None if stderr is None else known_float(float(np.max(stderr)), "stderr_max"),
        "bias_max": known_float(attribution.bias_max, "bias_max"),
        "local_r2": known_float(attribution.local_r2, "local_r2"),
        "rows": int(attribution.rows),
        "stop": attribution.stop,
        "top3_probability": known_float(attribution.top3_probability, "top3_probability"),
        "summary": summary(attribution, words),
    }
