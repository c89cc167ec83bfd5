"""Log lines: one for each request where that is switched on, whole facts, and nothing in them that opens a door."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.logs import ACCESS, JsonFormatter, TextFormatter, configure, logging_config
from server.types import Array, ModelCard
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.models.fakes import Linear
from tests.support.models.stores import SEVEN, form

ROWS = [[[0.5] * 28] * 28] * 3
TENSOR = {"name": "images", "shape": [3, 784], "datatype": "FP32", "data": [0.5] * 3 * 784}


class Lines(logging.Handler):
    """Keeps every record as the line that it would be."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def last(self) -> dict[str, Any]:
        """The fields of the last line."""
        fields: dict[str, Any] = json.loads(self.lines[-1])
        return fields


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, access = Lines(JsonFormatter()), logging.getLogger(ACCESS)
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    yield handler
    access.removeHandler(handler)
    access.setLevel(logging.NOTSET)


@pytest.fixture
def logged(make_app: MakeApp) -> FlaskClient:
    return make_app(access_log="on").test_client()


def test_a_prediction_is_one_line_with_all_that_is_known(logged: FlaskClient, lines: Lines) -> None:
    response = logged.post("/v1/predict?version=canary", data=SEVEN, headers={"X-Request-ID": "mine"})
    assert response.status_code == 200
    assert len(lines.lines) == 1
    fields = lines.last()
    assert fields.pop("time").endswith("+00:00") and fields.pop("process") and 0 < fields.pop("ms") < 60_000
    assert fields == {
        "level": "INFO", "logger": ACCESS, "message": "request", "request_id": "mine", "method": "POST",
        "path": "/v1/predict", "status": 200, "model": "fake", "version": "10", "rows": 1,
    }  # fmt: skip


def test_an_explanation_names_its_method_and_the_rows_that_it_took(logged: FlaskClient, lines: Lines) -> None:
    answer = logged.post("/v1/explain?method=occlusion&model=plain", data=SEVEN).get_json()
    fields = lines.last()
    assert (fields["model"], fields["version"], fields["explanation"]) == ("plain", "1", "occlusion")
    assert fields["rows"] == answer["explanation"]["certificate"]["rows"]


def test_a_comparison_names_all_that_it_compared(logged: FlaskClient, lines: Lines) -> None:
    assert logged.post("/v1/compare?models=fake,plain&method=saliency", data=SEVEN).status_code == 200
    fields = lines.last()
    assert (fields["model"], fields["version"], fields["explanation"]) == ("fake,plain", "2,1", "saliency")


def test_several_pictures_are_one_line(logged: FlaskClient, lines: Lines) -> None:
    assert logged.post("/v1/predict", data=form(SEVEN, SEVEN, SEVEN)).status_code == 200
    assert [json.loads(line)["rows"] for line in lines.lines] == [3]


@pytest.mark.parametrize(("address", "body", "reported"), [
    ("/v1/models/fake:predict", {"instances": ROWS}, {"model": "fake", "version": "2", "rows": 3}),
    ("/v1/models/fake/versions/1:predict", {"inputs": ROWS}, {"version": "1", "rows": 3}),
    ("/v1/models/plain:explain", {"instances": ROWS, "parameters": {"method": "saliency"}},
     {"model": "plain", "explanation": "saliency"}),
    ("/v2/models/fake/infer", {"inputs": [TENSOR]}, {"model": "fake", "version": "2", "rows": 3}),
    ("/v2/models/fake/versions/10/explain", {"inputs": [TENSOR], "parameters": {"method": "saliency"}},
     {"version": "10", "explanation": "saliency"}),
])  # fmt: skip
def test_other_dialects_log_as_much(
    logged: FlaskClient, lines: Lines, address: str, body: dict[str, Any], reported: dict[str, Any]
) -> None:
    response = logged.post(address, json=body)
    assert response.status_code == 200, response.data
    assert lines.last() | reported == lines.last()
    verb = "explain" if "explanation" in reported else "predict"
    assert f"inkling_{verb}_seconds_count{{" in logged.get("/metrics").text


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nowhere", 404), ("PUT", "/v1/predict", 405), ("POST", "/v1/predict", 400), ("GET", "/livez", 200),
])  # fmt: skip
def test_every_answer_has_its_line(logged: FlaskClient, lines: Lines, method: str, path: str, status: int) -> None:
    response = logged.open(path, method=method)
    fields = lines.last()
    assert (fields["method"], fields["path"], fields["status"]) == (method, path, status)
    assert fields["request_id"] == response.headers["X-Request-ID"]
    assert "model" not in fields and "rows" not in fields


