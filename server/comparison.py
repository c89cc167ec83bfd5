"""compare(): several explanations of one picture, by several methods, models or versions, and how far they agree.

Beside predict() and explain() of inference.py. Explanations of one version share every picture that they ask; all have
the same seed, so that masks and noise are the same and differences are not those of the draw.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from server.desk import Desk, OwnThread
from server.handles import ModelStore, Served
from server.inference import Stages, Which, Why, built, explained, predicted
from server.remembered import Remembered
from server.slots import Interrupt
from server.timed import Timed
from server.types import Array, Attribution, Comparison, Digit, Explanation, Picture, Prediction

Case = tuple[Which, Why]


@dataclass(frozen=True)
class _Seen:
    """One picture before one version, with the memory of what has been asked of it."""

    digit: Digit
    prediction: Prediction
    model: Remembered


def compare(
    store: ModelStore,
    picture: Picture,
    cases: Sequence[Case],
    stages: Stages,
    now: Callable[[], float] = time.monotonic,
    desk: Desk | None = None,
) -> Comparison:
    """The explanations of all `cases`, each within its fair share of the time that is left of the first one's budget,
    computed at `desk`; without one, here.

    All explain the same class: that of the first case, or what the first version predicts.

    Raises:
        ServiceError: as explain() does; one case that is not possible fails all.
    """
    desk = desk or OwnThread(cases[0][1].budget, now)
    with ExitStack() as held:
        handles = _handles(store, cases, held)
        methods = [built(why, served) for (_, why), served in zip(cases, handles, strict=True)]
        desk.check()
        seen: dict[str, _Seen] = {}
        ones = [_seen(seen, one, picture, which, stages, desk) for (which, _), one in zip(cases, handles, strict=True)]

        def work(interrupt: Interrupt) -> list[Explanation]:
            explanations: list[Explanation] = []
            for (_, why), one, explainer in zip(cases, ones, methods, strict=True):
                share = max(0.0, desk.deadline - now()) / (len(cases) - len(explanations))
                timed = Timed(one.model, now() + share, cases[0][1].budget, now, interrupt)
                asked = replace(why, target=_class(why, explanations))
                explanations.append(explained(timed, one.digit, one.prediction, explainer, asked, stages))
            return explanations

        explanations = desk.run(work, held)
    rows = sum(one.model.rows for one in seen.values())
    return Comparison(tuple(explanations), agreement(explanations), _difference(explanations), rows)


def _handles(store: ModelStore, cases: Sequence[Case], held: ExitStack) -> list[Served]:
    """The version of each case. Cases that ask for the same one get the same one, also where another takes its place in
    between."""
    asked: dict[Which, Served] = {}
    for which, _ in cases:
        if which not in asked:
            asked[which] = held.enter_context(store.handle(which.model, which.version))
    return [asked[which] for which, _ in cases]


def _seen(seen: dict[str, _Seen], served: Served, picture: Picture, which: Which, stages: Stages, desk: Desk) -> _Seen:
    digest = served.card.digest
    if digest not in seen:
        model = Remembered(served.lane("explain"))
        seen[digest] = _Seen(*predicted(served, picture, which, stages, desk.caller), model)
    return seen[digest]


def _class(why: Why, before: Sequence[Explanation]) -> str | None:
    """The label of the class that is explained: the first explanation decides for all."""
    if not before:
        return why.target
    return before[0].prediction.card.classes[before[0].target.index]


def agreement(explanations: Sequence[Explanation]) -> Array:
    """Spearman's rank correlation (m, m) of the values on ink, in float32 as they are told, with ties at their mean
    rank; NaN where one has but one value or the images differ in size."""
    ink = explanations[0].digit.pixels > 0
    maps = [one.attribution.values for one in explanations]
    return np.array([[_spearman(a, b, ink) for b in maps] for a in maps])


def _spearman(one: Array, other: Array, ink: Array) -> float:
    from scipy.stats import spearmanr  # 0.3 s, and memory that those who only predict do without

    if not one.shape == other.shape == ink.shape:
        return float("nan")
    values = [of[ink].astype(np.float32) for of in (one, other)]
    if any(len(np.unique(each)) < 2 for each in values):
        return float("nan")
    return float(spearmanr(*values).statistic)


def _difference(explanations: Sequence[Explanation]) -> Attribution | None:
    """The second map less the first, where two versions of one model explain the same by the same method; else None.

    With the same seed both saw the same masks and noise, whose errors cancel in part; how much is not known.
    """
    if not _are_versions(explanations):
        return None
    first, second = (one.attribution for one in explanations)
    cells = first.segments if _same(first.segments, second.segments) else None
    return Attribution(
        second.values - first.values,
        first.unit,
        min((first.state, second.state), key=("partial", "converged", "exact").index),
        first.rows + second.rows,
        segments=cells,
        segment_values=None if cells is None else _less(second.segment_values, first.segment_values),
        score=_less(second.score, first.score),
        base_value=_less(second.base_value, first.base_value),
        convergence_delta=_less(second.convergence_delta, first.convergence_delta),
    )


def _are_versions(explanations: Sequence[Explanation]) -> bool:
    cards = [one.prediction.card for one in explanations]
    same = len(cards) == 2 and (cards[0].name, cards[0].image) == (cards[1].name, cards[1].image)
    return same and cards[0].version != cards[1].version


def _same(one: Array | None, other: Array | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _less(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one - other
