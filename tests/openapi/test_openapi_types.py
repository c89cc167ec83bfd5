"""Every content type in the description can be sent and had, and every answer has one that is described."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from server.openapi import document
from tests.auth.test_keys import write_keys
from tests.conftest import MakeApp
from tests.openapi.test_openapi import template, written
from tests.support.models.stores import SEVEN, add_views, draw_seven, encoded, write_version, zipped

JSON, PNG, SVG, NPZ = "application/json", "image/png", "image/svg+xml", "application/x-npz"
RAW, FORM, NOTHING = "application/octet-stream", "multipart/form-data", ""
DRAWN, SMALL_BODY = draw_seven(56), 20_000  # bytes: more than any body below
PICTURES = {  # of each content type
    PNG: encoded(DRAWN),
    **{f"image/{kind}": encoded(DRAWN, kind.upper()) for kind in ("jpeg", "webp", "bmp", "gif")},
    RAW: encoded(DRAWN),
    FORM: b'--x\r\nContent-Disposition: form-data; name="image"; filename="7"\r\n\r\n%b\r\n--x--\r\n' % encoded(DRAWN),
    JSON: json.dumps({"pixels": np.eye(28).tolist()}).encode(),
}
STARTS = {JSON: (b"{", b"["), PNG: b"\x89PNG", SVG: b"<svg", NPZ: b"PK", RAW: b"{"}  # bytes of each
ZIP = zipped({"7.png": encoded(DRAWN)})
JOBS = {"job_workers": 0, "job_sources": "s3://open"}  # which nobody computes
V1_MODELS = ("/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}")
V2_MODELS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
ROWS = {"instances": [[0.5] * 784]}
Key = tuple[str, str, str, str]  # method, address, content type of the body, content type of the answer


HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class SampleRequest:
    """A request to an address: what stands for {model} and {name} there, and what is sent."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    model: str = "fake"
    name: str = ""


def picture(sent: str, kind: str, query: str) -> SampleRequest:
    content_type = f"{FORM}; boundary=x" if sent == FORM else sent
    return SampleRequest(PICTURES[sent], {"Content-Type": content_type, "Accept": kind}, query)


def sent_as_json(sent: Mapping[str, Any]) -> SampleRequest:
    return SampleRequest(json.dumps(sent).encode(), {"Content-Type": JSON})


def tensors(sent: str, kind: str, **parameters: str) -> SampleRequest:
    """One row for Open Inference; RAW: its numbers, and those of the answer, behind the JSON."""
    blob = np.full(784, 0.5, "<f4").tobytes() if sent == RAW else b""
    numbers = {"parameters": {"binary_data_size": len(blob)}} if blob else {"data": [0.5] * 784}
    tensor = {"name": "images", "datatype": "FP32", "shape": [1, 784], **numbers}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": kind == RAW, **parameters}}).encode()
    return SampleRequest(head + blob, {"Content-Type": sent, "Inference-Header-Content-Length": str(len(head))})


