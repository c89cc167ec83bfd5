"""Renders a comparison as the JSON of Inkling's own API, as text, and as the maps of one picture.

Maps in the same unit share one scale, parts of a sum apart from other differences; what has another unit cannot be
compared by its colour.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from server.render.alt import alt_text, method_name, places, sides
from server.render.heatmap import Heatmap, heatmap
from server.render.json import attribution_json, explanation_json
from server.render.jsonable import json_text, known_float
from server.render.language import ENGLISH, Words
from server.render.legend import LETTER, TEXT, Caption, unit
from server.types import Comparison, Explanation

MEASURE = "Spearman's rank correlation of the values on ink"


def comparison_json_bytes(comparison: Comparison, words: Words = ENGLISH) -> bytes:
    return json_text(comparison_json(comparison, words))


def comparison_json(comparison: Comparison, words: Words = ENGLISH) -> dict[str, Any]:
    """All of POST /v1/compare. `difference` is null but for two versions."""
    difference = comparison.difference
    return {
        "explanations": [explanation_json(one, words) for one in comparison.explanations],
        "agreement": {
            "measure": MEASURE,
            "labels": distinct_names(comparison.explanations),
            "matrix": [[known_float(each, "agreement") for each in row] for row in comparison.agreement.tolist()],
        },
        "difference": None if difference is None else attribution_json(difference, signed=True, words=words),
        "rows": int(comparison.rows),
        "believe": _believe(comparison, words),
        "alt": comparison_alt(comparison, words),
    }


def distinct_names(explanations: Sequence[Explanation]) -> list[str]:
    """Names that distinguish the explanations: method, model or version, or several of them."""
    cards = [one.prediction.card for one in explanations]
    columns = [
        [card.name for card in cards],
        [f"version {card.version}" for card in cards],
        [one.explainer.name for one in explanations],
    ]
    distinguishing = [column for column in columns if len(set(column)) > 1]
    if distinguishing == columns[:2]:  # other models have other versions, which is not the point
        distinguishing = columns[:1]
    names = [" ".join(words) for words in zip(*(distinguishing or columns[2:]), strict=True)]
    if len(set(names)) < len(names):  # the same, asked under another name or with other options
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return names


def comparison_alt(comparison: Comparison, words: Words = ENGLISH) -> str:
    """Each explanation in words, then how far they agree."""
    tested: set[tuple[str, str]] = set()  # models and what was explained: the removal test asks no method
    sentences_of_each = []
    for label, one in zip(distinct_names(comparison.explanations), comparison.explanations, strict=True):
        test = one.prediction.card.digest, one.output
        sentences_of_each.append(f"{label}: {alt_text(one, words, removal=test not in tested)}")
        tested.add(test)
    sentences = [*_difference(comparison, words), *_belief(comparison, words), _agreement(comparison, words)]
    return words.join([*sentences_of_each, *sentences])


def _believe(comparison: Comparison, words: Words) -> dict[str, Any]:
    """The explanation to believe by the version's trial, and why; null where it names none, and why not."""
    index = comparison.belief.index
    method = None if index is None else comparison.explanations[index].explainer.name
    return {"index": index, "method": method, "why": _why(comparison, words)}


def _why(comparison: Comparison, words: Words) -> str:
    index = comparison.belief.index
    if index is None:
        return words.belief(comparison.belief, "", None)
    return words.belief(
        comparison.belief, distinct_names(comparison.explanations)[index], comparison.explanations[index].trial
    )


def _belief(comparison: Comparison, words: Words) -> list[str]:
    """Which to believe, one sentence, but where no trial says anything of them."""
    return [_why(comparison, words)] if comparison.belief.reason in ("trial", "flagged") else []


def _difference(comparison: Comparison, words: Words) -> list[str]:
    """Where each of two versions says more for the class; nothing where no versions are compared."""
    if comparison.difference is None:
        return []
    first, second = (one.prediction.card.version for one in comparison.explanations)
    values = comparison.difference.values
    parts = []
    for version, more in ((second, np.maximum(values, 0)), (first, np.maximum(-values, 0))):
        amounts = places(more, comparison.explanations[0].digit.pixels)
        if amounts.any():
            strongest = int(amounts.argmax())
            parts.append((version, strongest, float(amounts[strongest] / np.abs(values).sum())))
    return [words.difference(parts)]


def parts_of(comparison: Comparison) -> Iterator[tuple[Explanation, Heatmap, Caption | None, bool]]:
    """What is drawn side by side, and whether it is the one to believe: each explanation, then the difference of two
    versions."""
    maps = [heatmap(one) for one in comparison.explanations]
    kinds = [(unit(one), one.explainer.signed) for one in comparison.explanations]
    limits = {kind: max(one.limit for one, of in zip(maps, kinds, strict=True) if of == kind) for kind in kinds}
    for place, (explanation, kind) in enumerate(zip(comparison.explanations, kinds, strict=True)):
        yield explanation, heatmap(explanation, limit=limits[kind]), None, place == comparison.belief.index
    if comparison.difference is not None:
        first, second = comparison.explanations
        shown = replace(second, attribution=comparison.difference, trial=None)  # no trial was of differences
        yield shown, heatmap(shown, signed=True), _difference_caption(first, second), False


def agreement_lines(comparison: Comparison, width: float) -> list[str]:
    """How far they agree, in lines of at most `width` pixels."""
    return textwrap.wrap(_agreement(comparison, ENGLISH), int(width / (LETTER * TEXT)))


def _difference_caption(first: Explanation, second: Explanation) -> Caption:
    old, new = (one.prediction.card.version for one in (first, second))
    pro = f"for {sides(second.target, second.prediction.card.classes)[0]}"
    how = f"{second.prediction.card.name} {old} and {new} · {method_name(second)}"
    return Caption(f"Version {new} less version {old}", how, f"{old} says more {pro}", f"{new} says more {pro}")


def _agreement(comparison: Comparison, words: Words) -> str:
    """One sentence: every pair with its correlation."""
    names = distinct_names(comparison.explanations)
    pairs = [(names[i], names[j], _two(comparison.agreement[i, j])) for i, j in combinations(range(len(names)), 2)]
    return words.agreement(pairs)


def _two(correlation: float) -> float | None:
    """Two decimals without a negative zero; None where it is not defined."""
    return None if np.isnan(correlation) else round(float(correlation), 2) + 0.0
