"""A collector of OpenTelemetry's spans on loopback: takes them by OTLP over HTTP, refuses them, or answers nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.clock import PATIENCE


class Collector:
    """What came to it, and what it answers: `status`, when it is not held."""

    def __init__(self) -> None:
        self.address = ""
        self.status = 200
        self.answers = threading.Event()  # cleared: nobody gets an answer
        self.answers.set()
        self._changed = threading.Condition()
        self._bodies: list[bytes] = []  # of all who asked
        self._taken: list[bytes] = []  # of those who were answered 200
        self.paths: set[str] = set()

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self._taken]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def asked(self) -> int:
        return len(self._bodies)

    @property
    def received(self) -> bytes:
        """All bytes that were sent to it."""
        return b"".join(self._bodies)

    def wait_until_asked(self, times: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.asked >= times, PATIENCE), self.asked

    def requests_traced(self, count: int) -> list[Span]:
        """The spans of that many requests, in the order of their start, when they are there; each is sent after those
        of its stages."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(tops(self.spans)) >= count, PATIENCE), self.spans
        return sorted(tops(self.spans), key=lambda span: span.start_time_unix_nano)

    def stages_of(self, top: Span) -> dict[str, Span]:
        return {span.name: span for span in self.spans if span.parent_span_id == top.span_id}

    def take(self, path: str, body: bytes) -> int:
        with self._changed:
            self.paths.add(path)
            self._bodies.append(body)
            if self.status == 200:
                self._taken.append(body)
            self._changed.notify_all()
        assert self.answers.wait(PATIENCE)
        return self.status


def tops(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector while it lasts."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except ConnectionError:  # who sent has given up meanwhile
                self.close_connection = True

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        collector.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.answers.set()
            server.shutdown()
            thread.join()
