"""Spans of explanations, as a collector gets them; and that no request suffers from a collector."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from server import __version__
from server.logs import ACCESS, JsonFormatter
from server.types import Array, ModelCard
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.faults.processes import eventually
from tests.routes.test_logs import Lines
from tests.support.collector import Collector, attributes, collecting
from tests.support.models.fakes import Linear
from tests.support.models.stores import SEVEN, form, linear

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{CLIENT}-{flags}"} for flags in ("01", "00"))
ROWS = [[[0.5] * 28] * 28] * 2
TENSOR = {"name": "images", "shape": [1, 784], "datatype": "FP32", "data": [0.5] * 784}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """It gets spans within milliseconds; who sends them to it gives up after a second."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with collecting() as found:
        yield found


@pytest.fixture
def traced(make_app: MakeApp, collector: Collector) -> FlaskClient:
    return make_app(traces=collector.address).test_client()


def explain(client: FlaskClient, query: str = "method=saliency", **headers: str) -> Any:
    response = client.post(f"/v1/explain?{query}", data=SEVEN, headers=headers)
    assert response.status_code == 200, response.text
    return response.get_json()


def test_an_explanation_is_a_span_with_one_below_it_for_each_stage(traced: FlaskClient, collector: Collector) -> None:
    answer = explain(traced, "method=occlusion&model=plain&quality=true")
    (span,) = collector.requests_traced(1)
    assert (span.name, span.kind, span.parent_span_id) == ("POST /v1/explain", Span.SPAN_KIND_SERVER, b"")
    assert attributes(span) == {
        "http.request.method": "POST", "http.route": "/v1/explain", "http.response.status_code": 200,
        "inkling.model": "plain", "inkling.version": "1", "inkling.method": "occlusion",
        "inkling.rows": answer["explanation"]["certificate"]["rows"], "inkling.source": "computed",
    }  # fmt: skip
    assert span.status.code == Status.STATUS_CODE_UNSET
    stages = collector.stages_of(span)
    assert list(stages) == ["decode", "predict", "explain", "quality", "render"]
    times = [span.start_time_unix_nano]
    for stage in stages.values():
        assert stage.trace_id == span.trace_id and attributes(stage) == {}
        times += [stage.start_time_unix_nano, stage.end_time_unix_nano]
    assert sorted(times) == times and times[-1] <= span.end_time_unix_nano
    assert collector.paths == {"/v1/traces"}
    resource = attributes(collector.requests[0].resource_spans[0].resource)
    assert (resource["service.name"], resource["service.version"]) == ("inkling", __version__)


def test_what_is_kept_is_no_work(traced: FlaskClient, collector: Collector) -> None:
    identity = explain(traced)["id"]
    explain(traced)
    assert traced.get(f"/v1/explanations/{identity}.png").status_code == 200
    _, again, picture = collector.requests_traced(3)
    assert attributes(again)["inkling.source"] == "cache" and "inkling.rows" not in attributes(again)
    assert list(collector.stages_of(again)) == ["decode", "predict", "render"]
    assert picture.name == "GET /v1/explanations/<name:id>" and identity.encode() not in collector.received


def test_several_pictures_name_every_source_once(traced: FlaskClient, collector: Collector) -> None:
    explain(traced)
    assert traced.post("/v1/explain?method=saliency", data=form(SEVEN, SEVEN)).status_code == 200
    assert attributes(collector.requests_traced(2)[1])["inkling.source"] == "cache"


@pytest.mark.parametrize(("address", "body", "route", "about"), [
    ("/v1/models/plain:explain", {"instances": ROWS, "parameters": {"method": "saliency"}},
     "/v1/models/<name:model>:explain", ("plain", "1", "saliency", "computed")),
    ("/v2/models/fake/versions/10/explain", {"inputs": [TENSOR], "parameters": {"method": "saliency"}},
     "/v2/models/<name:model>/versions/<name:version>/explain", ("fake", "10", "saliency", "computed")),
    ("/v1/compare?models=fake,plain&method=saliency", SEVEN,
     "/v1/compare", ("fake,plain", "2,1", "saliency", "computed")),
    ("/v1/adversarial?method=fgsm", SEVEN, "/v1/adversarial", (None,) * 4),
])  # fmt: skip
def test_all_that_explains_is_traced(
    traced: FlaskClient, collector: Collector, address: str, body: Any, route: str, about: tuple[str | None, ...]
) -> None:
    sent = {"data": body} if isinstance(body, bytes) else {"json": body}
    assert traced.post(address, **sent).status_code == 200
    (span,) = collector.requests_traced(1)
    found = attributes(span)
    assert (span.name, found["http.route"]) == (f"POST {route}", route)
    assert tuple(found.get(f"inkling.{name}") for name in ("model", "version", "method", "source")) == about
    assert {"predict"} < set(collector.stages_of(span))


def test_nothing_else_is_traced(traced: FlaskClient, collector: Collector) -> None:
    for _ in range(3):
        assert traced.post("/v1/predict", data=SEVEN, headers=SAMPLED).status_code == 200
    assert traced.post("/v1/models/fake:predict", json={"instances": ROWS}).status_code == 200
    for path in ("/livez", "/metrics", "/v1/models", "/v1/methods", "/nowhere"):
        traced.get(path, headers=SAMPLED)
    explain(traced)  # what was before it would have come before it
    assert len(collector.requests_traced(1)) == 1


