"""Prediction and explanation as the JSON of Inkling's own API. Knows no links: those are HTTP's.

Only plain, finite numbers leave here. Raises ValueError where there is no such number.
"""

import dataclasses
import json
from typing import Any, cast

import numpy as np

from server.attacks.types import Attack
from server.render.alt import alt_text
from server.render.plain import known_float, plain, plain_float, plain_floats
from server.types import Attribution, Explainer, Explanation, Placement, Prediction, Target


def json_bytes(explanation: Explanation) -> bytes:
    """Strict JSON in UTF-8, without spaces: most of it is numbers."""
    return json.dumps(explanation_json(explanation), allow_nan=False, separators=(",", ":")).encode()


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """All of POST /v1/explain but `links`."""
    attribution = explanation.attribution
    return {
        "id": explanation.id,
        **prediction_json(explanation.prediction, explanation.digit.placement),
        "target": _target(explanation.target),
        "explanation": {
            "method": explanation.explainer.name,
            "engine": explanation.engine,
            "options": options(explanation.explainer),
            "seed": int(explanation.seed),
            "output": explanation.output,
            "unit": attribution.unit,
            **_arrays(attribution),
            "score": known_float(attribution.score, "score"),
            "base_value": known_float(attribution.base_value, "base_value"),
            "certificate": _certificate(attribution),
            "warnings": list(attribution.warnings),
        },
        "alt": alt_text(explanation),
    }


def prediction_json(prediction: Prediction, placement: Placement) -> dict[str, Any]:
    """All of POST /v1/predict."""
    card, in_distribution = prediction.card, prediction.in_distribution
    probabilities = plain_floats(prediction.probabilities, "probabilities")
    return {
        "model": {"name": card.name, "version": card.version, "digest": card.digest},
        "prediction": {
            "class": int(prediction.index),
            "label": prediction.label,
            "probability": probabilities[prediction.index],
        },
        "probabilities": probabilities,
        "in_distribution": {
            "ok": bool(in_distribution.ok),
            "score": plain_float(in_distribution.score, "in_distribution.score"),
            "threshold": plain_float(in_distribution.threshold, "in_distribution.threshold"),
        },
        "preprocessing": {
            "steps": list(placement.steps),
            "transform": [plain_float(number, "transform") for number in placement.transform],
            "warnings": list(placement.warnings),
        },
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
        "segments": None if segments is None else segments.tolist(),
        "segment_values": None if per_segment is None else plain_floats(per_segment, "segment_values"),
    }


def _certificate(attribution: Attribution) -> dict[str, Any]:
    stderr = attribution.stderr
    return {
        "state": attribution.state,
        "convergence_delta": known_float(attribution.convergence_delta, "convergence_delta"),
        "stderr_max": None if stderr is None else known_float(float(np.max(stderr)), "stderr_max"),
        "local_r2": known_float(attribution.local_r2, "local_r2"),
        "rows": int(attribution.rows),
        "stop": attribution.stop,
        "top3_probability": known_float(attribution.top3_probability, "top3_probability"),
    }
