"""Describes an explanation in a few sentences (alt text), for people who cannot see it. Knows nothing of colours or
formats.

Evidence is located by the parts of the digit, and what taking them away costs is told first: it is the same question
for every method. What is no evidence has other words: slopes say what the answer reacts to, inner views where a net
looked.
"""

from collections.abc import Iterable

import numpy as np

from server.render.certificate import summary
from server.render.jsonable import finite
from server.render.language import ENGLISH, Words
from server.types import Array, Explanation, Part, Prediction, Target, Unit

NOTABLE = 0.05  # a smaller share of all evidence is not worth words
EVEN = 1.5  # times its own share of the picture: no field that holds less stands out
CERTAIN = 2.0  # standard errors between two places whose order is certain
SOLID = 0.4  # of the darkest pixel: what the pen drew
LOOKS: tuple[Unit, ...] = ("share", "score")
SLOPES: tuple[Unit, ...] = ("logit_per_ink", "probability_per_ink")


def alt_text(explanation: Explanation, words: Words = ENGLISH, removal: bool = True) -> str:
    """Prediction, reason, and warnings; `removal`: with what the parts are worth, where that is not told already.

    Raises ValueError when values are not finite.
    """
    attribution, prediction = explanation.attribution, explanation.prediction
    finite(attribution.values, "values")
    sentences = [words.predicted(prediction.label, prediction.probability), *alternatives(prediction, words)]
    if removal:
        sentences += _removal(explanation, words)
    if not (attribution.values if explanation.explainer.signed else attribution.values > 0).any():
        sentences.append(words.zero(*_question(explanation, words)))
    elif attribution.unit in LOOKS:
        sentences.append(_look(explanation, words))
    elif attribution.unit in SLOPES or not explanation.explainer.signed:
        sentences += _sensitivity(explanation, words)
    else:
        sentences += _evidence(explanation, words)
    if attribution.state != "exact":
        sentences.append(summary(attribution, words))
    notes = explanation.digit.placement.warnings + attribution.warnings
    return words.join(sentences + cautions(prediction, notes, words) + tried(explanation, words))


def tried(explanation: Explanation, words: Words = ENGLISH) -> list[str]:
    """How its method did where the cause is known: one sentence, or none where it was not tried."""
    trial = explanation.trial
    return [] if trial is None else [words.trial(method_name(explanation, words), trial)]


