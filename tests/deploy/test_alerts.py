"""deploy/alerts.yaml, as Prometheus's own promtool evaluates it: what is quiet, and what each alert fires at."""

import json
import re
import shutil
import string
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from server.app import create_app
from server.config import Settings
from server.metrics import Metrics
from tests.support.mnist import mnist_test
from tests.support.models.stores import SHIPPED, encoded
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT
from tests.test_metrics import Numbers, scraped

RULES = ROOT / "deploy" / "alerts.yaml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
PROMTOOL = shutil.which("promtool")
ORDINARY, MIXED = 3000, 500  # pictures
EACH = 5  # pictures between two scrapes
SCRAPE = 15  # seconds between two scrapes
UP = 'up{job="inkling", instance="localhost:8000"}'
FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)


def promtool(*arguments: str) -> str:
    """What it prints; the test fails where it is not content."""
    if PROMTOOL is None:
        lacking("promtool is not installed (in Debian's package prometheus)")
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


class Expected(NamedTuple):
    """Whether an alert, or with "" any, fires at some evaluation within `seconds` before a time; both in seconds."""

    alert: str
    at: int
    seconds: int
    fires: bool


def check(folder: Path, series: Mapping[str, str], evaluated: str, expected: Sequence[Expected]) -> None:
    """Have promtool evaluate the rules over series of samples, SCRAPE seconds apart, in its own notation."""
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": evaluated,
        "tests": [
            {
                "interval": f"{SCRAPE}s",
                "input_series": [
                    {"series": name, "values": values} for name, values in {UP: "1x60000", **series}.items()
                ],
                "promql_expr_test": [_tried(one) for one in expected],
            }
        ],
    }
    (folder / "tests.yaml").write_text(json.dumps(tests))  # JSON is YAML
    promtool("test", "rules", str(folder / "tests.yaml"))


def _tried(one: Expected) -> dict[str, Any]:
    named = f'alertname="{one.alert}", ' if one.alert else ""
    return {
        "expr": f'group(count_over_time(ALERTS{{{named}alertstate="firing"}}[{one.seconds}s]))',
        "eval_time": f"{one.at}s",
        "exp_samples": [{"labels": "{}", "value": 1}] if one.fires else [],
    }


def letters(count: int, rng: np.random.Generator) -> list[bytes]:
    """Pictures of letters in four typefaces, dark on white."""
    font, found = ImageFont.load_default(180), []
    for letter, face in zip(rng.choice(list(string.ascii_letters), count), rng.integers(0, 4, count), strict=True):
        paper = np.full((280, 280), 255, np.uint8)
        if face < len(FACES):
            cv2.putText(paper, letter, (60, 200), FACES[face], 6, 0, 15, cv2.LINE_AA)
        image = Image.fromarray(paper)
        if face == len(FACES):
            ImageDraw.Draw(image).text((140, 140), letter, 0, font, anchor="mm")
        found.append(encoded(image))
    return found