REQUESTS: dict[Key, SampleRequest] = {  # each content type that can be sent to an address with each that can come back
    **{
        ("post", path, sent, kind): picture(sent, kind, query)
        for path, query, kinds in (
            ("/v1/predict", "", (JSON,)),
            ("/v1/explain", "method=saliency", (JSON, PNG, SVG, NPZ)),
            ("/v1/compare", "methods=saliency,gradient_x_input", (JSON, PNG)),
            ("/v1/adversarial", "method=fgsm", (JSON, PNG, NPZ)),
            ("/v1/feedback", "label=1", (JSON,)),
        )
        for sent in PICTURES
        for kind in kinds
    },
    **{
        ("get", "/v1/explanations/{id}", NOTHING, kind): SampleRequest(headers={"Accept": kind})
        for kind in (JSON, PNG, SVG, NPZ)
    },
    **{
        ("post", f"{model}:{verb}", JSON, JSON): sent_as_json(sent)
        for model in V1_MODELS
        for verb, sent in (
            ("predict", ROWS),
            ("explain", {**ROWS, "parameters": {"method": "saliency"}}),
            ("{verb}", {"examples": []}),
        )
    },
    **{
        ("post", f"{model}/{verb}", sent, kind): tensors(sent, kind, **why)
        for model in V2_MODELS
        for verb, why in (("infer", {}), ("explain", {"method": "saliency"}))
        for sent in (JSON, RAW)
        for kind in (JSON, RAW)
    },
    **{
        ("get", path, NOTHING, JSON): SampleRequest()
        for path in (
            *("/", "/livez", "/readyz", "/openapi.json", "/v1/methods", "/v1/models"),
            *(model + end for model in V1_MODELS for end in ("", "/metadata")),
            *("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models"),
            *(model + end for model in V2_MODELS for end in ("", "/config", "/ready")),
        )
    },
    **{
        ("post", "/v1/jobs", sent, JSON): SampleRequest(ZIP, {"Content-Type": sent}, "method=saliency")
        for sent in ("application/zip", RAW, "application/vnd.apache.parquet")
    },
    ("post", "/v1/jobs", JSON, JSON): SampleRequest(
        b'{"source": "s3://open/in", "method": "saliency"}', {"Content-Type": JSON}
    ),
    ("get", "/v1/jobs", NOTHING, JSON): SampleRequest(),
    ("get", "/v1/jobs/{id}", NOTHING, JSON): SampleRequest(),
    ("get", "/v1/jobs/{id}/result", NOTHING, "application/zip"): SampleRequest(),
    ("delete", "/v1/jobs/{id}", NOTHING, JSON): SampleRequest(),
    ("post", "/v1/feedback", NOTHING, JSON): SampleRequest(query="id={id}&label=1"),
    ("get", "/v1/models/{model}/card", NOTHING, "text/markdown; charset=utf-8"): SampleRequest(),
    ("get", "/v1/models/{model}/shadow", NOTHING, JSON): SampleRequest(),
    ("get", "/v1/models/{model}/map", NOTHING, JSON): SampleRequest(model="viewed"),
    ("get", "/v1/models/{model}/map", NOTHING, SVG): SampleRequest(query="format=svg&mark=0,1", model="viewed"),
    ("get", "/v1/models/{model}/prototypes.png", NOTHING, PNG): SampleRequest(model="viewed"),
    ("get", "/metrics", NOTHING, "text/plain; version=0.0.4; charset=utf-8"): SampleRequest(),
    ("get", "/docs", NOTHING, HTML): SampleRequest(),
    ("get", "/", NOTHING, HTML): SampleRequest(headers={"Accept": "text/html"}),
    ("get", "/embed", NOTHING, HTML): SampleRequest(),
    ("get", "/favicon.ico", NOTHING, "image/svg+xml; charset=utf-8"): SampleRequest(),
    **{
        ("get", "/static/{name}", NOTHING, f"{kind}; charset=utf-8"): SampleRequest(name=name)
        for kind, name in (
            ("text/javascript", "element/ink.js"),
            ("text/css", "page/page.css"),
            ("image/svg+xml", "page/icon.svg"),
            ("text/plain", "element/inkling-digit.d.ts"),
        )
    },
    ("get", "/docs/{name}", NOTHING, "text/javascript; charset=utf-8"): SampleRequest(name="docs.js"),
    ("get", "/docs/{name}", NOTHING, "text/css; charset=utf-8"): SampleRequest(name="swagger-ui.css"),
    **{
        ("post", f"/v2/repository/{what}", sent, JSON): SampleRequest(body, model="plain")
        for what in ("index", "models/{model}/load", "models/{model}/unload")
        for sent, body in ((NOTHING, b""), (JSON, b"{}"))
    },
}


def described() -> set[Key]:
    """Each content type that may be sent with each that it may be answered with, at all addresses; those of mistakes
    only where nothing else is answered."""
    found = set()
    for method, path in written():
        content_type = document()["paths"][path][method]
        body = content_type.get("requestBody", {"required": False, "content": {}})
        sent = [*body["content"], *([] if body["required"] else [NOTHING])]
        answers = content_type["responses"]
        good = [found for status, found in answers.items() if status.startswith("2")] or list(answers.values())
        given = {kind for answer in good for kind in answer["content"]}
        found |= {(method, path, one, kind) for one in sent for kind in given}
    return found


def kinds_given() -> dict[tuple[str, str], set[str]]:
    """What each address can be answered with."""
    found: dict[tuple[str, str], set[str]] = {}
    for method, path, _, kind in described():
        found.setdefault((method, path), set()).add(kind)
    return found


def met(app: Flask, method: str, path: str, sample: SampleRequest) -> TestResponse:
    """The answer to a request at the address that is described as `path`."""
    client, known = app.test_client(), "0" * 32
    if path.startswith("/v1/jobs/"):
        known = job_done(app, sample.query)
    elif "{id}" in path + sample.query:
        known = client.post("/v1/explain?method=saliency", data=SEVEN).get_json().get("id", known)
    names = {
        "model": sample.model,
        "version": 2,
        "label": "stable",
        "verb": "classify",
        "name": sample.name,
        "id": known,
    }
    address = path.format(**names)
    rule, _ = app.url_map.bind("localhost").match(address, method.upper(), return_rule=True)
    assert template(rule) == path
    return client.open(
        address, method=method.upper(), query_string=sample.query.replace("{id}", known), data=sample.body,
        headers=dict(sample.headers), buffered=True,
    )  # fmt: skip


