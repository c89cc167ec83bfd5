"""Counts and measures for Prometheus: one table of all metrics, and a method for each event.

Where several processes serve, each writes its numbers into files of PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py
puts into memory, and any of them answers for all. Labels have few values: names from the store, of explainers and
of routes, never anything that a client sent. Knows neither HTTP nor models.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = tuple(float(2**power) for power in range(12))
GAPS = (1e-6, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


@dataclass(frozen=True)
class Metric:
    """One metric: `buckets` are for a histogram; `over` says how a gauge is aggregated over processes."""

    kind: type[Counter | Gauge | Histogram]
    name: str
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    over: Literal["", "livesum", "livemostrecent"] = ""


REQUESTS = Metric(Counter, "inkling_requests", "Requests answered.", ("route", "method", "status"))
REFUSED = Metric(Counter, "inkling_refused", "Requests answered 503, by the code of the error.", ("code",))
PREDICT = Metric(Histogram, "inkling_predict_seconds", "Duration of predict requests.", ("model",), FAST)
EXPLAIN = Metric(Histogram, "inkling_explain_seconds", "Duration of explain requests.", ("model", "method"), SLOW)
GAP = Metric(
    Histogram,
    "inkling_explanation_gap",
    "|convergence_delta| / |score - base value| of what was computed.",
    ("method",),
    GAPS,
)
BATCH = Metric(Histogram, "inkling_batch_rows", "Rows that the model was given at once.", (), ROWS)
QUEUE = Metric(Gauge, "inkling_queue_rows", "Rows that wait for the model.", over="livesum")
RETRACES = Metric(Counter, "inkling_retraces", "Graphs traced after their model was ready.")
CACHE = Metric(Counter, "inkling_cache", "Explanations looked up among the kept ones.", ("result",))
SLOTS = Metric(
    Gauge,
    "inkling_explain_slots_in_use",
    "Requests that explain, compare or attack.",
    over="livesum",
)
VERSIONS = Metric(Gauge, "inkling_model_versions", "Versions loaded.", ("model",), over="livemostrecent")
TABLE = (REQUESTS, REFUSED, PREDICT, EXPLAIN, GAP, BATCH, QUEUE, RETRACES, CACHE, SLOTS, VERSIONS)


class Metrics:
    """The numbers of this process, and the text for all of them."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._shared = environ.get(SHARED)
        self._registry = CollectorRegistry()
        self._parents = {metric.name: self._create(metric) for metric in TABLE}
        self._models: frozenset[str] = frozenset()
        self._children: dict[tuple[str, ...], Any] = {}  # looking labels up in the library costs more than counting

    def count_request(self, route: str | None, method: str, status: int) -> None:
        """A request was answered; `route` is the rule that it matched."""
        self._child(REQUESTS, route or "none", method if method in METHODS else "other", str(status)).inc()

    def count_refusal(self, code: str) -> None:
        """A request was answered 503; `code` is that of a ServiceError."""
        self._child(REFUSED, code).inc()

    def observe_predict(self, model: str, seconds: float) -> None:
        """A model of the store answered a predict request."""
        self._child(PREDICT, model).observe(seconds)

    def observe_explain(self, model: str, method: str, seconds: float) -> None:
        """A model of the store answered an explain request by a known method."""
        self._child(EXPLAIN, model, method).observe(seconds)

    def observe_gap(self, method: str, share: float) -> None:
        """By what share of score - base value an explanation does not add up."""
        self._child(GAP, method).observe(share)

    def observe_batch(self, rows: int) -> None:
        """The model was given rows."""
        self._child(BATCH).observe(rows)

    def add_queued_rows(self, rows: int) -> None:
        """Rows began to wait, or, if negative, ended it."""
        self._child(QUEUE).inc(rows)

    def count_retrace(self) -> None:
        """A graph was traced while requests waited for it."""
        self._child(RETRACES).inc()

    def count_lookup(self, hit: bool) -> None:
        """An explanation was looked up."""
        self._child(CACHE, "hit" if hit else "miss").inc()

    def add_slots(self, taken: int) -> None:
        """Slots for explanations were taken, or, if negative, given back."""
        self._child(SLOTS).inc(taken)

    def set_versions(self, counts: Mapping[str, int]) -> None:
        """So many versions of each model of the store are loaded now; of models set before and not given here, none."""
        self._models = self._models | counts.keys()
        for model in sorted(self._models):
            self._child(VERSIONS, model).set(counts.get(model, 0))

    def text(self) -> bytes:
        """All numbers of all processes, as Prometheus reads them."""
        if self._shared is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, self._shared)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _child(self, metric: Metric, *labels: str) -> Any:
        key = (metric.name, *labels)
        child = self._children.get(key)
        if child is None:
            parent = self._parents[metric.name]
            child = self._children[key] = parent.labels(*labels) if labels else parent
        return child

    def _create(self, metric: Metric) -> Any:
        more: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
        if metric.over:
            more["multiprocess_mode"] = metric.over
        return metric.kind(metric.name, metric.about, metric.labels, registry=self._registry, **more)
