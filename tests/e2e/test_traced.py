"""A real server that sends spans: from a thread of its worker, and when it stops the rest, if that takes no time."""

import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.clock import PATIENCE
from tests.support.collector import Collector, attributes, collecting
from tests.support.processes.servers import ROOT, Running, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def explain(running: Running) -> None:
    padded = {"traceparent": f" 00-{TRACE}-{CLIENT}-01\t"}  # what HTTP allows around a value is no part of it
    with urlopen(Request(f"{running.url}/v1/explain?method=saliency", SEVEN, padded), timeout=PATIENCE) as answer:
        assert answer.status == 200


def settings(collector: Collector) -> dict[str, str]:
    return {"TRACES": collector.address, "ACCESS_LOG": "on"}


def test_a_worker_sends_its_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    with collecting() as collector, serving(tmp_path, settings(collector), explain="ready") as running:
        explain(running)
        (span,) = collector.requests_traced(1)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CLIENT)
        assert attributes(span)["inkling.model"] == "cnn"
        assert f"trace_id={TRACE} span_id={span.span_id.hex()} trace_flags=01" in running.log.read_text()


def test_a_stop_sends_what_was_not_sent_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    with collecting() as collector, serving(tmp_path, settings(collector), explain="ready") as running:
        explain(running)
        assert collector.asked == 0
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0
        assert len(collector.requests_traced(1)) == 1


def test_a_stop_does_not_wait_for_a_collector_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with collecting() as collector, serving(tmp_path, settings(collector), explain="ready") as running:
        collector.answers.clear()
        explain(running)
        running.process.terminate()
        began = time.monotonic()
        assert running.process.wait(PATIENCE) == 0
        assert collector.asked == 1
        assert time.monotonic() - began < 20  # OpenTelemetry itself waits for 30 seconds
    assert "Traceback" not in running.log.read_text()
