"""Describes a heatmap in a few sentences (alt text), for people who cannot see it. Knows nothing of colours or formats.

Places are the nine fields of a 3 x 3 layout of the model's image, which holds the digit upright and centred.
"""

from collections.abc import Iterable

import numpy as np

from server.render.jsonable import finite
from server.render.wording import STRANGE, STRENGTHS, method, prediction_sentence, sides
from server.types import Array, Explanation, Prediction

PLACES = (
    "in the upper left", "at the top", "in the upper right",
    "on the left", "in the centre", "on the right",
    "in the lower left", "at the bottom", "in the lower right",
)  # fmt: skip

NOTABLE = 0.05  # a smaller part of all evidence is not worth a sentence
EVEN = 1.5 / 9  # no field holds much more than its ninth


def alt_text(explanation: Explanation) -> str:
    """Prediction, reason, and warnings. Raises ValueError when values are not finite."""
    attribution = explanation.attribution
    finite(attribution.values, "values")
    sentences = [prediction_sentence(explanation.prediction.label, explanation.prediction.probability) + "."]
    if not (attribution.values if explanation.explainer.signed else attribution.values > 0).any():
        sentences.append(f"{_why(explanation)} the map is zero everywhere.")
    elif explanation.explainer.signed:
        sentences += _signed(explanation)
    else:
        sentences.append(_unsigned(explanation))
    if attribution.state == "partial":
        sentences.append("This is a partial result: the method was stopped before it was done.")
    notes = explanation.digit.placement.warnings + attribution.warnings
    return " ".join(sentences + cautions(explanation.prediction, notes))


def places(values: Array) -> Array:
    """Sums of values (H, W) over the nine fields, in the order of PLACES: (9,) float64."""
    rows, columns = (np.arange(length) * 3 // length for length in values.shape)
    field = rows[:, None] * 3 + columns
    return np.bincount(field.ravel(), values.ravel().astype(np.float64), minlength=9)


def _signed(explanation: Explanation) -> list[str]:
    values = explanation.attribution.values
    supporting, opposing = places(np.maximum(values, 0)), places(np.maximum(-values, 0))
    total = supporting.sum() + opposing.sum()
    pro, contra = sides(explanation.target, explanation.prediction.card.classes)
    why = f"nothing speaks {pro}"
    if supporting.any():
        (place, share), *others = _ranking(supporting)
        then = "".join(f", {_whole(share)} {PLACES[place]}" for place, share in others)
        why = f"{_whole(share)} of the evidence {pro} lies {PLACES[place]}{then}"
    against = f"No place holds {_whole(NOTABLE)} or more of all evidence {contra}"
    strongest = int(opposing.argmax())
    if opposing[strongest] >= NOTABLE * total:
        part = _whole(opposing[strongest] / total)
        against = f"The strongest evidence {contra} lies {PLACES[strongest]} and is {part} of all evidence"
    return [f"{_why(explanation)} {why}.", f"{against}."]


def _unsigned(explanation: Explanation) -> str:
    what = f"{_why(explanation)} the model's {STRENGTHS[explanation.attribution.unit]} is"
    amounts = places(np.maximum(explanation.attribution.values, 0))
    if amounts.max() < EVEN * amounts.sum():
        return f"{what} spread almost evenly over the picture."
    (place, share), *others = _ranking(amounts)
    then = "".join(f", then {PLACES[place]} ({_whole(share)})" for place, share in others)
    return f"{what} greatest {PLACES[place]} ({_whole(share)} of it){then}."


def _why(explanation: Explanation) -> str:
    return f"Why {explanation.target.label}, by {method(explanation)}:"


def _ranking(amounts: Array) -> list[tuple[int, float]]:
    """The three largest places and their shares of all, without those below a tenth except the first."""
    shares = amounts / amounts.sum()
    order = [int(place) for place in np.argsort(-shares, kind="stable")[:3]]
    return [(place, float(shares[place])) for place in order if place == order[0] or shares[place] >= 0.1]


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def cautions(prediction: Prediction, notes: Iterable[str]) -> list[str]:
    """Warnings: a picture unlike the training data, and notes from preprocessing and the method."""
    strange = [] if prediction.in_distribution.ok else [f"Warning: {STRANGE}."]
    return strange + [f"Note: {_ended(note)}" for note in notes]


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."