def test_a_span_lies_below_the_one_of_the_client_and_log_lines_have_its_id(
    make_app: MakeApp, collector: Collector
) -> None:
    lines, access = Lines(JsonFormatter()), logging.getLogger(ACCESS)
    access.addHandler(lines)
    access.setLevel(logging.INFO)
    try:
        client = make_app(traces=collector.address, access_log="on").test_client()
        explain(client, **SAMPLED)
        logged = lines.last()
        explain(client)
        begun_here = lines.last()
    finally:
        access.removeHandler(lines)
        access.setLevel(logging.NOTSET)
    below, top = collector.requests_traced(2)
    assert (below.trace_id.hex(), below.parent_span_id.hex()) == (TRACE, CLIENT)
    assert (top.parent_span_id, top.trace_id == below.trace_id) == (b"", False)
    for span, line in ((below, logged), (top, begun_here)):
        assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
        assert int(line["trace_flags"], 16) & 1


def test_a_client_that_does_not_sample_gets_no_spans(traced: FlaskClient, collector: Collector) -> None:
    explain(traced, **UNSAMPLED)
    explain(traced, traceparent=SAMPLED["traceparent"].replace("00-", "ff-", 1))  # is none: a trace of its own
    (span,) = collector.requests_traced(1)
    assert span.trace_id.hex() != TRACE and len(collector.spans) == 1 + len(collector.stages_of(span))


class Broken(Linear):
    """Predicts well, and fails where it is to explain."""

    def gradient(self, images: Array, weights: Array) -> Array:
        raise ValueError("a secret of the model")


def broken(path: Path, card: ModelCard) -> Broken:
    return Broken(card, card.verbs)


def test_what_fails_on_our_side_is_an_error_and_what_the_client_did_is_none(
    make_app: MakeApp, collector: Collector
) -> None:
    client = make_app(traces=collector.address, load_savedmodel=broken, load_twin=linear).test_client()
    assert client.post("/v1/explain?method=saliency", data=SEVEN).status_code == 500
    assert client.post("/v1/explain?method=saliency&swordfish=1", data=SEVEN).status_code == 400
    ours, theirs = collector.requests_traced(2)
    assert (ours.status.code, ours.status.message) == (Status.STATUS_CODE_ERROR, "")
    assert attributes(ours)["error.type"] == "500" and "error.type" not in attributes(theirs)
    assert "explain" in collector.stages_of(ours)
    assert (theirs.status.code, attributes(theirs)["http.response.status_code"]) == (Status.STATUS_CODE_UNSET, 400)
    assert b"secret" not in collector.received and b"swordfish" not in collector.received


def test_a_span_has_nothing_that_was_sent_and_who_is_refused_makes_none(
    make_app: MakeApp, collector: Collector, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys", web="explain", other="predict")
    client = make_app(traces=collector.address, keys_file=tmp_path / "keys").test_client()
    assert client.post("/v1/explain", data=SEVEN).status_code == 401
    assert client.post("/v1/explain", data=SEVEN, headers=bearer(keys["other"])).status_code == 403
    for query in ("method=saliency&seed=31415926", "swordfish=1", f"key={keys['web']}"):
        client.post(f"/v1/explain?{query}", data=SEVEN, headers={**bearer(keys["web"]), "X-Request-ID": "mackerel"})
    assert len(collector.requests_traced(2)) == 2
    for secret in (keys["web"], keys["other"], "swordfish", "31415926", "mackerel", "127.0.0.1"):
        assert secret.encode() not in collector.received, secret
    assert SEVEN[:16] not in collector.received


def test_names_that_the_standard_variables_give_hold(
    make_app: MakeApp, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=trial,service.version=mine")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    client = make_app(traces=f"{collector.address}/v1/traces/").test_client()
    explain(client)
    explain(client, **SAMPLED)
    (span,) = collector.requests_traced(1)
    assert span.trace_id.hex() == TRACE
    resource = attributes(collector.requests[0].resource_spans[0].resource)
    named = ("service.name", "service.version", "deployment.environment.name")
    assert [resource[name] for name in named] == ["digits", "mine", "trial"]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says that is not of requests."""
    return [record.getMessage() for record in caplog.records if record.name != ACCESS]


def test_a_collector_that_refuses_is_told_of_once_and_when_it_takes_spans_again(
    traced: FlaskClient, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    for times in (1, 2, 3):
        explain(traced)
        collector.wait_until_asked(times)
    collector.status = 200
    explain(traced)
    eventually(lambda: len(told(caplog)) > 1, "another line of the log")
    first, second = told(caplog)
    assert first.startswith("spans do not reach the collector (INKLING_TRACES), and are dropped: ") and "400" in first
    assert second == "spans reach the collector again"


def test_a_collector_that_does_not_answer_holds_up_nobody(
    make_app: MakeApp, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    collector.answers.clear()
    client = make_app(traces=collector.address).test_client()
    explain(client)
    collector.wait_until_asked(1)
    for _ in range(20):
        explain(client)
    assert collector.asked == 1  # and has no answer yet, while all others have theirs


def test_a_collector_that_is_away_changes_no_answer(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")  # seconds: time for one more try, as by default for several
    with socket.socket() as free:  # nobody listens there
        free.bind(("127.0.0.1", 0))
        client = make_app(traces=f"http://user:swordfish@127.0.0.1:{free.getsockname()[1]}").test_client()
        for _ in range(3):
            explain(client)
        eventually(lambda: told(caplog) != [], "a line of the log")
    assert len(told(caplog)) == 1 and "refused" in told(caplog)[0] and "swordfish" not in caplog.text
