"""Describes a heatmap in a few sentences (alt text), for people who cannot see it. Knows nothing of colours or formats.

Places are the nine fields of a 3 x 3 layout of the model's image, which holds the digit upright and centred.
"""

from collections.abc import Iterable

import numpy as np

from server.render.jsonable import finite
from server.render.language import ENGLISH, Words
from server.types import Array, Explanation, Prediction, Target

NOTABLE = 0.05  # a smaller part of all evidence is not worth a sentence
EVEN = 1.5 / 9  # no field holds much more than its ninth


def alt_text(explanation: Explanation, words: Words = ENGLISH) -> str:
    """Prediction, reason, and warnings. Raises ValueError when values are not finite."""
    attribution, prediction = explanation.attribution, explanation.prediction
    finite(attribution.values, "values")
    sentences = [words.predicted(prediction.label, prediction.probability)]
    if not (attribution.values if explanation.explainer.signed else attribution.values > 0).any():
        sentences.append(words.zero(*_question(explanation, words)))
    elif explanation.explainer.signed:
        sentences += _signed(explanation, words)
    else:
        sentences.append(_unsigned(explanation, words))
    if attribution.state == "partial":
        sentences.append(words.partial)
    notes = explanation.digit.placement.warnings + attribution.warnings
    return words.join(sentences + cautions(prediction, notes, words))


def places(values: Array) -> Array:
    """Sums of values (H, W) over the nine fields, in the order of PLACES: (9,) float64."""
    rows, columns = (np.arange(length) * 3 // length for length in values.shape)
    field = rows[:, None] * 3 + columns
    return np.bincount(field.ravel(), values.ravel().astype(np.float64), minlength=9)


def cautions(prediction: Prediction, notes: Iterable[str], words: Words = ENGLISH) -> list[str]:
    """Warnings: a picture unlike the training data, and notes from preprocessing and the method."""
    strange = [] if prediction.in_distribution.ok else [words.strange]
    return strange + [words.note(note) for note in notes]


def sides(target: Target, classes: tuple[str, ...]) -> tuple[str, str | None]:
    """The class that positive values speak for; and the one that negative values do, in a contrast ("4, not 9")."""
    if target.versus is None:
        return target.label, None
    return classes[target.index], classes[target.versus]


def method_name(explanation: Explanation, words: Words = ENGLISH) -> str:
    """The method, and whose code it is where it is not ours."""
    return words.method(explanation.explainer.name, explanation.engine != "inkling")


def _question(explanation: Explanation, words: Words) -> tuple[str, str]:
    pro, contra = sides(explanation.target, explanation.prediction.card.classes)
    return words.target(pro, contra), method_name(explanation, words)


def _signed(explanation: Explanation, words: Words) -> list[str]:
    values = explanation.attribution.values
    supporting, opposing = places(np.maximum(values, 0)), places(np.maximum(-values, 0))
    share = float(opposing.max() / (supporting.sum() + opposing.sum()))
    pro, contra = sides(explanation.target, explanation.prediction.card.classes)
    ranking = _ranking(supporting) if supporting.any() else []
    return [
        words.evidence(*_question(explanation, words), pro, ranking),
        words.counter(contra or pro, contra is not None, int(opposing.argmax()), share, NOTABLE),
    ]


def _unsigned(explanation: Explanation, words: Words) -> str:
    amounts = places(np.maximum(explanation.attribution.values, 0))
    ranking = [] if amounts.max() < EVEN * amounts.sum() else _ranking(amounts)
    return words.strength(*_question(explanation, words), explanation.attribution.unit, ranking)


def _ranking(amounts: Array) -> list[tuple[int, float]]:
    """The three largest places and their shares of all, without those below a tenth except the first."""
    shares = amounts / amounts.sum()
    order = [int(place) for place in np.argsort(-shares, kind="stable")[:3]]
    return [(place, float(shares[place])) for place in order if place == order[0] or shares[place] >= 0.1]
