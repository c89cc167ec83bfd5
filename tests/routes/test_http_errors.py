"""Every mistake over HTTP: its status, code and telling words; none is logged as ours, none harms the next request."""

import io
import json
import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from server import errors
from tests.support.answers import check_error, check_next, errors_in
from tests.support.models.stores import SEVEN, encoded, form

FORM = "multipart/form-data"
HUGE = "9" * 400  # a whole number that no float holds
PIXELS: list[list[Any]] = [[0] * 28 for _ in range(28)]


def pixels(value: Any, row: int = 3, column: int = 5) -> str:
    """JSON with one unusual pixel."""
    table = [list(line) for line in PIXELS]
    table[row][column] = value
    return json.dumps({"pixels": table})


def announced(width: int, height: int) -> bytes:
    """A PNG that says it is this large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((13, header), (0, b"IDAT"), (0, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)) for length, chunk in chunks
    )


@dataclass(frozen=True)
class Case:
    """A request and what it must be answered with; `words` are what the message has to tell."""

    target: str
    status: int
    code: str
    words: tuple[str, ...]
    sent: dict[str, Any] = field(default_factory=lambda: {"data": SEVEN})
    method: str = "POST"


def option(query: str, *words: str, code: str = "invalid_option") -> Case:
    return Case(f"/v1/explain?{query}", 400, code, words)


def body(status: int, code: str, *words: str, **sent: Any) -> Case:
    return Case("/v1/predict", status, code, words, sent)


CASES: dict[str, Case] = {
    "JSON that breaks off": body(400, "bad_request", "not JSON", '{"pixels"', data=b'{"pixels": [[1'),
    "JSON that is not text": body(
        400, "bad_request", "not JSON", data=b"\xff\xfe\x00", content_type="application/json",
    ),
    "JSON too deep": body(400, "bad_request", "not JSON", data=b'{"pixels": ' + b"[" * 100_000),
    "JSON of another kind": body(400, "bad_request", "list", "b64", json=[1]),
    "JSON with another field": body(400, "bad_request", "'picture'", '"image"', json={"picture": "x"}),
    "JSON with two fields": body(400, "bad_request", "'image', 'pixels'", json={"image": {"b64": ""}, "pixels": []}),
    "JSON without fields": body(400, "bad_request", "(none)", '"pixels"', json={}),
    "pixels null": body(400, "bad_request", "null", "list of rows", json={"pixels": None}),
    "not base64": body(400, "bad_request", "base64", json={"image": {"b64": "!!!"}}),
    "base64 with other letters": body(400, "bad_request", "base64", json={"image": {"b64": "\ud800"}}),
    "unknown name": option("fromat=png", "'fromat'", "'format'", code="unknown_option"),
    "unknown name of predict": Case("/v1/predict?verison=1", 400, "unknown_option", ("'verison'", "'version'")),
    "option of another method": option("method=saliency&patch=3", "'patch'", "saliency", code="unknown_option"),
    "misspelt option of a method": option("method=lime&n_sample=9", "'n_samples'", code="unknown_option"),
    "explain's name at predict": Case("/v1/predict?method=lime", 400, "unknown_option", ("'method'", "version")),
    "name given twice": option("target=1&target=2", "target", "2 times", "once"),
    "int: letters": option("seed=abc", "seed='abc'", "whole number"),
    "int: empty": option("seed=", "seed=''", "whole number"),
    "int: fraction": option("seed=1.5", "seed='1.5'", "whole number"),
    "int: exponent": option("seed=1e3", "seed='1e3'", "whole number"),
    "int: nan": option("seed=nan", "seed='nan'", "whole number"),
    "int: inf": option("budget_ms=inf", "budget_ms='inf'", "whole number"),
    "int: negative": option("seed=-1", "seed='-1'", "from 0"),
    "int: zero": option("budget_ms=0", "budget_ms='0'", "from 1 to 30000"),
    "int: too large": option("budget_ms=30001", "budget_ms='30001'", "30000"),
    "int: seed over 32 bits": option("seed=4294967296", "seed='4294967296'", "from 0"),
    "int: huge seed": option(f"seed={HUGE}", "seed=", "from 0"),
    "int: huge budget": option(f"budget_ms={HUGE}", "budget_ms=", "30000"),
    "int: huge option": option(f"method=lime&n_samples={HUGE}", "n_samples=", "20000"),
    "int: huge and negative": option(f"method=lime&n_samples=-{HUGE}", "n_samples=", "from 10"),
    "int: beyond what Python reads": option(f"seed={'9' * 5000}", "seed=", "whole number"),
    "int: below its range": option("method=occlusion&patch=0", "patch='0'", "from 1 to 14"),
    "float: nan": option("method=lime&kernel_size=nan", "kernel_size='nan'", "a number"),
    "float: inf": option("method=lime&kernel_size=-inf", "kernel_size='-inf'", "a number"),
    "float: overflow": option("method=lime&kernel_size=1e999", "kernel_size='1e999'", "a number"),
    "float: huge": option(f"method=lime&kernel_size={HUGE}", "kernel_size=", "a number"),
    "float: negative": option("method=lime&kernel_size=-1", "kernel_size='-1'", "to 6"),
    "float: letters": option("method=integrated_gradients&tolerance=x", "tolerance='x'", "a number"),
    "choice": option("baseline=white", "baseline='white'", "black, mean"),
    "choice: case": option("output=Logit", "output='Logit'", "logit, probability"),
    "choice: frame": option("frame=mine", "frame='mine'", "original, model"),
    "choice: preprocess": option("preprocess=maybe", "preprocess='maybe'", "auto, none"),
    "choice: format": option("format=gif", "format='gif'", "json, png, svg, npz"),
    "target that is no class": option("target=10", "target='10'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    "target empty": option("target=", "target=''", "expected one of"),
    "versus that is no class": option("versus=seven", "versus='seven'", "expected one of"),
    "versus the target": option("target=0&versus=0", "versus=0", "another"),
    "no pixels": body(400, "invalid_pixels", "an empty list", "28 rows of 28", json={"pixels": []}),
    "pixels a text": body(400, "invalid_pixels", "a text", "28 rows of 28", json={"pixels": "x"}),
    "pixels of another shape": body(400, "invalid_pixels", "8 rows of 9", "28 rows", json={"pixels": [[0] * 9] * 8}),
    "ragged": body(400, "invalid_pixels", "row 27", "27 entries", json={"pixels": [*PIXELS[:27], [0] * 27]}),
    "scikit-learn's digits": body(400, "invalid_pixels", "8 rows", "scikit-learn", json={"pixels": [[0] * 8] * 8}),
    "a row that is a number": body(
        400, "invalid_pixels", "row 3 of pixels is a number", "28", json={"pixels": [*PIXELS[:3], 1, *PIXELS[4:]]},
    ),
    "colours": body(400, "invalid_pixels", "28 x 28 x 3", "grey", json={"pixels": [[[0] * 3] * 28] * 28}),
    "NaN": body(400, "invalid_pixels", "row 3, column 5", "nan", data=pixels(float("nan"))),
    "infinity": body(400, "invalid_pixels", "row 3, column 5", "inf", data=pixels(float("inf"))),
    "negative": body(400, "invalid_pixels", "row 3, column 5", "is -1", data=pixels(-1)),
    "above 255": body(400, "invalid_pixels", "is 256", "0..255", data=pixels(256)),
    "above 1": body(400, "invalid_pixels", "is 1.5", "0..1", data=pixels(1.5)),
    "a huge number": body(400, "invalid_pixels", "row 3, column 5", data=pixels(int(HUGE))),
    "true": body(400, "invalid_pixels", "booleans beside numbers", "plain numbers", data=pixels(True)),
    "null pixel": body(400, "invalid_pixels", "null", "plain numbers", data=pixels(None)),
    "no body": body(400, "empty_body", "empty", "multipart", "JSON"),
    "empty base64": body(400, "empty_body", "b64 is empty", json={"image": {"b64": ""}}),
    "form without files": body(
        400, "empty_body", "fields other", "named `image`", data={"other": "1"}, content_type=FORM,
    ),
    "form with a text": body(400, "bad_request", "not base64", "=@7.png", data={"image": "7.png"}, content_type=FORM),
    "form without a boundary": body(400, "bad_request", "no boundary", "fetch", data=b"x", content_type=FORM),
    "one empty file": body(400, "empty_body", "empty", data=form(b"")),
    "cut short": body(400, "damaged_image", "PNG", "damaged", "save it again", data=SEVEN[: len(SEVEN) // 2]),
    "no such path": Case("/v1/predictions", 404, "not_found", ("/v1/predictions", "POST /v1/predict", "/v2", "/docs")),
    "no such model": Case("/v1/predict?model=cmn", 404, "unknown_model", ("'cmn'", "fake, plain")),
    "no such model to explain": Case("/v1/explain?model=cmn", 404, "unknown_model", ("'cmn'", "fake, plain")),
    "no such model to list": Case("/v1/models/cmn", 404, "unknown_model", ("'cmn'", "fake, plain"), {}, "GET"),
    "no such version": Case("/v1/predict?version=9", 404, "unknown_model", ("'9'", "1, 2, 10")),
    "no such label": Case("/v1/explain?version=best", 404, "unknown_model", ("'best'", "stable", "canary")),
    "no such explanation": Case(
        "/v1/explanations/" + "0a" * 16, 404, "unknown_explanation", ("0a0a", "newer ones", "/v1/explain"), {}, "GET"
    ),
    "no id": Case("/v1/explanations/latest", 404, "unknown_explanation", ("'latest'", "32 digits"), {}, "GET"),
    "an id in another format": Case(
        f"/v1/explanations/{'0a' * 16}.jpg", 404, "unknown_explanation", (".jpg", ".png or .svg"), {}, "GET"
    ),
    "an id in two formats": Case(
        f"/v1/explanations/{'0a' * 16}.png?format=svg", 400, "unknown_option", ("'format'", "frame"), {}, "GET"
    ),
    "an explanation as a PDF": Case(
        f"/v1/explanations/{'0a' * 16}", 406, "not_acceptable", ("application/pdf", "image/png"),
        {"headers": {"Accept": "application/pdf"}}, "GET",
    ),
    "no such method": Case("/v1/explain?method=shapely", 404, "unknown_method", ("'shapely'", "shapley, lime")),
    "GET predict": Case("/v1/predict", 405, "method_not_allowed", ("GET", "/v1/predict", "POST"), {}, "GET"),
    "POST models": Case("/v1/models", 405, "method_not_allowed", ("POST", "GET")),
    "Accept a page": Case(
        "/v1/explain", 406, "not_acceptable", ("text/html", "image/svg+xml", "application/x-npz"),
        {"data": SEVEN, "headers": {"Accept": "text/html"}},
    ),
    "Accept nothing": Case(
        "/v1/explain", 406, "not_acceptable", ("*/*;q=0", "application/json"),
        {"data": SEVEN, "headers": {"Accept": "*/*;q=0"}},
    ),
    "several as one PNG": Case(
        "/v1/explain?format=png", 406, "not_acceptable", ("2", "image/png", "JSON"), {"data": form(SEVEN, SEVEN)},
    ),
    "many pixels": body(
        413, "image_too_large", "10000 x 10000", "50,000,000", "smaller", data=announced(10_000, 10_000),
    ),
    "HEIC": body(
        415, "unsupported_image", "HEIC", "Most Compatible", "PNG, JPEG", data=b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    ),
    "PDF": body(415, "unsupported_image", "PDF", "PNG, JPEG", data=b"%PDF-1.7\n"),
    "text": body(415, "unsupported_image", "68 65 6c", "PNG, JPEG", data=b"hello"),
    "a page in base64": body(415, "unsupported_image", "HTML", json={"image": {"b64": b64encode(b"<html>").decode()}}),
    "blank": body(422, "blank_image", "blank", "darker pen", data=encoded(Image.new("L", (90, 90), 255))),
    "blank pixels": body(422, "blank_image", "blank", "all 0", "12%", "paper as 0", json={"pixels": PIXELS}),
    "what the model cannot do": Case(
        "/v1/explain?model=plain&method=grad_cam", 422, "method_not_possible",
        ("plain", "grad_cam", "feature_map", "shapley, lime, occlusion, rise, saliency"),
    ),
}  # fmt: skip
ELSEWHERE = {  # test_http_limits, test_app, test_tensorflow_serving, test_keys, test_rate_limits, test_repository
    "engine_not_installed",  # test_reference, test_lite
    "feedback_not_kept",  # test_feedback
    "unknown_job", "job_not_kept", "job_not_done",  # tests/bulk/test_jobs
    "misdirected_request",  # test_hosts
    "internal_error", "body_too_large", "not_ready", "out_of_time", "key_in_query", "unauthorized", "forbidden",
    "too_many_requests", "invalid_tensor", "unknown_signature", "unknown_label", "broken_model", "busy", "client_left",
    "stopping", "queue_full", "out_of_memory",  # the last two: test_twinless and test_chunks
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_callers_mistake(client: FlaskClient, caplog: pytest.LogCaptureFixture, name: str) -> None:
    case = CASES[name]
    check_error(client.open(case.target, method=case.method, **case.sent), case.status, case.code, case.words)
    assert not errors_in(caplog)
    check_next(client)


def test_every_error_class_is_met() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ServiceError)]
    met = {case.code for case in CASES.values()} | ELSEWHERE
    assert {one.code for one in classes} <= met
    for one in classes:
        assert {case.status for case in CASES.values() if case.code == one.code} <= {one.status}


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("GET", "/v1/predict", {"POST", "OPTIONS"}),
    ("DELETE", "/v1/explain", {"POST", "OPTIONS"}),
    ("POST", "/v1/models/fake", {"GET", "HEAD", "OPTIONS"}),
])  # fmt: skip
def test_allow_names_what_is_possible(client: FlaskClient, method: str, path: str, allowed: set[str]) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == allowed


class Reset(io.BytesIO):
    """The body of a request whose client has reset the connection."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}


@pytest.mark.parametrize("fields", [{"CONTENT_LENGTH": "9"}, CHUNKED], ids=["with a length", "chunked"])
def test_a_broken_connection_is_the_callers_mistake(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    broken = {"wsgi.input": Reset(), **fields}
    response = client.post("/v1/predict", content_type="image/png", environ_overrides=broken)
    check_error(response, 400, "bad_request")
    assert not errors_in(caplog)


@pytest.mark.parametrize("sent", [SEVEN[:100], b""])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/models/fake:predict", "/v2/models/fake/infer"])
def test_error_says_that_a_body_breaks_off(client: FlaskClient, path: str, sent: bytes) -> None:
    announced = {"CONTENT_LENGTH": str(len(SEVEN))}
    response = client.post(path, input_stream=io.BytesIO(sent), environ_overrides=announced)
    check_error(response, 400, "bad_request", ("breaks off", str(len(SEVEN))))
