"""deploy/grafana.json: every number that it draws is one that /metrics has, and Prometheus gets something for each.

No Grafana drew it.
"""

import json
import re
import subprocess
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Histogram

from server.metrics import TABLE, Metric
from tests.deploy.test_alerts import PROMTOOL
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT

DASHBOARD: Any = json.loads((ROOT / "deploy" / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], one["expr"], one["legendFormat"]) for panel in PANELS for one in panel["targets"]]
STANDS_FOR = {"$__rate_interval": "5m", "$job": "inkling", "$instance": ".+"}
OF_PROMETHEUS = {"job", "instance", "le"}
SAMPLED = {"status": ("200", "404", "503"), "result": ("hit", "miss", "same", "changed")}  # other labels: one value
MINUTES = 20


def names(metric: Metric) -> set[str]:
    """What Prometheus calls its series."""
    if metric.kind is Histogram:
        return {f"{metric.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return {f"{metric.name}_total" if metric.kind is Counter else metric.name}


KNOWN = {name: {*metric.labels, *OF_PROMETHEUS} for metric in TABLE for name in names(metric)}


def strangers(expression: str, legend: str) -> set[str]:
    """Metrics, labels and variables that nobody has."""
    metrics = set(re.findall(r"\binkling_\w+", expression))
    kept = {word for group in re.findall(r"\b(?:by|ignoring) \(([^)]*)\)", expression) for word in group.split(", ")}
    asked = set(re.findall(r"(\w+)=~?\"", expression))
    labels = set().union(*(KNOWN.get(name, set()) for name in metrics))
    variables = {f"${one['name']}" for one in DASHBOARD["templating"]["list"]} | {"$__rate_interval"}
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    return (
        (metrics - KNOWN.keys())
        | ((kept | asked) - labels)
        | (set(re.findall(r"\$\w+", expression)) - variables)
        | (shown - kept)
    )


def spoken(expression: str) -> str:
    """As Prometheus is asked, with what Grafana puts for its variables."""
    for name, value in STANDS_FOR.items():
        expression = expression.replace(name, value)
    return expression


def samples() -> dict[str, str]:
    """Series of every metric with its labels, which rise by one a minute."""
    found = {}
    for metric in TABLE:
        every = [[(label, value) for value in SAMPLED.get(label, ("a",))] for label in metric.labels]
        for labels in product(*every):
            text = "".join(f'{label}="{value}", ' for label, value in labels) + 'job="inkling", instance="a:8000"'
            for name in names(metric):
                edges = [f', le="{edge:g}"' for edge in metric.buckets] + [', le="+Inf"']
                for edge in edges if name.endswith("_bucket") else [""]:
                    found[f"{name}{{{text}{edge}}}"] = f"1+1x{MINUTES}"
    return found


def empty(expressions: list[str], folder: Path) -> str:
    """What promtool says of expressions that find nothing in the samples, or are none."""
    if PROMTOOL is None:
        lacking("promtool is not installed (in Debian's package prometheus)")
    series = [{"series": name, "values": values} for name, values in samples().items()]
    asked = [
        {"expr": f"group({spoken(one)})", "eval_time": f"{MINUTES}m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for one in expressions
    ]
    tests = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
    }
    (folder / "tests.yaml").write_text(json.dumps(tests))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(folder / "tests.yaml")], capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("title", "expression", "legend"), EXPRESSIONS, ids=[one[1] for one in EXPRESSIONS])
def test_a_panel_asks_for_what_there_is(title: str, expression: str, legend: str) -> None:
    assert strangers(expression, legend) == set(), title


def test_every_metric_is_drawn() -> None:
    drawn = {name for _, expression, _ in EXPRESSIONS for name in re.findall(r"\binkling_\w+", expression)}
    assert [metric.name for metric in TABLE if not names(metric) & drawn] == []


def test_prometheus_finds_something_for_every_panel(tmp_path: Path) -> None:
    assert empty([expression for _, expression, _ in EXPRESSIONS], tmp_path) == ""


def test_variables_are_looked_up_where_there_is_something() -> None:
    queries = [one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    assert len(queries) == 2
    assert {name for query in queries for name in re.findall(r"inkling_\w+", query)} <= KNOWN.keys()


def test_panels_lie_side_by_side() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


@pytest.mark.parametrize(
    ("expression", "legend", "stranger"),
    [
        ("sum by (route) (rate(inkling_request_total[$__rate_interval]))", "{{route}}", "inkling_request_total"),
        ("sum by (rout) (rate(inkling_requests_total[$__rate_interval]))", "", "rout"),
        ('inkling_cache_total{results="hit"}', "", "results"),
        ("sum by (model) (inkling_drift)", "{{version}}", "version"),
        ('inkling_drift{job="$jobs"}', "", "$jobs"),
    ],
)
def test_a_stranger_is_noticed(expression: str, legend: str, stranger: str) -> None:
    assert stranger in strangers(expression, legend)


@pytest.mark.parametrize("expression", ['inkling_cache_total{result="hits"}', "sum(rate(inkling_requests_total))"])
def test_a_panel_that_would_stay_empty_is_noticed(expression: str, tmp_path: Path) -> None:
    assert empty([expression], tmp_path) != ""
