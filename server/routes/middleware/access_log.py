"""The access log: counts each request when it is answered, and logs it as one line where that is switched on.

Routes record what they answered (`record_prediction`, `record_explanation`, `record_comparison`); nothing here takes a
name from the request.
"""

import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

from flask import Flask, Request, Response, g, request

from server.logs import ACCESS
from server.metrics import Metrics
from server.routes.service import service
from server.types import Array, Attribution, Explanation, ModelCard, Prediction

access = logging.getLogger(ACCESS)


@dataclass(slots=True)
class Facts:
    """What one request was for."""

    verb: Literal["predict", "explain", "other"] = "other"
    model: str = ""
    version: str = ""
    method: str = ""
    rows: int = 0
    sources: tuple[str, ...] = ()  # of its explanations: computed, shared with another request, or from the cache


def record_prediction(prediction: Prediction, warnings: Collection[str]) -> None:
    """Record that a picture was predicted, with these warnings about it."""
    _predicted(prediction.card, 1).count_picture(prediction, warnings)
    _watch(prediction)


def record_rows(card: ModelCard, classes: Array, probabilities: Array, unfamiliar: Array) -> None:
    """Record that a version predicted the n rows of a tensor: what is predicted for each, as Metrics counts it."""
    _predicted(card, len(classes)).count_rows(card, classes, probabilities, unfamiliar)
    if card.reference is not None:
        rows = zip(classes.tolist(), probabilities.tolist(), unfamiliar.tolist(), strict=True)
        for index, probability, is_unfamiliar in rows:
            service().drift.add(card, index, probability, not is_unfamiliar)


def _watch(prediction: Prediction) -> None:
    service().drift.add(prediction.card, prediction.index, prediction.probability, prediction.in_distribution.ok)


def _predicted(card: ModelCard, rows: int) -> Metrics:
    facts: Facts = g.facts
    facts.verb = "predict"
    facts.model, facts.version = card.name, card.version
    facts.rows += rows
    return service().metrics


def record_explanation(explanation: Explanation, source: Literal["computed", "shared", "cache"] = "computed") -> None:
    """Record that a picture was explained, and how this request came by it."""
    facts: Facts = g.facts
    facts.verb = "explain"
    facts.model, facts.version = explanation.prediction.card.name, explanation.prediction.card.version
    facts.method = explanation.explainer.name
    facts.sources += (source,)
    service().metrics.count_picture(explanation.prediction, explanation.digit.placement.warnings)
    _watch(explanation.prediction)
    service().drift.add_explanation(explanation)
    if source == "computed":
        facts.rows += explanation.attribution.rows
        _gap(explanation)


def record_comparison(explanations: Iterable[Explanation], rows: int) -> None:
    """Record that a picture was explained several times."""
    facts: Facts = g.facts
    every = list(explanations)
    facts.model, facts.version, facts.method = (
        ",".join(dict.fromkeys(names))
        for names in (
            [one.prediction.card.name for one in every],
            [one.prediction.card.version for one in every],
            [one.explainer.name for one in every],
        )
    )
    facts.rows += rows
    facts.sources += ("computed",)
    for one in {one.prediction.card.digest: one for one in every}.values():
        service().metrics.count_picture(one.prediction, one.digit.placement.warnings)
    for one in every:
        _gap(one)


def _gap(explanation: Explanation) -> None:
    if (share := gap_of(explanation.attribution)) is not None:
        service().metrics.observe_gap(explanation.explainer.name, share)


def gap_of(attribution: Attribution) -> float | None:
    """What an attribution does not account for, as a share of what it should; None where that is not known."""
    score, base, delta = attribution.score, attribution.base_value, attribution.convergence_delta
    if score is None or base is None or delta is None or score == base:
        return None
    return abs(delta) / abs(score - base)


def observe(app: Flask, metrics: Metrics, logged: bool) -> None:
    """Count every answer of `app`, and log it where `logged`."""

    def observe_answer(response: Response) -> Response:
        # each access through a proxy costs
        current_request, context = cast(Any, request)._get_current_object(), cast(Any, g)._get_current_object()
        seconds = time.perf_counter() - context.started
        facts: Facts = context.facts
        rule = current_request.url_rule
        metrics.count_request(None if rule is None else rule.rule, current_request.method, response.status_code)
        if facts.verb == "predict":
            metrics.observe_predict(facts.model, seconds)
        elif facts.verb == "explain":
            metrics.observe_explain(facts.model, facts.method, seconds)
        if logged:
            access.info("request", extra={"facts": _line(current_request, context, response, seconds)})
        return response

    app.after_request(observe_answer)


def _line(current_request: Request, context: Any, response: Response, seconds: float) -> dict[str, Any]:
    """The fields of a request's line. No query: it may hold a secret, such as the signature of a link."""
    facts, key = context.facts, context.get("key")
    fields = {
        "request_id": context.request_id,
        "method": current_request.method,
        "path": quote(current_request.path[:200]),
        "status": response.status_code,
        "model": facts.model,
        "version": facts.version,
        "explanation": facts.method,
        "rows": facts.rows or None,
        "ms": round(seconds * 1000, 3),
        "key": None if key is None else key.name,
    }
    return {name: value for name, value in fields.items() if value not in ("", None)}
