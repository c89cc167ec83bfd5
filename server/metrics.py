"""Counts and measures for Prometheus: one table of all metrics, and a method for each event.

Where several processes serve, each writes its numbers into files of PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py
puts into memory, and any of them answers for all. Labels have few values: names from the store, of explainers and
of routes, never anything that a client sent. Nothing is ever taken out of these files, so that what cards name is
counted by name up to MOST_SERIES, and the rest together. Knows neither HTTP nor models.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from server.rollout.report import Compared
from server.types import Array, ModelCard, Prediction

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
MULTIPLE_OBJECTS = "multiple-objects"  # the warning of images/
OTHER = "other"
MOST_SERIES = 3000  # by version, in each process: some 120 versions with ten classes
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = tuple(float(2**power) for power in range(12))
SURE = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
MOVED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
MOST_CLASSES = 100  # of a shadow's series; what lies beyond is counted together
GAPS = (1e-6, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


@dataclass(frozen=True)
class Metric:
    """One metric: `buckets` are for a histogram; `over` says how a gauge is aggregated over processes."""

    kind: type[Counter | Gauge | Histogram]
    name: str
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    over: Literal["", "livesum", "livemostrecent", "livemax"] = ""


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
UNUSABLE = Metric(
    Gauge,
    "inkling_unusable_versions",
    "Versions, and labels.json, that lie in the store and cannot be used.",
    ("model",),
    over="livemostrecent",
)
STATE = Metric(
    Gauge,
    "inkling_shared_state_answers",
    "1 while the state that machines share (INKLING_STATE) answers; 0 while this server is alone.",
    over="livemostrecent",
)
BY_VERSION = ("model", "version")
PREDICTIONS = Metric(
    Counter,
    "inkling_predictions",
    "Pictures sent whose prediction was answered, by predicted class: once for each version, also where an explanation "
    "was kept; rows of tensors too. Pictures that explanations and attacks make do not count.",
    (*BY_VERSION, "class"),
)
CONFIDENCE = Metric(
    Histogram,
    "inkling_confidence",
    "Probability of the predicted class, of what inkling_predictions counts.",
    BY_VERSION,
    SURE,
)
UNFAMILIAR = Metric(
    Counter,
    "inkling_out_of_distribution",
    "Of what inkling_predictions counts, what is out of distribution.",
    BY_VERSION,
)
SEVERAL = Metric(
    Counter,
    "inkling_multiple_objects",
    "Of what inkling_predictions counts, pictures with several things as large as a digit; tensors are not looked at.",
    BY_VERSION,
)
BY_SHADOW = (*BY_VERSION, "class")
SHADOW = Metric(
    Counter,
    "inkling_shadow",
    "Pictures that a second version was asked about too (INKLING_SHADOW), by that version, by the class that was "
    "answered, and by whether it answers the same.",
    (*BY_SHADOW, "result"),
)
SHADOW_CONFIDENCE = Metric(
    Histogram, "inkling_shadow_confidence_moved", "Difference of the answered class's probability.", BY_SHADOW, MOVED
)
SHADOW_EXPLANATION = Metric(
    Histogram,
    "inkling_shadow_explanation_moved",
    "Share of the evidence that lies in other cells (integrated gradients; total variation).",
    BY_SHADOW,
    MOVED,
)
SHADOW_SKIPPED = Metric(
    Counter,
    "inkling_shadow_skipped",
    "Pictures that a second version was not asked about: too many waited, or it cannot answer them.",
    ("model",),
)
DRIFT = Metric(
    Gauge,
    "inkling_drift",
    "Population stability index of the last 1000 pictures against the reference of the version's card: of classes, "
    "confidence, out_of_distribution, evidence (of explanations by the default method). The largest of all workers.",
    (*BY_VERSION, "of"),
    over="livemax",
)
TABLE = (
    REQUESTS, REFUSED, PREDICT, EXPLAIN, GAP, BATCH, QUEUE, RETRACES, CACHE, SLOTS, VERSIONS, UNUSABLE, STATE,
    PREDICTIONS, CONFIDENCE, UNFAMILIAR, SEVERAL, SHADOW, SHADOW_CONFIDENCE, SHADOW_EXPLANATION, SHADOW_SKIPPED, DRIFT,
)  # fmt: skip


@dataclass(frozen=True)
class VersionSeries:
    """What is counted of one version; all of it is there from its first prediction on, for rates to begin at 0."""

    classes: tuple[Any, ...]  # Counters, by the index of the class
    confidence: Any
    unfamiliar: Any
    several: Any


class Metrics:
    """The numbers of this process, and the text for all of them."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._shared = environ.get(SHARED)
        self._registry = CollectorRegistry()
        self._parents = {metric.name: self._create(metric) for metric in TABLE}
        self._models: frozenset[str] = frozenset()
        self._children: dict[tuple[str, ...], Any] = {}  # looking labels up in the library costs more than counting
        self._by_version: dict[tuple[str, str, tuple[str, ...]], VersionSeries] = {}
        self._series = 0
        self._shadowed: set[tuple[str, str, str]] = set()

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

    def set_state(self, answers: bool) -> None:
        """Whether the state that machines share answers."""
        self._child(STATE).set(answers)

    def set_versions(self, loaded: Mapping[str, int], unusable: Mapping[str, int]) -> None:
        """So many versions of each model of the store are loaded or unusable now; of models set before and not given
        here, none."""
        self._models = self._models | loaded.keys() | unusable.keys()
        for model in sorted(self._models):
            self._child(VERSIONS, model).set(loaded.get(model, 0))
            self._child(UNUSABLE, model).set(unusable.get(model, 0))

    def count_picture(self, prediction: Prediction, warnings: Collection[str] = ()) -> None:
        """A sent picture's prediction was answered; `warnings` are those of its preprocessing."""
        series = self._series_of(prediction.card)
        series.classes[prediction.index].inc()
        series.confidence.observe(prediction.probability)
        if not prediction.in_distribution.ok:
            series.unfamiliar.inc()
        if warnings and any(warning.startswith(MULTIPLE_OBJECTS) for warning in warnings):
            series.several.inc()

    def count_rows(self, card: ModelCard, classes: Array, probabilities: Array, unfamiliar: Array) -> None:
        """The rows of a tensor were predicted: for each (n,) the class, its probability, and whether it is out of
        distribution."""
        series = self._series_of(card)
        for counter, count in zip(series.classes, np.bincount(classes, minlength=len(card.classes)), strict=True):
            if count:
                counter.inc(int(count))
        # the library observes one by one, which takes as long as to predict
        series.confidence._sum.inc(float(probabilities.sum(dtype=np.float64)))
        within = np.bincount(np.searchsorted(SURE, probabilities), minlength=len(SURE) + 1)
        for bucket, count in zip(series.confidence._buckets, within, strict=True):
            if count:
                bucket.inc(int(count))
        series.unfamiliar.inc(int(np.count_nonzero(unfamiliar)))

    def count_shadow(
        self, model: str, version: str, label: str, changed: bool, confidence_moved: float, moved: float | None
    ) -> None:
        """A second version was asked about a picture that another answered with this class."""
        series = (model, version, label)
        if series not in self._shadowed and len(self._shadowed) >= MOST_CLASSES:
            series = (model, version, OTHER)
        self._shadowed.add(series)  # by the one thread that compares
        for result in ("same", "changed"):
            self._child(SHADOW, *series, result).inc((result == "changed") == changed)
        self._child(SHADOW_CONFIDENCE, *series).observe(confidence_moved)
        if moved is not None:
            self._child(SHADOW_EXPLANATION, *series).observe(moved)

    def set_drift(self, model: str, version: str, of: str, index: float) -> None:
        """How far what is sent is from what is usual for a version."""
        self._child(DRIFT, model, version, of).set(index)

    def count_shadow_skipped(self, model: str) -> None:
        """A second version was not asked."""
        self._child(SHADOW_SKIPPED, model).inc()

    def shadow_counts(self, model: str, version: str) -> dict[str, Compared]:
        """What all processes have counted of a version that was asked too, by class."""
        compared = self._samples(SHADOW, "_total")
        means = [
            {name: sums / counts[name] for name, sums in self._samples(metric, "_sum").items() if counts.get(name)}
            for metric in (SHADOW_CONFIDENCE, SHADOW_EXPLANATION)
            for counts in (self._samples(metric, "_count"),)
        ]
        classes = sorted({key[2] for key in compared if key[:2] == (model, version)})
        return {
            label: Compared(
                *(int(compared.get((model, version, label, result), 0)) for result in ("same", "changed")),
                *(mean.get((model, version, label)) for mean in means),
            )
            for label in classes
        }

    def shadow_skipped(self, model: str) -> int:
        """How many pictures a second version was not asked about."""
        return int(self._samples(SHADOW_SKIPPED, "_total").get((model,), 0))

    def text(self) -> bytes:
        """All numbers of all processes, as Prometheus reads them."""
        return generate_latest(self._together())

    def _samples(self, metric: Metric, suffix: str) -> dict[tuple[str, ...], float]:
        """The numbers of one metric by its labels, of all processes together."""
        name = metric.name + suffix
        return {
            tuple(sample.labels[label] for label in metric.labels): sample.value
            for family in self._together().collect()
            for sample in family.samples
            if sample.name == name
        }

    def _together(self) -> CollectorRegistry:
        if self._shared is None:
            return self._registry
        together = CollectorRegistry()
        MultiProcessCollector(together, self._shared)  # type: ignore[no-untyped-call]
        return together

    def _series_of(self, card: ModelCard) -> VersionSeries:
        key = (card.name, card.version, card.classes)
        found = self._by_version.get(key)
        if found is None:
            more = len(card.classes) + len(SURE) + 4
            fits = self._series + more <= MOST_SERIES
            self._series += more if fits else 0
            version = (card.name, card.version) if fits else (OTHER, OTHER)
            found = VersionSeries(
                tuple(self._child(PREDICTIONS, *version, label if fits else OTHER) for label in card.classes),
                *(self._child(metric, *version) for metric in (CONFIDENCE, UNFAMILIAR, SEVERAL)),
            )
            if fits:
                self._by_version[key] = found
        return found

    def _child(self, metric: Metric, *labels: str) -> Any:
        key = (metric.name, *labels)
        child = self._children.get(key)
        if child is None:
            parent = self._parents[metric.name]
            # names of folders may hold bytes that are no text, as half a surrogate pair
            texts = [label.encode(errors="backslashreplace").decode() for label in labels]
            child = self._children[key] = parent.labels(*texts) if labels else parent
        return child

    def _create(self, metric: Metric) -> Any:
        more: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
        if metric.over:
            more["multiprocess_mode"] = metric.over
        return metric.kind(metric.name, metric.about, metric.labels, registry=self._registry, **more)