@pytest.fixture(scope="module")
def scrapes() -> list[Numbers]:
    """What /metrics answers after each EACH pictures: ORDINARY of digits, then MIXED, of which a fifth are letters."""
    rng = np.random.default_rng(3)
    images, _ = mnist_test()
    bodies = [encoded(Image.fromarray(images[at])) for at in rng.permutation(len(images))[: ORDINARY + MIXED]]
    for at, letter in zip(ORDINARY + rng.permutation(MIXED)[: MIXED // 5], letters(MIXED // 5, rng), strict=True):
        bodies[at] = letter
    client = create_app(Settings(model_store=SHIPPED, model="cnn", explain="off", poll_ms=0)).test_client()
    found = []
    for number, body in enumerate(bodies):
        if number % EACH == 0:
            found.append(scraped(client))
        assert client.post("/v1/predict", data=body).status_code == 200
    return [*found, scraped(client)]


def as_series(scrapes: Sequence[Numbers], repeated: int) -> dict[str, str]:
    """Each sample that the rules name over time, as promtool takes it; each scrape comes so many times."""
    found = {}
    for name, labels in [one for one in scrapes[-1] if re.search(rf"\b{one[0]}\b", RULES.read_text())]:
        text = ", ".join(f"{label}={json.dumps(value)}" for label, value in sorted({*labels, ("job", "inkling")}))
        values = [one.get((name, labels)) for one in scrapes]
        found[f"{name}{{{text}}}"] = " ".join(
            f"_x{repeated}" if value is None else f"{value}+0x{repeated - 1}" for value in values
        )
    return found


@pytest.mark.parametrize(
    ("every", "repeated", "evaluated"),
    [(15, 1, "15s"), (3, 1, "15s"), (1, 2, "1m"), (1, 8, "5m"), (1, 80, "1h")],
    ids=["5 a second", "1 a second", "10 a minute", "150 an hour", "360 a day"],
)
def test_letters_among_digits_are_seen_within_five_hundred_requests_and_digits_alone_are_quiet(
    scrapes: list[Numbers], tmp_path: Path, every: int, repeated: int, evaluated: str
) -> None:
    taken = scrapes[::every]
    turn, end = (pictures // EACH // every * repeated * SCRAPE for pictures in (ORDINARY, ORDINARY + MIXED))
    expected = [Expected("", turn, turn, False), Expected("InklingOutOfDistribution", end, end - turn, True)]
    check(tmp_path, as_series(taken, repeated), evaluated, expected)


def requests(status: int, route: str = "/v1/predict") -> str:
    return f'inkling_requests_total{{route="{route}", method="POST", status="{status}"}}'


def of_cnn(metric: str, **labels: str) -> str:
    more = "".join(f', {label}="{value}"' for label, value in labels.items())
    return f'{metric}{{model="cnn", version="2"{more}}}'


HOUR = 3600 // SCRAPE
DAYS = 47 * HOUR  # before the last of 48 hours
SITUATIONS: dict[str, dict[str, str]] = {  # alert -> samples at which it fires, and no other alert does
    "InklingDown": {UP: f"1x{HOUR // 2} 0x{HOUR // 2}"},
    "InklingErrors": {requests(200): f"0+98x{HOUR}", requests(500): f"0+2x{HOUR}"},
    "InklingRefuses": {requests(200): f"0+9x{HOUR}", requests(503): f"0+1x{HOUR}",
                       'inkling_refused_total{code="busy"}': f"0+1x{HOUR}"},
    "InklingOutOfTime": {requests(200, "/v1/explain"): f"0+9x{HOUR}", requests(504, "/v1/explain"): f"0+1x{HOUR}"},
    "InklingPredictSlow": {f'inkling_predict_seconds_bucket{{le="{le}"}}': f"0+{step}x{HOUR}"
                           for le, step in (("0.5", 95), ("1", 100), ("+Inf", 100))},
    "InklingExplainSlow": {f'inkling_explain_seconds_bucket{{method="lime", le="{le}"}}': f"0+{step}x{HOUR}"
                           for le, step in (("10", 95), ("30", 100), ("+Inf", 100))},
    "InklingRowsWait": {"inkling_queue_rows": f"3x{HOUR}"},
    "InklingUnusableVersion": {'inkling_unusable_versions{model="cnn"}': f"0x{HOUR // 2} 1x{HOUR // 2}"},
    "InklingSeveralDigits": {of_cnn("inkling_multiple_objects_total"): f"0+2x{HOUR}",
                             of_cnn("inkling_confidence_count"): f"0+10x{HOUR}"},
    "InklingConfidenceDropped": {of_cnn("inkling_confidence_count"): f"0+10x{DAYS + HOUR}",
                                 of_cnn("inkling_confidence_bucket", le="0.9"): f"0+0.2x{DAYS} 2256+2x{HOUR}"},
    "InklingClassMixShifted": {of_cnn("inkling_predictions_total", **{"class": "0"}): f"0+5x{DAYS} 56400+9x{HOUR}",
                               of_cnn("inkling_predictions_total", **{"class": "1"}): f"0+5x{DAYS} 56400+1x{HOUR}"},
    "InklingDrift": {of_cnn("inkling_drift", of="confidence"): f"0.05x{HOUR // 2} 0.4x{HOUR // 2}"},
    "InklingOutOfDistribution": {of_cnn("inkling_confidence_count"): f"0+1x{HOUR}",
                                 of_cnn("inkling_out_of_distribution_total"): f"0+0.2x{HOUR}"},
}  # fmt: skip


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_fires_at_what_it_is_for_and_no_other_does(alert: str, tmp_path: Path) -> None:
    series = SITUATIONS[alert]
    takes_days = f"x{DAYS}" in str(series)
    end = SCRAPE * (DAYS * takes_days + HOUR)
    others = [Expected(other, end, end, False) for other in ALERTS if other != alert]
    check(tmp_path, series, "15m" if takes_days else "1m", [Expected(alert, end, end, True), *others])


def test_the_rules_are_as_prometheus_has_them() -> None:
    assert f"{len(ALERTS) + 2} rules found" in promtool("check", "rules", "--lint-fatal", str(RULES))


def test_every_metric_of_the_rules_is_one_that_metrics_has() -> None:
    types = re.findall(r"^# TYPE (\w+) (\w+)$", Metrics({}).text().decode(), re.MULTILINE)
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    known = {name + suffix for name, kind in types for suffix in suffixes.get(kind, ("",))}
    named = set(re.findall(r"\binkling_\w+", RULES.read_text()))
    assert named and named <= known


def test_every_alert_says_what_to_do() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [alert for alert in ALERTS if f"`{alert}`" not in page] == []
