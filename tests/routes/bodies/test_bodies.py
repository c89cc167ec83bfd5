"""Bodies that unfold: compressed ones on every address, and JSON that is read in steps, with what both may cost."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse

from server.errors import BodyTooLarge, InvalidTensor
from server.routes.bodies.content_encoding import MAX_MEMBERS
from server.routes.bodies.json_reader import MAX_OTHER, STEP, read_json
from server.routes.bodies.nested_lists import Numbers, numbers
from server.types import Array
from tests.conftest import MakeApp
from tests.support.answers import MODEL, check_error, check_next, errors_in
from tests.support.models.stores import SEVEN, form

MIB = 1 << 20
PREDICT, INFER = "/v1/models/fake:predict", "/v2/models/fake/infer"
PICTURES = ["/v1/predict", "/v1/explain", "/v1/compare?methods=saliency,shapley", "/v1/adversarial"]
ROWS: Array = np.round(np.random.default_rng(0).random((1024, 28, 28)), 3)
GZIP = {"Content-Encoding": "gzip"}


def post(client: FlaskClient, body: bytes, path: str = "/v1/predict", **options: Any) -> TestResponse:
    return client.post(path, data=body, **options)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@contextmanager
def costing_at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["raw", "JSON", "form"])
@pytest.mark.parametrize("path", PICTURES)
def test_every_address_of_pictures_takes_compressed_bodies(client: FlaskClient, path: str, kind: str) -> None:
    pixels = (np.arange(784).reshape(28, 28) % 28 * 9).tolist()
    sent: dict[str, Any] = {"raw": {"data": SEVEN}, "JSON": {"json": {"pixels": pixels}}}.get(
        kind, {"data": form(SEVEN)}
    )
    built = EnvironBuilder(method="POST", **sent).get_environ()
    plain, content_type = built["wsgi.input"].read(), built.get("CONTENT_TYPE")
    expected = client.post(path, data=plain, content_type=content_type)
    assert expected.status_code == 200
    for encoding, squeeze in (("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)):
        response = post(client, squeeze(plain), path, content_type=content_type, headers={"Content-Encoding": encoding})
        assert response.get_json() == expected.get_json()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "compress", "x" * 9999])
@pytest.mark.parametrize("path", [*PICTURES, PREDICT, INFER])
def test_other_and_stacked_encodings_are_refused(client: FlaskClient, path: str, encoding: str) -> None:
    response = post(client, gzip.compress(gzip.compress(SEVEN)), path, headers={"Content-Encoding": encoding})
    check_error(response, 400, "bad_request", (encoding[:99], "gzip, deflate or none"))
    assert len(response.data) < 500


@pytest.mark.parametrize("encoding", ["gzip, identity", "identity, gzip", ", gzip"])
def test_identity_is_no_encoding(client: FlaskClient, encoding: str) -> None:
    response = post(client, gzip.compress(SEVEN), headers={"Content-Encoding": encoding})
    assert response.get_json() == post(client, SEVEN).get_json()


def test_several_gzip_streams_are_one_file(client: FlaskClient) -> None:
    parts = [SEVEN[:100], b"", SEVEN[100:]]
    body = b"".join(map(gzip.compress, parts))
    assert post(client, body, headers=GZIP).get_json() == post(client, SEVEN).get_json()
    many = gzip.compress(b"") * MAX_MEMBERS + gzip.compress(SEVEN)
    check_error(post(client, many, headers=GZIP), 400, "bad_request", (str(MAX_MEMBERS), "compress it as one"))


@pytest.mark.parametrize(("body", "encoding", "word"), [
    (gzip.compress(SEVEN)[:-1], "gzip", "breaks off"),
    (gzip.compress(SEVEN) + b"more", "gzip", "header"),
    (gzip.compress(SEVEN) + gzip.compress(SEVEN)[:9], "gzip", "breaks off"),
    (zlib.compress(SEVEN) * 2, "deflate", "more follows"),
    (SEVEN, "gzip", "header"),
    (SEVEN, "deflate", "header"),
], ids=["cut", "more", "second cut", "deflate twice", "not gzip", "not deflate"])  # fmt: skip
def test_damaged_ones_are_refused(client: FlaskClient, body: bytes, encoding: str, word: str) -> None:
    response = post(client, body, headers={"Content-Encoding": encoding})
    check_error(response, 400, "bad_request", (f"not {encoding}", word, "compress it again"))


@pytest.mark.parametrize("squeeze", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/v1/predict", PREDICT])
def test_a_bomb_costs_little(client: FlaskClient, path: str, squeeze: Callable[[bytes], bytes]) -> None:
    bomb = squeeze(bytes(12 * MIB))
    encoding = {"Content-Encoding": "gzip" if squeeze is gzip.compress else "deflate"}
    with costing_at_most(8 * MIB):
        check_error(post(client, bomb, path, headers=encoding), 413, "body_too_large", ("200 times", str(len(bomb))))
    check_next(client)


def test_small_bodies_may_be_squeezed_as_far_as_they_can(client: FlaskClient) -> None:
    body = gzip.compress(compact({"instances": [[0] * 784] * 600}))
    assert len(body) * 200 < 600 * 784 * 2
    assert len(post(client, body, PREDICT, headers=GZIP).get_json()["predictions"]) == 600


def test_a_picture_is_no_larger_inflated_than_otherwise(make_app: MakeApp) -> None:
    client = make_app(max_body_bytes=20_000).test_client()
    padded = SEVEN + np.random.default_rng(0).integers(0, 16, 20_000, np.uint8).tobytes()
    assert len(gzip.compress(padded)) < 20_000
    check_error(post(client, gzip.compress(padded), headers=GZIP), 413, "body_too_large", ("20000", "inflates"))


SHAPES = [(28, 28), (28, 28, 1), (784,)]
TENSORS: dict[str, Callable[[Array], tuple[str, Any]]] = {
    "rows": lambda rows: (PREDICT, {"instances": rows.tolist()}),
    "named rows": lambda rows: (PREDICT, {"instances": [{"images": row} for row in rows.tolist()]}),
    "columns": lambda rows: (PREDICT, {"inputs": rows.tolist()}),
    "named columns": lambda rows: (PREDICT, {"inputs": {"images": rows.tolist()}}),
    "flat": lambda rows: (INFER, infer(rows, rows.ravel().tolist())),
    "nested": lambda rows: (INFER, infer(rows, rows.tolist())),
}


def infer(rows: Array, data: Any) -> Any:
    return {"inputs": [{"data": data, "name": "images", "shape": list(rows.shape), "datatype": "FP32"}]}


@pytest.mark.parametrize(("shape", "rows"), [((28, 28), 70), ((784,), 70), ((28, 28, 1), 1024)], ids=str)
@pytest.mark.parametrize("name", TENSORS)
def test_large_tensors_are_read(client: FlaskClient, name: str, shape: tuple[int, ...], rows: int) -> None:
    images = ROWS[:rows]
    path, sent = TENSORS[name](images.reshape(-1, *shape))
    answer = post(client, json.dumps(sent).encode(), path).get_json()
    if path == INFER:
        found = np.reshape(answer["outputs"][0]["data"], (-1, 10))
    else:
        found = np.array(answer["outputs"]["logits"] if "outputs" in answer else [
            one["logits"] for one in answer["predictions"]
        ])  # fmt: skip
    assert found == pytest.approx(MODEL.forward(images.astype(np.float32)), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("spaces", [None, 2], ids=["short rows", "rows longer than a step"])
def test_a_large_text_is_read_as_a_small_one_is(spaces: int | None) -> None:
    value = {
        "text": 'é"\\\n' * STEP, "long": "x" * 3 * STEP, "empty": [{}, [], ""], "shape": [40, 28, 28],
        "mixed": [*range(9 * STEP // 8), None, True, "x", {"a": [1]}, [[]]], "rows": ROWS[:40].tolist(), "": -1.5e-7,
    }  # fmt: skip
    body = json.dumps(value, indent=spaces, ensure_ascii=False).encode()
    assert read_json(body) == value
    packed = read_json(body, ROWS.size)
    assert isinstance(packed["rows"], Numbers | list)
    assert (numbers(packed.pop("rows"), "rows") == ROWS[:40]).all()
    assert packed == {name: one for name, one in value.items() if name != "rows"}


def test_more_rows_than_are_answered_are_counted(client: FlaskClient) -> None:
    few = {"instances": [[0.5] * 784] * 1100}
    check_error(post(client, compact(few), PREDICT), 400, "bad_request", ("1100 rows", "at most 1024"))
    many = {"instances": [[0] * 784] * 2049}
    check_error(post(client, compact(many), PREDICT), 413, "body_too_large", ("1605632 numbers", "fewer rows"))


def filled(start: bytes, part: bytes, end: bytes) -> bytes:
    return start + part * (MIB // len(part)) + end


BOMBS = {
    "lists": filled(b'{"instances":[', b"[],", b"[]]}"),
    "numbers": filled(b'{"instances":[', b"0,", b"0]}"),
    "short lists": filled(b'{"instances":[', b"[0],", b"[0]]}"),
    "objects": filled(b'{"instances":[', b"{},", b"{}]}"),
    "nested objects": filled(b'{"instances":[', b'{"a":{}},', b"{}]}"),
    "texts": filled(b'{"instances":[', b'"ab",', b'""]}'),
    "truths": filled(b'{"instances":[', b"true,", b"true]}"),
    "unused": filled(b'{"instances":[[1]],"unused":[', b'["a"],', b"0]}"),
    "names": b"{" + b",".join(b'"%x":1' % number for number in range(110_000)) + b"}",
}


EVERYWHERE = [(PREDICT, name) for name in BOMBS] + [(path, "names") for path in (INFER, "/v1/predict")]


@pytest.mark.parametrize(("path", "name"), EVERYWHERE)
def test_values_are_counted_before_they_become_objects(make_app: MakeApp, path: str, name: str) -> None:
    client = make_app(max_rows=64).test_client()
    body = BOMBS[name].replace(b"instances", b"pixels" if path == "/v1/predict" else b"instances", 1)
    with costing_at_most(4 * len(body) + 16 * MIB):  # the body as bytes and as text, and what is read of it
        check_error(post(client, body, path, content_type="application/json"), 413, "body_too_large", ("more than",))
    check_next(client)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":[', b"[1," + b" " * STEP])
def test_deep_ones_are_refused(client: FlaskClient, caplog: pytest.LogCaptureFixture, opening: bytes) -> None:
    body = b'{"instances":' + opening * (4 * MIB // len(opening))
    for path in (PREDICT, INFER, "/v1/predict"):
        check_error(post(client, body, path), 400, "bad_request", ("nested too deep",))
    assert not errors_in(caplog)


@pytest.mark.parametrize(("body", "words"), [
    (b'{"instances": 1, "instances": 2}', ("'instances' twice",)),
    (b'{"a": [{"b": 1, "c": 2, "b": 3}]}', ("'b' twice",)),
    (b'\xef\xbb\xbf{"instances": []}', ("byte order mark", "send UTF-8")),
    ('{"instances": []}'.encode("utf-16"), ("byte order mark", "send UTF-8")),
    ('{"instances": []}'.encode("utf-16-be"), ("not UTF-8",)),
    ('{"instances": []}'.encode("utf-32-le"), ("not UTF-8",)),
    (b'{"instances": "\xff"}', ("byte 15 is not UTF-8",)),
    (b'{"instances": ' + b"9" * 5000 + b"}", ("more than 4300 digits",)),
    (b'{"instances": ' + b"9" * 3 * STEP + b"}", ("digits",)),
    (b'{"instances": 0.' + b"9" * 3 * STEP + b"}", ("digits",)),
    (b'{"instances": [' + b"1," * STEP + b"]}", ("Expecting value", f"char {15 + 2 * STEP}")),
    (b'{"instances": [' + b"1," * STEP + b"1}", ("Expecting ',' delimiter", f"char {16 + 2 * STEP}")),
    (b'{"a": [' + b"1," * STEP + b'1], "a": 1}', ("'a' twice",)),
    (b'{"a": [' + b"1," * STEP + b"1]} x", ("Extra data",)),
    (b'{"a": "' + b"x" * 3 * STEP + b'\n"}', ("control character",)),
    (b'{"a": "' + b"x" * 3 * STEP, ("Unterminated string",)),
    (b'{"a": "' + b"x\\n" * STEP + b"\\", ("Unterminated string",)),
    (b'{"a": "' + b"x\\n" * STEP + b'\\x"}', (r"Invalid \escape", f"char {7 + 3 * STEP}")),
    (b'{"a": "' + b"x\\n" * STEP + b'\\u12"}', ("Invalid \\u" + 4 * "X" + " escape",)),
    (b'{"a": "' + b"x" * 3 * STEP + b'" "b": 1}', ("Expecting ',' delimiter",)),
    (b'{"a" "' + b"x" * 3 * STEP + b'"}', ("Expecting ':' delimiter",)),
    (b'{"a": "' + b"x" * 3 * STEP + b'",}', ("property name",)),
    (b'{"a": "' + b"x" * 3 * STEP + b'", "b": nope}', ("Expecting value",)),
], ids=range(23))  # fmt: skip
def test_what_is_no_json_is_said_to_be(client: FlaskClient, body: bytes, words: tuple[str, ...]) -> None:
    for path, start in ((PREDICT, "JSON Parse error"), (INFER, "JSON Parse error"), ("/v1/predict", "not JSON")):
        check_error(post(client, body, path, content_type="application/json"), 400, "bad_request", (start, *words))


@pytest.mark.parametrize(("value", "words"), [
    ("0.5", ("texts", "numbers only")),
    (True, ("booleans", "numbers only")),
    (None, ("null", "numbers only")),
    ([], ("same shape",)),
    ([0.5], ("same shape",)),
    (10**400, ("too large",)),
    (1e300, ("row 700", "[2, 3]")),
    (float("nan"), ("row 700", "nan")),
    (1.5, ("row 700", "1.5", "[2, 3]")),
], ids=str)  # fmt: skip
def test_mistakes_in_a_large_tensor_are_found(client: FlaskClient, value: Any, words: tuple[str, ...]) -> None:
    rows = ROWS.tolist()
    rows[700][2][3] = value
    for path, sent in ((PREDICT, {"instances": rows}), (PREDICT, {"inputs": rows}), (INFER, infer(ROWS, rows))):
        check_error(post(client, compact(sent), path), 400, "invalid_tensor", words)


UNEVEN: dict[str, Callable[[list[Any]], list[Any]]] = {
    "a short row": lambda rows: [*rows[:-1], rows[-1][:-1]],
    "a number": lambda rows: [*rows, 1],
    "two sizes": lambda rows: [*rows[:512], *(row[:-1] for row in rows[512:])],
}


@pytest.mark.parametrize("name", UNEVEN)
def test_rows_of_several_shapes_are_refused(client: FlaskClient, name: str) -> None:
    for shape in SHAPES:
        rows = UNEVEN[name](ROWS.reshape(-1, *shape).tolist())
        response = post(client, compact({"instances": rows}), PREDICT)
        check_error(response, 400, "invalid_tensor")
        assert "same shape" in response.text or "row 1024 of images is 1; expected a list" in response.text


def test_large_lists_of_numbers_are_taken_for_nothing_else(client: FlaskClient) -> None:
    large = [0.5] * STEP
    for fields, words in (
        ({"parameters": large, "instances": []}, "non-empty"),
        ({"signature_name": large, "instances": [1]}, "signature_name is a list of"),
        ({"signature_name": "serving_bytes", "instances": large}, "no list of values"),
        ({"signature_name": "serving_bytes", "instances": [large]}, "image_bytes"),
        ({"instances": [{"images": large}, large]}, "instance 1 has a list"),
    ):
        response = post(client, compact(fields), PREDICT)
        assert response.status_code == 400 and words in response.text
    for name in ("id", "inputs", "outputs", "parameters"):
        response = post(client, compact({**infer(ROWS[:1], ROWS[:1].tolist()), name: large}), INFER)
        assert response.status_code == 400 and name in response.text
    check_error(post(client, compact(large), PREDICT), 400, "bad_request", ("a list", "object"))


def test_the_most_other_values_are_read() -> None:
    rows = [{"b64": "x"}] * (MAX_OTHER // 2 - 2)
    assert read_json(compact({"instances": rows})) == {"instances": rows}
    with pytest.raises(BodyTooLarge):
        read_json(compact({"instances": [*rows, *rows[:10]]}))


def test_numbers_of_uneven_rows_have_no_array() -> None:
    with pytest.raises(InvalidTensor, match="same shape"):
        numbers([Numbers(ROWS[0]), Numbers(ROWS[0][:3])], "images")
