"""Summaries: headers that say in short what an answer is that is no JSON, so that nobody has to ask twice.

Their values are JSON in ASCII: labels may be any text, and headers may not.
"""

import json
from typing import Any

from server.attacks.types import AttackResult
from server.render import answer_json, json_text
from server.types import Comparison, Explanation, Prediction

PREDICTION = "X-Inkling-Prediction"
CHANGED = "X-Inkling-Changed-Prediction"
ID = "X-Inkling-Id"
LONGEST = 50  # characters of a label here: proxies take few kilobytes of headers


def of_explanation(explanation: Explanation) -> dict[str, str]:
    """The prediction, and the id."""
    return {PREDICTION: _ascii(_answer(explanation.prediction)), ID: explanation.id}


def of_comparison(comparison: Comparison) -> dict[str, str]:
    """The predictions of all that is compared, in their order."""
    return {PREDICTION: _ascii([_answer(one.prediction) for one in comparison.explanations])}


def of_attack(attacked: AttackResult) -> dict[str, str]:
    """The predictions for the picture and for the changed one, which is null where none was found."""
    changed = None if attacked.changed is None else _answer(attacked.changed)
    return {PREDICTION: _ascii(_answer(attacked.prediction)), CHANGED: _ascii(changed)}


def _answer(prediction: Prediction) -> dict[str, Any]:
    return {**answer_json(prediction), "label": prediction.label[:LONGEST]}


def _ascii(document: Any) -> str:
    """With the digits that the JSON of the body has."""
    return json.dumps(json.loads(json_text(document)), separators=(",", ":"))
