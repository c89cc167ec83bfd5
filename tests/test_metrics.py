"""Metrics: what is counted in one process, that labels stay few, and that several processes are answered for as one."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from server.explainers import EXPLAINERS
from server.metrics import SHARED, TABLE, Metrics
from server.routes.middleware.access_log import gap_of
from server.routes.service import EXTENSION
from server.types import Attribution
from tests.conftest import MakeApp
from tests.support.models.fakes import ink
from tests.support.models.stores import SEVEN, form
from tests.support.processes.servers import ROOT

Numbers = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: bytes) -> Numbers:
    """Every sample by its name and labels."""
    metric_families = text_string_to_metric_families(text.decode())
    return {
        (one.name, frozenset(one.labels.items())): one.value for family in metric_families for one in family.samples
    }


def number(numbers: Numbers, name: str, **labels: str) -> float:
    return numbers.get((name, frozenset(labels.items())), 0.0)


def scraped(client: FlaskClient) -> Numbers:
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(response.data)


def test_a_model_whose_name_is_no_text_is_counted() -> None:
    """Python keeps the bytes of folders so."""
    metrics = Metrics({})
    metrics.set_versions({"cnn\udcff": 2}, {})
    assert number(parsed(metrics.text()), "inkling_model_versions", model=r"cnn\udcff") == 2


def test_requests_are_counted_by_route_method_and_status(client: FlaskClient) -> None:
    client.post("/v1/predict", data=SEVEN)
    client.post("/v1/predict?model=plain", data=form(SEVEN, SEVEN))
    client.post("/v1/predict", data=b"")
    client.get("/v1/models/fake")
    client.get("/v1/predict")
    numbers = scraped(client)
    for route, method, status, count in (
        ("/v1/predict", "POST", "200", 2),
        ("/v1/predict", "POST", "400", 1),
        ("/v1/models/<name:model>", "GET", "200", 1),
        ("none", "GET", "405", 1),
        ("/v1/explain", "POST", "200", 0),
    ):
        assert number(numbers, "inkling_requests_total", route=route, method=method, status=status) == count
    assert number(numbers, "inkling_predict_seconds_count", model="fake") == 1
    assert number(numbers, "inkling_predict_seconds_count", model="plain") == 1
    assert 0 < number(numbers, "inkling_predict_seconds_sum", model="fake") < 60
    assert number(numbers, "inkling_model_versions", model="fake") == 3
    assert number(numbers, "inkling_model_versions", model="plain") == 1


def test_explanations_are_measured_by_model_and_method_and_so_are_their_gaps(client: FlaskClient) -> None:
    for query in ("method=shap", "method=shapley&model=plain", "method=saliency", "method=shapley&format=png"):
        assert client.post(f"/v1/explain?{query}", data=SEVEN).status_code == 200
    client.post("/v1/compare?methods=occlusion,expected_gradients", data=SEVEN)
    numbers = scraped(client)
    assert number(numbers, "inkling_explain_seconds_count", model="fake", method="shapley") == 2
    assert number(numbers, "inkling_explain_seconds_count", model="plain", method="shapley") == 1
    assert number(numbers, "inkling_explain_seconds_count", model="fake", method="saliency") == 1
    assert number(numbers, "inkling_explanation_gap_count", method="shapley") == 2  # the third was kept
    assert number(numbers, "inkling_explanation_gap_bucket", method="shapley", le="1e-06") == 2
    assert number(numbers, "inkling_explanation_gap_count", method="expected_gradients") == 1
    assert number(numbers, "inkling_explanation_gap_count", method="saliency") == 0
    assert number(numbers, "inkling_predict_seconds_count", model="fake") == 0


@pytest.mark.parametrize(
    ("score", "base", "delta", "gap"),
    [(3.0, 1.0, -0.5, 0.25), (1.0, 3.0, 0.5, 0.25), (3.0, 1.0, 0.0, 0.0), (1.0, 1.0, 0.5, None), (3.0, None, 0.5, None),
     (None, 1.0, 0.5, None), (3.0, 1.0, None, None)],
)  # fmt: skip
def test_a_gap_is_a_share_of_what_is_explained(
    score: float | None, base: float | None, delta: float | None, gap: float | None
) -> None:
    attribution = Attribution(ink(), "logit", "exact", 1, score=score, base_value=base, convergence_delta=delta)
    assert gap_of(attribution) == gap


def test_refusals_are_counted_by_their_code(make_app: MakeApp) -> None:
    client = make_app(explain="off").test_client()
    for _ in range(3):
        assert client.post("/v1/explain", data=SEVEN).status_code == 503
    client.post("/v1/predict", data=b"")
    assert number(scraped(client), "inkling_refused_total", code="not_ready") == 3


def test_labels_never_come_from_what_was_sent(client: FlaskClient) -> None:
    for one in range(30):
        client.post(f"/v1/predict?model=m{one}", data=SEVEN)
        client.post(f"/v1/predict?version=v{one}", data=SEVEN)
        client.post(f"/v1/explain?method=x{one}", data=SEVEN)
        client.get(f"/v1/models/m{one}")
        client.get(f"/p{one}?q={one}")
        client.open("/v1/predict", method=f"VERB{one}")
        client.get("/livez", headers={"X-Request-ID": f"id{one}", "Host": f"h{one}"})
    numbers = scraped(client)
    values = {value for _, labels in numbers for name, value in labels if name != "le"}
    routes = {rule.rule for rule in client.application.url_map.iter_rules()}
    assert values <= {*routes, "none", "fake", "plain", "GET", "POST", "other", "200", "400", "404", "405"}
    assert len(numbers) < 100
    assert number(numbers, "inkling_requests_total", route="none", method="other", status="405") == 30


DONE: dict[str, Callable[[Metrics], None]] = {
    "inkling_batch_rows_sum": lambda metrics: metrics.observe_batch(3),
    "inkling_queue_rows": lambda metrics: metrics.add_queued_rows(3),
    "inkling_explain_slots_in_use": lambda metrics: metrics.add_slots(3),
    "inkling_retraces_total": lambda metrics: [metrics.count_retrace() for _ in range(3)].clear(),
}


@pytest.mark.parametrize("name", DONE)
def test_every_callback_counts(name: str) -> None:
    metrics = Metrics({})
    DONE[name](metrics)
    assert number(parsed(metrics.text()), name) == 3


def test_what_begins_also_ends_and_a_lookup_hits_or_misses() -> None:
    metrics = Metrics({})
    for taken in (2, -1, -1):
        metrics.add_slots(taken)
        metrics.add_queued_rows(taken)
    for hit in (True, False, True):
        metrics.count_lookup(hit)
    numbers = parsed(metrics.text())
    assert number(numbers, "inkling_explain_slots_in_use") == number(numbers, "inkling_queue_rows") == 0
    assert number(numbers, "inkling_cache_total", result="hit") == 2
    assert number(numbers, "inkling_cache_total", result="miss") == 1


def test_versions_are_those_of_now() -> None:
    metrics = Metrics({})
    metrics.set_versions({"cnn": 2, "mlp": 1}, {"mlp": 2})
    metrics.set_versions({"cnn": 1, "new": 3}, {"new": 1})
    numbers = parsed(metrics.text())
    assert {
        name: number(numbers, "inkling_model_versions", model=name) for name in ("cnn", "mlp", "new")
    } == {"cnn": 1, "mlp": 0, "new": 3}  # fmt: skip
    assert [number(numbers, "inkling_unusable_versions", model=name) for name in ("mlp", "new")] == [0, 1]


def test_slots_are_counted_while_they_are_taken(make_app: MakeApp) -> None:
    app = make_app(explain_slots=2)
    client, pool = app.test_client(), app.extensions[EXTENSION].scheduler.pool
    permits = [pool.acquire(deadline=1e12) for _ in range(2)]
    assert number(scraped(client), "inkling_explain_slots_in_use") == 2
    assert client.post("/v1/explain", data=SEVEN).status_code == 503
    numbers = scraped(client)
    assert number(numbers, "inkling_explain_slots_in_use") == 2
    assert number(numbers, "inkling_refused_total", code="busy") == 1
    for permit in permits:
        permit.release()
    assert number(scraped(client), "inkling_explain_slots_in_use") == 0
    assert client.post("/v1/explain", data=SEVEN).status_code == 200
    assert number(scraped(client), "inkling_explain_slots_in_use") == 0


def test_two_applications_in_one_process_count_apart(make_app: MakeApp) -> None:
    first, second = make_app().test_client(), make_app().test_client()
    first.post("/v1/predict", data=SEVEN)
    assert number(scraped(first), "inkling_predict_seconds_count", model="fake") == 1
    assert number(scraped(second), "inkling_predict_seconds_count", model="fake") == 0


def test_the_table_is_in_order() -> None:
    assert len({named.name for named in TABLE}) == len(TABLE)
    for named in TABLE:
        assert named.name.startswith("inkling_") and named.about.endswith(".")
        assert list(named.buckets) == sorted(set(named.buckets)) and all(map(math.isfinite, named.buckets))
        assert (named.kind.__name__ == "Gauge") == bool(named.over)
    assert 3 * len(EXPLAINERS) * 15 < 1000  # the largest, explain_seconds, of three models


BUSY = """
import sys
from server.metrics import Metrics
metrics = Metrics()
metrics.add_slots(2)
metrics.count_request("/v1/predict", "POST", 200)
sys.stdout.write("busy\\n")
sys.stdout.flush()
sys.stdin.read()
"""
READ = "import sys; from server.metrics import Metrics; sys.stdout.buffer.write(Metrics().text())"


def test_gauges_of_a_dead_process_go_and_its_counters_stay(tmp_path: Path) -> None:
    """As gunicorn.conf.py does it in child_exit."""
    environment = {**os.environ, SHARED: str(tmp_path)}
    start = [sys.executable, "-c", BUSY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT, "env": environment}

    def reported() -> Numbers:
        done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, env=environment, capture_output=True, check=True)
        return parsed(done.stdout)

    with subprocess.Popen(start, **pipes) as one, subprocess.Popen(start, **pipes) as two:  # type: ignore[call-overload]
        for process in (one, two):
            assert process.stdout.readline() == b"busy\n"
        assert number(reported(), "inkling_explain_slots_in_use") == 4
        one.kill()
        one.wait(10)
        mark_process_dead(one.pid, str(tmp_path))
        numbers = reported()
        two.stdin.close()
    assert number(numbers, "inkling_explain_slots_in_use") == 2
    assert number(numbers, "inkling_requests_total", route="/v1/predict", method="POST", status="200") == 2
