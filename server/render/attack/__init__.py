"""Renders an attack's result as the JSON of Inkling's own API, and as text. Knows no colours.

Lengths are in ink: 1 is a pixel gone from paper to full ink. Raises ValueError where a number is not finite.
"""

from typing import Any

import numpy as np

from server.attacks.types import AttackResult
from server.render.alt import cautions, places
from server.render.json import answer_json, options, prediction_json
from server.render.jsonable import json_text, known_float, plain_floats
from server.render.language import ENGLISH, Words
from server.render.lossless import sixteen_bit_url
from server.types import Array


def attack_json_bytes(attacked: AttackResult, words: Words = ENGLISH) -> bytes:
    return json_text(attack_json(attacked, words))


def attack_json(attacked: AttackResult, words: Words = ENGLISH) -> dict[str, Any]:
    """All of POST /v1/adversarial. What was not found is null."""
    adversarial = attacked.adversarial
    return {
        **prediction_json(attacked.prediction, attacked.digit.placement),
        "adversarial": {
            "method": attacked.attack.name,
            "options": options(attacked.attack),
            "seed": int(attacked.seed),
            "target": None if attacked.target_class is None else int(attacked.target_class),
            "found": attacked.changed is not None,
            **_answer(attacked),
            "pixels": None if adversarial.pixels is None else plain_floats(adversarial.pixels, "pixels"),
            "image": None if adversarial.pixels is None else sixteen_bit_url(adversarial.pixels),
            "change": None if adversarial.pixels is None else plain_floats(change(attacked), "change"),
            "l2": known_float(adversarial.l2, "l2"),
            "linf": known_float(adversarial.linf, "linf"),
            "rows": int(adversarial.rows),
        },
        "alt": attack_alt(attacked, words),
    }


def change(attacked: AttackResult) -> Array:
    """(H, W) float64: ink added, less than 0 where it was removed. Only where a picture was found."""
    assert attacked.adversarial.pixels is not None
    return attacked.adversarial.pixels.astype(np.float64) - attacked.digit.pixels


def attack_alt(attacked: AttackResult, words: Words = ENGLISH) -> str:
    """The alt text: the prediction, what it takes to change it, and warnings."""
    before = attacked.prediction
    sentences = [words.predicted(before.label, before.probability), *outcome_sentences(attacked, words)]
    return words.join(sentences + cautions(before, attacked.digit.placement.warnings, words))


def outcome_sentences(attacked: AttackResult, words: Words = ENGLISH) -> list[str]:
    """A few sentences: what was found or tried, and what that means."""
    name, adversarial, changed = attacked.attack.name, attacked.adversarial, attacked.changed
    if changed is None or adversarial.l2 is None or adversarial.linf is None:
        return _nothing(attacked, words)
    added, removed = (places(np.maximum(sign * change(attacked), 0), attacked.digit.pixels) for sign in (1, -1))
    moved = [int(amounts.argmax()) if amounts.any() else None for amounts in (added, removed)]
    return [
        words.changed(adversarial.l2, adversarial.linf, changed.label, changed.probability, name),
        words.moved(*moved),
        words.smaller,
    ]


def _nothing(attacked: AttackResult, words: Words) -> list[str]:
    prediction, attack = attacked.prediction, attacked.attack
    otherwise = None if attacked.target_class is None else prediction.card.classes[attacked.target_class]
    tried = ", ".join(f"{name}={value:g}" for name, value in options(attack).items())
    return list(words.unchanged(attack.name, tried, otherwise, list(options(attack))))


def _answer(attacked: AttackResult) -> dict[str, Any]:
    """The prediction for the changed picture."""
    changed = attacked.changed
    if changed is None:
        return {"class": None, "label": None, "probability": None, "probabilities": None}
    probabilities = plain_floats(changed.probabilities, "probabilities")
    return {
        **answer_json(changed, probabilities),
        "probabilities": probabilities,
    }
