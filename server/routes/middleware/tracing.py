"""Makes a span of OpenTelemetry of each request that explains, with one below it for each stage, and sends them to a
collector by OTLP over HTTP. Imported only where INKLING_TRACES is set.

The views that need the scope `explain` are wrapped: other requests, such as predictions, cost nothing more, and who is
refused for a key or a limit makes no spans. A thread of this process sends them; what it cannot send is dropped.

Must not know what was sent: a span has what the access log has, without the path (it may name an explanation), the
caller and the texts of errors.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from threading import Event, Thread
from typing import Any

from flask import Flask, Response, after_this_request, g, request
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from server import __version__
from server.inference.predict import Stages
from server.logs import Fields, log_with
from server.routes.headers import trace_fields
from server.routes.middleware.access_log import Facts
from server.routes.middleware.scopes import need

PATH = "/v1/traces"  # of a collector, by the standard
LAST_SENDING = 2.0  # seconds that a stop waits until what was not sent yet is
QUOTED = 300  # characters of the reason why spans cannot be sent

log = logging.getLogger(__name__)


def trace(app: Flask, collector: str) -> Callable[[], None]:
    """Trace what `app` explains, by the address of a collector; what is returned sends the rest in the end.

    Call it in the process that answers: the thread that sends would not survive a fork."""
    provider = _provider(collector)
    tracer = provider.get_tracer("inkling", __version__)
    for endpoint, view in app.view_functions.items():
        if need(endpoint) == "explain":
            app.view_functions[endpoint] = _traced(view, tracer)
    ending = Event()
    # begun now: an interpreter that exits starts no more threads
    thread = Thread(target=_shut_down, args=(ending, provider), name="last-spans", daemon=True)
    thread.start()
    return partial(_end_tracing, ending, thread)


def _provider(collector: str) -> TracerProvider:
    """What makes spans and sends them, with what the variables OTEL_* say of names, sampling, batches and headers."""
    named = Resource.create({"service.name": "inkling", "service.version": __version__})
    # without a sampler of ours: as the trace goes that the request belongs to, and a trace that begins here is sampled
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    exporter = trace_exporter.OTLPSpanExporter(collector.rstrip("/").removesuffix(PATH) + PATH)
    provider.add_span_processor(BatchSpanProcessor(_TellingExporter(exporter)))
    logging.getLogger(trace_exporter.__name__).addFilter(_reasons)
    logging.getLogger("opentelemetry.sdk").setLevel(logging.CRITICAL)  # it says of each span that it has no room for it
    return provider


def _shut_down(ending: Event, provider: TracerProvider) -> None:
    ending.wait()
    provider.shutdown()  # up to half a minute where the collector does not answer


def _end_tracing(ending: Event, thread: Thread) -> None:
    ending.set()
    thread.join(LAST_SENDING)


def _traced(view: Callable[..., Any], tracer: Tracer) -> Callable[..., Any]:
    @wraps(view)
    def traced(**values: Any) -> Any:
        span = _begin(tracer)
        if span.is_recording():
            log_with(_fields_of(span.get_span_context()))
            g.stages = RecordedStages()
            after_this_request(partial(_end, tracer, span))
        return view(**values)

    return traced


class RecordedStages(Stages):
    """Stages that know when they were, for their spans."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[str, int, int]] = []  # name, start and end in nanoseconds since 1970

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.time_ns()
        try:
            with super().__call__(name):
                yield
        finally:
            self.times.append((name, start, time.time_ns()))


def _begin(tracer: Tracer) -> Span:
    """The span of the current request, since it began."""
    route = "" if request.url_rule is None else request.url_rule.rule
    start = time.time_ns() - int((time.perf_counter() - g.started) * 1e9)
    attributes = {"http.request.method": request.method, "http.route": route}
    parent = _parent(trace_fields(request.environ.get("HTTP_TRACEPARENT", "")))
    return tracer.start_span(f"{request.method} {route}", parent, SpanKind.SERVER, attributes, start_time=start)


def _end(tracer: Tracer, span: Span, response: Response) -> Response:
    """End the span with what the request has become. The spans of its stages are made here, when it is done."""
    facts: Facts = g.facts
    found: dict[str, str | int] = {
        "http.response.status_code": response.status_code,
        "inkling.model": facts.model,
        "inkling.version": facts.version,
        "inkling.method": facts.method,
        "inkling.rows": facts.rows,
        "inkling.source": ",".join(dict.fromkeys(facts.sources)),
    }
    span.set_attributes({name: value for name, value in found.items() if value})
    if response.status_code >= 500:
        span.set_attribute("error.type", str(response.status_code))
        span.set_status(StatusCode.ERROR)
    within = set_span_in_context(span, Context())
    for name, start, end in g.stages.times:
        tracer.start_span(name, within, start_time=start).end(end)
    span.end()
    return response


def _parent(fields: Fields) -> Context:
    """The context of what is below the span of a client."""
    if not fields:
        return Context()
    trace_id, span_id, flags = (int(fields[name], 16) for name in ("trace_id", "span_id", "trace_flags"))
    client = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(client), Context())


def _fields_of(context: SpanContext) -> Fields:
    """What log lines say of our own span."""
    ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    return {**ids, "trace_flags": f"{context.trace_flags:02x}"}


class _Reasons(logging.Filter):
    """Keeps the first line that an attempt to send would log, and lets none of them into the log: there are several at
    each attempt."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()[:QUOTED]
        return False


_reasons = _Reasons()


class _TellingExporter(SpanExporter):
    """Says once that spans cannot be sent, and once that they can be again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        _reasons.first = ""
        result = self._exporter.export(spans)
        failed, self._fails = self._fails, result is not SpanExportResult.SUCCESS
        if self._fails and not failed:
            log.warning("spans do not reach the collector (INKLING_TRACES), and are dropped: %s", _reasons.first)
        elif failed and not self._fails:
            log.warning("spans reach the collector again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