def places(values: Array, pixels: Array) -> Array:
    """Sums of values (H, W) over the nine fields of the box of the digit in `pixels` (H, W), in the order of PLACES;
    what lies beyond the box is of the nearest field: (9,) float64."""
    drawn = np.argwhere(pixels >= SOLID * pixels.max())
    first, sides = drawn.min(axis=0), np.ptp(drawn, axis=0) + 1
    rows, columns = (
        np.clip((np.arange(length) + 0.5 - start) * 3 // side, 0, 2).astype(int)
        for length, start, side in zip(values.shape, first, sides, strict=True)
    )
    field = rows[:, None] * 3 + columns
    return np.bincount(field.ravel(), values.ravel().astype(np.float64), minlength=9)


def alternatives(prediction: Prediction, words: Words = ENGLISH) -> list[str]:
    """What else the digit may be: one sentence, or none where the prediction is certain, or the picture no digit."""
    found = prediction.prediction_set
    if found is None or len(found.classes) == 1:
        return []
    return [
        words.alternatives([prediction.card.classes[index] for index in found.classes if index != prediction.index])
    ]


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


def part_name(part: Part, words: Words = ENGLISH) -> str:
    return words.part(part.kind, part.place, part.section)


def costliest(explanation: Explanation, gap: bool = False) -> tuple[Part, float] | None:
    """The piece of ink, or the opening, that counts most, and how much; None where none was tested."""
    tested = [(part, part.drop) for part in explanation.parts if part.drop is not None and (part.kind == "gap") is gap]
    return tested[0] if tested else None


def _question(explanation: Explanation, words: Words) -> tuple[str, str]:
    pro, contra = sides(explanation.target, explanation.prediction.card.classes)
    return words.target(pro, contra), method_name(explanation, words)


def _removal(explanation: Explanation, words: Words) -> list[str]:
    """What taking the costliest piece of ink away costs; and closing an opening, where that costs more."""
    found, opening = costliest(explanation), costliest(explanation, gap=True)
    if found is None:
        return []
    part, drop = found
    score = words.score(*sides(explanation.target, explanation.prediction.card.classes), explanation.output)
    told = [words.removal(part_name(part, words), score, drop)]
    if opening is not None and opening[1] > max(drop, 0):
        told.append(words.closing(part_name(opening[0], words), opening[1]))
    return told


def _evidence(explanation: Explanation, words: Words) -> list[str]:
    """How much speaks for each side of all evidence, and on which part most of it lies."""
    values = explanation.attribution.values.astype(np.float64)
    total = np.abs(values).sum()
    pro, contra = sides(explanation.target, explanation.prediction.card.classes)
    supporting, opposing = (float(np.maximum(sign * values, 0).sum() / total) for sign in (1, -1))
    for_it, against = ([getattr(part, side) for part in explanation.parts] for side in ("supporting", "opposing"))
    where = _located(explanation, for_it, supporting, words)
    return [
        words.evidence(*_question(explanation, words), pro, supporting, *where),
        *_beside_the_test(explanation, for_it, words),
        words.counter(contra or pro, contra is not None, opposing, *_located(explanation, against, opposing, words)),
        *_order(explanation, for_it, words),
    ]


def _sensitivity(explanation: Explanation, words: Words) -> list[str]:
    """What the answer reacts to: slopes are no evidence."""
    shares = [part.supporting + part.opposing for part in explanation.parts]
    score = words.score(*sides(explanation.target, explanation.prediction.card.classes), explanation.output)
    where = _located(explanation, shares, 1.0, words)
    return [
        words.sensitivity(method_name(explanation, words), score, *where),
        *_beside_the_test(explanation, shares, words),
        *_order(explanation, shares, words),
    ]


def _located(
    explanation: Explanation, shares: list[float], total: float, words: Words
) -> tuple[tuple[str, float] | None, float]:
    """The part of the digit with the largest share, and what lies on paper that is near none."""
    paper, most = total - sum(shares), max(shares, default=0.0)
    beside = paper if paper >= NOTABLE else 0.0
    if most < NOTABLE:
        return None, beside
    return (part_name(explanation.parts[shares.index(most)], words), most), beside


def _beside_the_test(explanation: Explanation, shares: list[float], words: Words) -> list[str]:
    """What the map says of the part that costs most to take away, where that is not the part that it names first."""
    found = costliest(explanation)
    if found is None or found[1] <= 0:
        return []
    share, most = shares[explanation.parts.index(found[0])], max(shares)
    if share == most:
        return []
    differs = most - share >= NOTABLE and explanation.attribution.unit not in SLOPES
    return [words.beside(part_name(found[0], words), share, differs)]


def _order(explanation: Explanation, shares: list[float], words: Words) -> list[str]:
    """That sampling may have changed which place is named first, where it may."""
    if explanation.attribution.stderr is None or len(shares) < 2:
        return []
    pairs = zip(shares, (part.stderr or 0.0 for part in explanation.parts), strict=True)
    (first, error), (second, other), *_ = sorted(pairs, reverse=True)
    return [] if first - second >= CERTAIN * float(np.hypot(error, other)) else [words.uncertain]


def _look(explanation: Explanation, words: Words) -> str:
    """Where a net looked. What says nothing of columns, as the attention of a net that reads rows, is told by rows."""
    values, pixels = np.maximum(explanation.attribution.values, 0), explanation.digit.pixels
    shares, names = places(values, pixels), tuple[str, ...](words.places)
    if float(np.ptp(values, axis=1).max()) <= 1e-6 * float(values.max()):
        shares, names = shares.reshape(3, 3).sum(axis=1), words.rows
    shares = shares / shares.sum()
    order = [int(place) for place in np.argsort(-shares, kind="stable")[:3]]
    told = [(names[place], float(shares[place])) for place in order if place == order[0] or shares[place] >= 0.1]
    return words.look(method_name(explanation, words), told if told[0][1] >= EVEN / len(names) else [])