def job_done(app: Flask, query: str) -> str:
    """The id of a job with a result; one of nothing where no job can be sent."""
    answer = app.test_client().post("/v1/jobs?method=saliency", data=ZIP, headers={"Content-Type": "application/zip"})
    if answer.status_code != 202:
        return "0" * 32
    identity = str(answer.get_json()["id"])
    folder = app.extensions["inkling"].jobs.folder / identity
    (folder / "result.zip").write_bytes(ZIP)
    (folder / "done.json").write_text('{"rows": 1, "done": 1, "explained": 1, "errors": 0, "codes": {}}')
    return identity


def test_there_is_a_request_for_each_content_type_that_is_described() -> None:
    assert set(REQUESTS) == described()


@pytest.mark.parametrize("tag", [one["name"] for one in document()["tags"]])
def test_each_content_type_is_read_and_given(make_app: MakeApp, model_store: Path, tmp_path: Path, tag: str) -> None:
    store = Path(shutil.copytree(model_store, tmp_path / "store"))
    add_views(write_version(store, "viewed"))
    app = make_app(
        repository="open", feedback=tmp_path / "labels.jsonl", model_store=store, jobs=tmp_path / "jobs", **JOBS
    )
    paths = document()["paths"]
    mine = {key: sample for key, sample in REQUESTS.items() if tag in paths[key[1]][key[0]]["tags"]}
    assert mine
    for (method, path, sent, kind), sample in mine.items():
        status = 400 if path.endswith("{verb}") else 202 if (method, path) == ("post", "/v1/jobs") else 200
        answer = met(app, method, path, sample)
        got = (method, path, sent, answer.headers["Content-Type"], answer.status_code)
        assert got == (method, path, sent, kind, status), answer.data[:500]
        assert answer.data.startswith(STARTS.get(kind, b"")), got


def test_no_answer_can_be_had_in_a_format_that_is_not_described(make_app: MakeApp) -> None:
    """A request for another type gets the list of types."""
    app, content_type = make_app(), 0
    for (method, path), kinds in kinds_given().items():
        if len(kinds) > 1 and method == "post" and not path.startswith("/v2"):
            answer = app.test_client().post(path, data=SEVEN, headers={"Accept": "application/pdf"})
            assert answer.status_code == 406
            assert set(answer.get_json()["error"].rpartition(" as ")[2].split(", ")) == kinds
            content_type += 1
    assert content_type == 3


WRONG: tuple[Callable[[SampleRequest], SampleRequest], ...] = (
    lambda sample: sample,
    lambda sample: replace(sample, query="unknown=1"),
    lambda sample: replace(sample, headers={**sample.headers, "Accept": "application/pdf"}),
    lambda sample: replace(sample, headers={**sample.headers, "If-None-Match": "*"}),
    lambda sample: replace(sample, body=b""),
    lambda sample: replace(sample, body=b"rubbish"),
    lambda sample: replace(sample, body=bytes(SMALL_BODY + 1)),
    lambda sample: replace(sample, model="none"),
)


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        ({}, {200, 304, 400, 404, 406, 413, 415}),
        ({"model_store": "empty"}, {200, 404, 503}),
        ({"keys_file": "keys"}, {200, 401}),
        ({"rate_limit": "1/hour"}, {200, 429}),
    ],
    ids=str,
)
def test_every_answer_is_described(
    make_app: MakeApp, tmp_path: Path, settings: dict[str, Any], statuses: set[int]
) -> None:
    """Requests as they should be and wrong ones, to a server that can answer and to some that cannot."""
    (tmp_path / "empty").mkdir()
    write_keys(tmp_path / "keys", web="predict")
    files = {name: tmp_path / value for name, value in settings.items() if name in ("model_store", "keys_file")}
    files |= {"feedback": tmp_path / "labels.jsonl", "jobs": tmp_path / "jobs"}
    app = make_app(max_body_bytes=SMALL_BODY, **{**JOBS, **settings, **files})
    one_each: dict[tuple[str, str], SampleRequest] = {}
    for key, sample in REQUESTS.items():
        one_each.setdefault(key[:2], sample)
    promised, seen = answers_described(), set()
    for (method, path), sample in one_each.items():
        for change in WRONG:
            answer = met(app, method, path, change(sample))
            seen.add((method, path, answer.status_code, answer.headers.get("Content-Type", NOTHING)))
    assert seen - promised == set()
    assert statuses <= {status for _, _, status, _ in seen}


def answers_described() -> set[tuple[str, str, int, str]]:
    """Each status that an address may answer, with each of its content types."""
    return {
        (method, path, int(status), kind)
        for method, path in written()
        for status, content_type in document()["paths"][path][method]["responses"].items()
        for kind in content_type["content"] or [NOTHING]
    }
