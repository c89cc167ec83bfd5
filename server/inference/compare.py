"""compare(): several explanations of one picture, by several methods, models or versions, and how far they agree.

Beside predict.py and explain.py. Explanations by one version share every picture that they evaluate; all have the same
seed, so that they see the same masks and noise and differ by nothing else.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from server.inference.explain import ExplainRequest, build_explainer, run_explainer
from server.inference.predict import ModelSelector, Stages, decode_and_predict
from server.inference.trial import belief
from server.models.wrappers import Memo
from server.protocols import ModelStore, ModelVersion
from server.scheduling import ImmediateSession, Interrupt, Publish, Session
from server.types import Array, Attribution, Comparison, Digit, Explanation, Picture, Prediction

Case = tuple[ModelSelector, ExplainRequest]


@dataclass(frozen=True)
class _Seen:
    """One picture as one version sees it, with the memo of what the version has computed."""

    version: ModelVersion
    selector: ModelSelector
    digit: Digit
    prediction: Prediction
    memo: Memo = field(default_factory=Memo)


def compare(
    store: ModelStore,
    picture: Picture,
    cases: Sequence[Case],
    session: Session | None = None,
    stages: Stages | None = None,
) -> Comparison:
    """The explanations of all `cases`, each within its fair share of the session's remaining time; without a session
    they are computed here, for as long as it takes.

    All explain the same class: that of the first case, or what the first version predicts.

    Raises:
        ServiceError: as explain() does; one case that is not possible fails all.
    """
    session, stages = session or ImmediateSession(), stages or Stages()
    context = session.context
    with ExitStack() as resources:
        versions = _versions(store, cases, resources)
        methods = [build_explainer(request, version) for (_, request), version in zip(cases, versions, strict=True)]
        context.raise_if_expired()
        seen: dict[str, _Seen] = {}
        for (selector, _), version in zip(cases, versions, strict=True):
            if version.card.digest not in seen:
                digit = _decoded(seen.values(), version, selector)
                found = decode_and_predict(version, picture, selector, context, stages, digit)
                seen[version.card.digest] = _Seen(version, selector, *found)
        ones = [seen[version.card.digest] for version in versions]

        def work(publish: Publish[list[Explanation]], interrupt: Interrupt) -> list[Explanation]:
            explanations: list[Explanation] = []
            for (_, request), one, explainer in zip(cases, ones, methods, strict=True):
                share = context.cancelled_by(interrupt).share(len(cases) - len(explanations))
                same = replace(request, target=_class(request, explanations))
                explanations.append(
                    run_explainer(one.version, share, one.digit, one.prediction, explainer, same, stages, memo=one.memo)
                )
            return explanations

        explanations = session.submit(work, resources=resources).result().value
    rows = sum(one.memo.rows for one in seen.values())
    return Comparison(
        tuple(explanations), rank_correlations(explanations), _difference(explanations), rows, belief(explanations)
    )


def _versions(store: ModelStore, cases: Sequence[Case], resources: ExitStack) -> list[ModelVersion]:
    """The version of each case. Cases with the same selector get the same version, even if a reload comes between."""
    found: dict[ModelSelector, ModelVersion] = {}
    for selector, _ in cases:
        if selector not in found:
            found[selector] = resources.enter_context(store.handle(selector.model, selector.version))
    return [found[selector] for selector, _ in cases]


def _decoded(seen: Iterable[_Seen], version: ModelVersion, selector: ModelSelector) -> Digit | None:
    """The digit that another version took from the picture, where this one takes the same."""
    for one in seen:
        if (one.version.card.image, one.selector.preprocess) == (version.card.image, selector.preprocess):
            return one.digit
    return None


def _class(request: ExplainRequest, before: Sequence[Explanation]) -> str | None:
    """The class label to explain: the first explanation decides for all."""
    if not before:
        return request.target
    return before[0].prediction.card.classes[before[0].target.index]


def rank_correlations(explanations: Sequence[Explanation]) -> Array:
    """Spearman's rank correlation (m, m) of the values on ink, in float32 as answers have them, with ties at their mean
    rank; NaN where one has but one value or the images differ in size."""
    ink = explanations[0].digit.pixels > 0
    maps = [one.attribution.values for one in explanations]
    return np.array([[_spearman(a, b, ink) for b in maps] for a in maps])


def _spearman(one: Array, other: Array, ink: Array) -> float:
    if not one.shape == other.shape == ink.shape:
        return float("nan")
    values = [of[ink].astype(np.float32) for of in (one, other)]
    if any(len(np.unique(each)) < 2 for each in values):
        return float("nan")
    one, other = map(_ranks, values)
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: Array) -> Array:
    """The rank of each of the values (n,), the mean of equal ones: scipy.stats has it too, but takes 45 MB."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[group])


def _difference(explanations: Sequence[Explanation]) -> Attribution | None:
    """The second map less the first, where two versions of one model explain the same by the same method; else None.

    Its standard errors are those of independent maps, the root of the sum of squares: with the same seed both saw the
    same masks and noise, whose errors mostly go the same way, so they err on the careful side.
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
        stderr=_independent(first, second),
        fine=first.fine or second.fine,
    )


def _independent(*maps: Attribution) -> Array | None:
    """The standard error (H, W) of the difference of independent maps; None where one is not known, or all are
    exact."""
    if all(one.state == "exact" for one in maps) or any(one.stderr is None and one.state != "exact" for one in maps):
        return None
    error: Array = np.sqrt(sum(one.stderr**2 for one in maps if one.stderr is not None))
    return error


def _are_versions(explanations: Sequence[Explanation]) -> bool:
    cards = [one.prediction.card for one in explanations]
    if len({one.explainer for one in explanations}) > 1:
        return False  # `best` is another method for each
    same = len(cards) == 2 and (cards[0].name, cards[0].image) == (cards[1].name, cards[1].image)
    return same and cards[0].version != cards[1].version


def _same(one: Array | None, other: Array | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _less(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one - other
