"""What is counted and measured for Prometheus: every name, in one table, and a method for each thing that happens.

Where several processes serve, each writes its numbers into files of PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py
puts into memory, and any of them answers for all. Labels have few values: names of the store, of explainers and of
routes, never what was sent. Knows neither HTTP nor models.
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
class Named:
    """One metric; `buckets` of a histogram, `over` processes how a gauge is put together."""

    kind: type[Counter | Gauge | Histogram]
    name: str
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    over: Literal["", "livesum", "livemostrecent"] = ""


REQUESTS = Named(Counter, "inkling_requests", "Requests answered.", ("route", "method", "status"))
REFUSED = Named(Counter, "inkling_refused", "Requests answered 503, by the code of the error.", ("code",))
PREDICT = Named(Histogram, "inkling_predict_seconds", "Duration of predict requests.", ("model",), FAST)
EXPLAIN = Named(Histogram, "inkling_explain_seconds", "Duration of explain requests.", ("model", "method"), SLOW)
GAP = Named(
    Histogram,
    "inkling_explanation_gap",
    "|convergence_delta| / |score - base value| of what was computed.",
    ("method",),
    GAPS,
)
BATCH = Named(Histogram, "inkling_batch_rows", "Rows that the model was given at once.", (), ROWS)
QUEUE = Named(Gauge, "inkling_queue_rows", "Rows that wait for the model.", over="livesum")
RETRACES = Named(Counter, "inkling_retraces", "Graphs traced after their model was ready.")
CACHE = Named(Counter, "inkling_cache", "Explanations looked up among the kept ones.", ("result",))
SLOTS = Named(
    Gauge,
    "inkling_explain_slots_in_use",
    "Requests that explain, compare or attack.",
    over="livesum",
)
VERSIONS = Named(Gauge, "inkling_model_versions", "Versions loaded.", ("model",), over="livemostrecent")
TABLE = (REQUESTS, REFUSED, PREDICT, EXPLAIN, GAP, BATCH, QUEUE, RETRACES, CACHE, SLOTS, VERSIONS)


class Metrics:
    """The numbers of this process, and the text for all of them."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._shared = environ.get(SHARED)
        self._registry = CollectorRegistry()
        self._parents = {named.name: self._made(named) for named in TABLE}
        self._models: frozenset[str] = frozenset()
        self._children: dict[tuple[str, ...], Any] = {}  # to look labels up in the library costs more than to count

    def request(self, route: str | None, method: str, status: int) -> None:
        """A request was answered; `route` is the rule that it matched."""
        self._of(REQUESTS, route or "none", method if method in METHODS else "other", str(status)).inc()

    def refused(self, code: str) -> None:
        """A request was answered 503; `code` is that of a ServiceError."""
        self._of(REFUSED, code).inc()

    def predicted(self, model: str, seconds: float) -> None:
        """A model of the store answered a predict request."""
        self._of(PREDICT, model).observe(seconds)

    def explained(self, model: str, method: str, seconds: float) -> None:
        """A model of the store answered an explain request by a known method."""
        self._of(EXPLAIN, model, method).observe(seconds)

    def gap(self, method: str, share: float) -> None:
        """By what share of score - base value an explanation does not add up."""
        self._of(GAP, method).observe(share)

    def batch(self, rows: int) -> None:
        """The model was given rows."""
        self._of(BATCH).observe(rows)

    def queued(self, rows: int) -> None:
        """Rows began to wait, or, if negative, ended it."""
        self._of(QUEUE).inc(rows)

    def retraced(self) -> None:
        """A graph was traced while requests waited for it."""
        self._of(RETRACES).inc()

    def cache(self, hit: bool) -> None:
        """An explanation was looked up."""
        self._of(CACHE, "hit" if hit else "miss").inc()

    def slots(self, taken: int) -> None:
        """Slots for explanations were taken, or, if negative, given back."""
        self._of(SLOTS).inc(taken)

    def versions(self, counts: Mapping[str, int]) -> None:
        """So many versions of each model of the store are loaded now; of those that were told before, none."""
        self._models = self._models | counts.keys()
        for model in sorted(self._models):
            self._of(VERSIONS, model).set(counts.get(model, 0))

    def text(self) -> bytes:
        """All numbers of all processes, as Prometheus reads them."""
        if self._shared is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, self._shared)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _of(self, named: Named, *labels: str) -> Any:
        key = (named.name, *labels)
        child = self._children.get(key)
        if child is None:
            parent = self._parents[named.name]
            child = self._children[key] = parent.labels(*labels) if labels else parent
        return child

    def _made(self, named: Named) -> Any:
        more: dict[str, Any] = {"buckets": named.buckets} if named.buckets else {}
        if named.over:
            more["multiprocess_mode"] = named.over
        return named.kind(named.name, named.about, named.labels, registry=self._registry, **more)