def test_an_unexpected_error_is_logged_with_its_request(
    logged: FlaskClient, lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.inference.predict.predict_pixels", lambda *_: 1 // 0)
    response = logged.post("/v1/predict", data=SEVEN)
    assert (response.status_code, lines.last()["status"]) == (500, 500)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    fields = json.loads(JsonFormatter().format(record))
    assert fields["request_id"] == response.headers["X-Request-ID"]
    assert "ZeroDivisionError" in fields["exception"] and "\n" in fields["exception"]


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OF_TRACE = ("trace_id", "span_id", "trace_flags")


@pytest.mark.parametrize(("traceparent", "flags"), [
    (PARENT, "01"), (f"00-{TRACE}-{SPAN}-00", "00"),
    (f"00-{TRACE}-{SPAN}-03", "03"), (f"00-{TRACE}-{SPAN}-ff", "03"),  # sampled, random; others mean nothing yet
    (f"cc-{TRACE}-{SPAN}-01", "01"), (f"01-{TRACE}-{SPAN}-02", "00"),  # of later versions only sampled is known
    (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", "01"), (f"fe-{TRACE}-{SPAN}-00-", "00"),
])  # fmt: skip
def test_a_line_names_the_trace_that_the_client_says(
    logged: FlaskClient, lines: Lines, traceparent: str, flags: str
) -> None:
    logged.post("/v1/predict", data=SEVEN, headers={"traceparent": traceparent, "tracestate": "vendor=1"})
    assert tuple(lines.last()[name] for name in OF_TRACE) == (TRACE, SPAN, flags)
    lines.setFormatter(TextFormatter())
    logged.get("/livez", headers={"TraceParent": traceparent})
    assert lines.lines[-1].endswith(f" trace_id={TRACE} span_id={SPAN} trace_flags={flags}")


@pytest.mark.parametrize("traceparent", [
    "", "-", "00", "---", PARENT[:-1], PARENT[:-3], PARENT[3:], f"{PARENT}0", f"{PARENT}-", f"{PARENT}-more",
    f"{PARENT}.", f"{PARENT},{PARENT}", f"{PARENT}, {PARENT}", PARENT.upper(), f"0{PARENT}", f"ff{PARENT[2:]}",
    f"ff{PARENT[2:]}-more", f"cc{PARENT[2:]}.more", f"cc{PARENT[2:]}0", f"cc{PARENT[2:-1]}", f".0{PARENT[2:]}",
    f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"cc-{'0' * 32}-{SPAN}-01", f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}a-{SPAN}-01", f"00-.{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN[1:]}-01", f"00-{TRACE}-{SPAN}a-01",
    f"00-{TRACE}-.{SPAN[1:]}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-001", f"00-{TRACE}-{SPAN}-.1",
    f"00-{TRACE}-{SPAN}-0x", f"00-{'²' * 32}-{SPAN}-01", f"00_{TRACE}_{SPAN}_01", PARENT * 500,
    f"00-{TRACE}-{SPAN}-01\t", f"{TRACE}:{SPAN}:0:1",
])  # fmt: skip
def test_an_invalid_trace_is_ignored(logged: FlaskClient, lines: Lines, traceparent: str) -> None:
    environ = {"HTTP_TRACEPARENT": traceparent}
    assert logged.post("/v1/predict", data=SEVEN, environ_overrides=environ).status_code == 200
    assert not set(OF_TRACE) & set(lines.last())


class Talking(Linear):
    """Logs a line whenever it explains, in whichever thread that is."""

    def gradient(self, images: Array, weights: Array) -> Array:
        logging.getLogger(ACCESS).info("explaining")
        return super().gradient(images, weights)


def talking(path: Path, card: ModelCard) -> Talking:
    return Talking(card, card.verbs)


def test_every_line_that_is_written_for_a_request_names_its_trace_and_no_other_line(
    make_app: MakeApp, lines: Lines
) -> None:
    client = make_app(load_savedmodel=talking, access_log="on", explain_slots=1).test_client()
    sent: list[dict[str, str]] = [
        {"traceparent": PARENT}, {}, {"traceparent": PARENT.replace(TRACE, SPAN * 2)}, {},
    ]  # fmt: skip
    for seed, headers in enumerate(sent):  # with a seed of its own each is computed, by one thread
        answer = client.post(f"/v1/explain?method=saliency&seed={seed}", data=SEVEN, headers=headers)
        assert answer.status_code == 200
        logging.getLogger(ACCESS).info("between two requests")
        client.delete("/v1/explanations/none")
        client.post("/v1/explain?method=gradient_x_input&seed=1", data=b"rubbish", headers=headers)
    found = [json.loads(line) for line in lines.lines]
    of_explanations = [line.get("trace_id") for line in found if line["message"] == "explaining"]
    assert of_explanations == [TRACE, None, SPAN * 2, None]
    of_requests = [line.get("trace_id") for line in found if line.get("path") == "/v1/explain"]
    assert of_requests == [TRACE, TRACE, None, None, SPAN * 2, SPAN * 2, None, None]
    assert all("trace_id" not in line for line in found if line["message"] == "between two requests")
    assert all("trace_id" not in line for line in found if line.get("method") == "DELETE")


def test_no_line_holds_a_key_or_a_signature(make_app: MakeApp, lines: Lines, tmp_path: Any) -> None:
    keys = write_keys(tmp_path / "keys", web="predict")
    client = make_app(access_log="on", keys_file=tmp_path / "keys").test_client()
    client.post("/v1/predict", data=SEVEN, headers=bearer(keys["web"]))
    assert lines.last()["key"] == "web"
    client.get("/v1/models?signature=swordfish&expires=1", headers=bearer(keys["web"]))
    client.get(f"/v1/explanations/x?signature=swordfish&expires={keys['web']}")
    client.get(f"/v1/models?key={keys['web']}")
    assert len(lines.lines) == 4
    assert "swordfish" not in str(lines.lines) and keys["web"] not in str(lines.lines)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_a_request_cannot_forge_log_lines(logged: FlaskClient, lines: Lines, formatter: logging.Formatter) -> None:
    lines.setFormatter(formatter)
    logged.get("/v1/%0A2026%20INFO%20fine%0D%1b[31m" + "x" * 500)
    (line,) = lines.lines
    assert len(line.splitlines()) == 1 and "\x1b" not in line and len(line) < 1000


def test_lines_for_people_are_whole_too(logged: FlaskClient, lines: Lines) -> None:
    lines.setFormatter(TextFormatter())
    logged.post("/v1/explain?method=saliency", data=SEVEN, headers={"X-Request-ID": "mine"})
    (line,) = lines.lines
    assert "INFO inkling.access: request request_id=mine method=POST path=/v1/explain status=200" in line
    assert " model=fake version=2 explanation=saliency rows=" in line


def test_it_is_off_unless_it_is_switched_on(client: FlaskClient, lines: Lines) -> None:
    assert client.post("/v1/predict", data=SEVEN).status_code == 200
    assert lines.lines == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_level_does_not_silence_the_lines_of_requests(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also: logging that is configured already is left alone."""
    err, before = io.StringIO(), logging.root.handlers[:]
    assert before  # pytest's
    configure(form, "ERROR")
    assert logging.root.handlers == before

    monkeypatch.setattr(sys, "stderr", err)
    config = logging_config(form, "ERROR")
    names = {"root": config["root"]["level"], **{name: one["level"] for name, one in config["loggers"].items()}}
    assert names == {"root": "ERROR", ACCESS: "INFO", "gunicorn.error": "ERROR"}
