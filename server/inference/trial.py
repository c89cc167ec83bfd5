"""What the trial of a version says of an explanation by it, and which method it says to believe first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple, cast

from server.errors import ServiceError
from server.explainers import EXPLAINERS
from server.explainers.shapley import Shapley
from server.options import parse
from server.types import Belief, Explainer, Explanation, ModelCard, Output, TrackRecord, Trial, TrialResult, Verb

BUYS_PRECISION: Mapping[str, Literal["more", "less"]] = {
    "n_samples": "more", "n_steps": "more", "max_rows": "more", "tolerance": "less",
}  # fmt: skip
"""Options that change no more than how precise a map is: what was found with one value holds for more of it, or less,
too."""


class Tried(NamedTuple):
    """A configuration that was tried and is the same today, and how it did."""

    explainer: Explainer
    record: TrackRecord
    result: TrialResult


def tried(card: ModelCard, verbs: frozenset[Verb]) -> list[Tried]:
    """What was tried, in the order of belief: what is not flagged first, then by the yardstick. Methods that the
    version cannot do, and those whose revision or options are not those of today, are left out."""
    if card.trial is None:
        return []
    found = [_tried(card.trial, result) for result in card.trial.results]
    possible = [one for one in found if one is not None and one.explainer.needs <= verbs]
    return sorted(possible, key=lambda one: one.record.doubt)


def best(card: ModelCard, verbs: frozenset[Verb]) -> Explainer:
    """The method to believe first, with the options that were tried; without a trial, `shapley` with its defaults."""
    return next((one.explainer for one in tried(card, verbs)), Shapley())


def track_record(card: ModelCard, explainer: Explainer, output: Output = "logit") -> TrackRecord | None:
    """How this method did with these options, or with others that buy less precision; None where it was not tried, as
    packages and maps of probabilities are not."""
    if card.trial is None or output != "logit":
        return None
    same = [result for result in card.trial.results if result.method == explainer.name]
    found = [
        one for one in (_tried(card.trial, result) for result in same) if one and _covers(one.explainer, explainer)
    ]
    return min(found, key=lambda one: one.explainer != explainer).record if found else None


def _tried(trial: Trial, result: TrialResult) -> Tried | None:
    """None where today's method is another one."""
    kind = EXPLAINERS.get(result.method)
    if kind is None or kind.revision != result.revision:
        return None
    try:
        explainer: Explainer = kind(**parse(kind, result.options))
    except ServiceError:
        return None
    return Tried(explainer, TrackRecord(result.named, trial.pictures, result.yardstick, trial.ink), result)


def _covers(explainer: Explainer, other: Explainer) -> bool:
    """Whether what is known of one holds for the other, of the same class."""
    names = [one.name for one in fields(cast(Any, explainer))]
    return type(explainer) is type(other) and all(
        _holds(BUYS_PRECISION.get(name), getattr(explainer, name), getattr(other, name)) for name in names
    )


def _holds(better: Literal["more", "less"] | None, known: Any, wanted: Any) -> bool:
    if better is None:
        return bool(known == wanted)
    return bool(wanted >= known if better == "more" else wanted <= known)


def belief(explanations: Sequence[Explanation]) -> Belief:
    """Which of several explanations of one picture by one version is to be believed."""
    if len({one.prediction.card.digest for one in explanations}) > 1:
        return Belief(None, "models")
    known = [(one.trial.doubt, at) for at, one in enumerate(explanations) if one.trial is not None]
    if not known:
        return Belief(None, "untried")
    (is_flagged, _), index = min(known)
    return Belief(None, "flagged") if is_flagged else Belief(index, "trial")
