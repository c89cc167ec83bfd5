"""A prediction as JSON text, written straight: the text of `prediction_json` in a fraction of the time, because
predictions are asked by the thousand.

Only finite numbers leave here. Raises ValueError where there is no such number.
"""

from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quoted

import numpy as np

from server.render.plain import finite, plain_float
from server.types import Placement, Prediction


def prediction_text(prediction: Prediction, placement: Placement) -> str:
    """All of POST /v1/predict, as json.dumps would write it."""
    card, known = prediction.card, prediction.in_distribution
    single = finite(prediction.probabilities.astype(np.float32), "probabilities") + np.float32(0)
    probabilities = [str(value) for value in single]  # the numbers of plain_floats, which Python would write so too
    return (
        f'{{"model": {{"name": {quoted(card.name)}, "version": {quoted(card.version)}, '
        f'"digest": {quoted(card.digest)}}}, '
        f'"prediction": {{"class": {prediction.index}, "label": {quoted(prediction.label)}, '
        f'"probability": {probabilities[prediction.index]}}}, '
        f'"probabilities": [{", ".join(probabilities)}], '
        f'"in_distribution": {{"ok": {"true" if known.ok else "false"}, '
        f'"score": {_number(known.score, "in_distribution.score")}, '
        f'"threshold": {_number(known.threshold, "in_distribution.threshold")}}}, '
        f'"preprocessing": {{"steps": {_strings(placement.steps)}, '
        f'"transform": [{", ".join([_number(number, "transform") for number in placement.transform])}], '
        f'"warnings": {_strings(placement.warnings)}}}}}'
    )


def _number(value: float, name: str) -> str:
    """`plain_float` as text; most transforms are made of short numbers that are finite and round already."""
    text = repr(value)
    return text if len(text) == 3 and text[1:] == ".0" else repr(plain_float(value, name))


def _strings(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"
