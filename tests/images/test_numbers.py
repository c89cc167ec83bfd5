"""Pictures sent as numbers: which scale they are on, how they may be nested, and what is refused or doubted."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from server.errors import BlankImage, InvalidPixels
from server.images import from_array, from_pixels, looks_blank
from server.types import Array, ImageSpec
from tests.conftest import MakeApp
from tests.support.answers import MODEL, check_error
from tests.support.models.stores import encoded
from tests.support.processes.servers import Running, ask

SPEC = ImageSpec(28, 28)
SCALE_1, SCALE_255 = "numbers read as 0 to 1", "numbers read as 0 to 255"
SHAPES = [(784,), (28, 28, 1), (1, 28, 28), (1, 784), (784, 1), (1, 28, 28, 1)]
LONGEST = 300  # characters of a message


def drawn(width: int = 2, dark: bool = False) -> Array:
    """A 7 as the nets know it, uint8: light strokes of so many pixels on black, or dark ones on white."""
    fine = Image.new("L", (112, 112), 0)
    ImageDraw.Draw(fine).line([(30, 24), (80, 24), (52, 90)], fill=255, width=4 * width)
    image = np.array(fine.reduce(4))
    return 255 - image if dark else image


SEVEN = drawn()
BINARY = (SEVEN > 127).astype(int)


def with_entry(value: object, of: object = 0) -> list[list[object]]:
    """28 x 28 times the same, but for row 2, column 7."""
    table: list[list[object]] = [[of] * 28 for _ in range(28)]
    table[2][7] = value
    return table


def up_to(highest: int, lowest: int = 0) -> Array:
    """28 x 28 whole numbers, drawn as a 7."""
    return np.rint(lowest + SEVEN / 255 * (highest - lowest)).astype(int)


def codes(warnings: tuple[str, ...] | list[str]) -> list[str]:
    return [warning.partition(":")[0] for warning in warnings]


@pytest.mark.parametrize(
    ("pixels", "expected", "step"),
    [
        pytest.param(SEVEN.tolist(), SEVEN / 255, SCALE_255, id="whole"),
        pytest.param(SEVEN.astype(float).tolist(), SEVEN / 255, SCALE_255, id="whole floats"),
        pytest.param((SEVEN / 255).tolist(), SEVEN / 255, SCALE_1, id="fractions"),
        pytest.param((SEVEN / 510).tolist(), SEVEN / 510, SCALE_1, id="fractions below 1"),
        pytest.param(BINARY.tolist(), BINARY, SCALE_1, id="0 and 1"),
        pytest.param(BINARY.astype(float).tolist(), BINARY, SCALE_1, id="0.0 and 1.0"),
        pytest.param(BINARY.astype(bool).tolist(), BINARY, SCALE_1, id="false and true"),
        pytest.param(with_entry(1, of=0.5), np.array(with_entry(1, of=0.5)), SCALE_1, id="whole beside fractions"),
        pytest.param(with_entry(255, of=1), np.array(with_entry(255, of=1)) / 255, SCALE_255, id="1 below 255"),
    ],
)
def test_the_scale_is_told_by_the_numbers(pixels: object, expected: Array, step: str) -> None:
    digit = from_pixels(pixels, SPEC)
    assert digit.pixels.dtype == np.float32 and np.array_equal(digit.pixels, expected.astype(np.float32))
    placement = digit.placement
    assert (placement.steps, placement.warnings) == ((step,), ())
    assert (placement.transform, placement.width, placement.height) == ((1, 0, 0, 0, 1, 0), 28, 28)
    assert np.array_equal(placement.picture, np.rint(expected * 255).astype(np.uint8)[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_and_lists_of_one_are_the_same_picture(shape: tuple[int, ...]) -> None:
    digit = from_pixels(SEVEN.reshape(shape).tolist(), SPEC)
    assert np.array_equal(digit.pixels, SEVEN / np.float32(255))
    assert digit.placement.steps == (f"{' x '.join(map(str, shape))} numbers read as 28 x 28", SCALE_255)


def test_another_model_takes_another_size() -> None:
    spec, image = ImageSpec(8, 9), SEVEN[4:12, 8:17]
    for shape in ((8, 9), (72,), (1, 8, 9)):
        assert np.array_equal(from_pixels(image.reshape(shape).tolist(), spec).pixels, image / np.float32(255))
    with pytest.raises(InvalidPixels, match="expected 8 rows of 9"):
        from_pixels(SEVEN.tolist(), spec)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((8, 8), ("8 rows of 8", "scikit-learn", "enlarge", "28 x 28", "picture")),
        ((64,), ("one row of 64", "scikit-learn", "enlarge")),
        ((1, 8, 8), ("scikit-learn",)),
        ((32, 32), ("32 rows of 32", "Resize", "28 x 28")),
        ((56, 56), ("56 rows of 56", "Resize")),
        ((16, 49), ("16 rows of 49",)),  # as many, but not in rows of 28
        ((14, 2, 28), ("14 x 2 x 28",)),
        ((27, 28), ("27 rows of 28",)),
        ((28, 27), ("28 rows of 27",)),
        ((783,), ("one row of 783",)),
        ((28, 28, 3), ("28 x 28 x 3", "grey")),
        ((3, 28, 28), ("3 x 28 x 28", "grey")),
        ((28, 28, 4), ("28 x 28 x 4", "grey")),
        ((5, 28, 28), ("5 x 28 x 28", "one picture at a time")),
        ((5, 784), ("5 rows of 784", "one picture at a time")),
        ((0,), ("empty",)),
        ((28, 0), ("28 rows of 0",)),
        ((1, 1, 1, 1, 1, 1, 28, 28), ("1 x 1 x 1 x 1 x 1 x 1",)),
    ],
    ids=str,
)
def test_other_sizes_are_refused_with_the_cure(shape: tuple[int, ...], words: tuple[str, ...]) -> None:
    check_refused(np.ones(shape, int).tolist(), words)


def check_refused(pixels: object, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidPixels) as caught:
        from_pixels(pixels, SPEC)
    told = str(caught.value)
    assert "expected 28 rows of 28 numbers" in told and len(told) < LONGEST
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        pytest.param(None, ("null",), id="null"),
        pytest.param(7, ("a number",), id="number"),
        pytest.param(True, ("true",), id="true"),
        pytest.param("x" * 784, ("a text",), id="text"),
        pytest.param({"0": [0] * 784}, ("an object",), id="object"),
        pytest.param([[0] * 28] * 27 + [[0] * 27], ("row 27", "27 entries", "28 entries"), id="short last row"),
        pytest.param([[0] * 27] + [[0] * 28] * 27, ("row 0", "27 entries", "row 1"), id="short first row"),
        pytest.param([[0] * 28] * 27 + [5], ("row 27", "a number"), id="a number for a row"),
        pytest.param([5] + [[0] * 28] * 27, ("row 0", "a number", "row 1"), id="a number for the first row"),
        pytest.param([[0] * 28] * 27 + ["x" * 28], ("row 27", "a text"), id="a text for a row"),
        pytest.param([[[0]] * 28] * 27 + [[[0]] * 27 + [[]]], ("entry 783", "0 entries"), id="no channel"),
        pytest.param(with_entry([0]), ("lists beside numbers",), id="a list for a number"),
        pytest.param(with_entry("1"), ("texts beside numbers",), id="a text for a number"),
        pytest.param([["0"] * 28] * 28, ("holds texts;",), id="texts"),
        pytest.param(with_entry(True), ("booleans beside numbers",), id="a boolean beside numbers"),
        pytest.param(with_entry(None), ("null",), id="null for a number"),
        pytest.param(with_entry({}), ("objects",), id="an object for a number"),
        pytest.param(with_entry(256), ("row 2, column 7", "256", "0..255"), id="256"),
        pytest.param(with_entry(65535), ("65535", "Scale"), id="16 bits"),
        pytest.param(with_entry(-1), ("row 2, column 7", "-1", "negative"), id="-1"),
        pytest.param(with_entry(-0.4242, 0.1), ("-0.4242", "mean"), id="standardised"),
        pytest.param(with_entry(10**400), ("row 2, column 7", "10000"), id="10^400"),
        pytest.param(with_entry(-(10**400), 300), ("row 0, column 0", "300"), id="-10^400"),
        pytest.param(with_entry(1e300, 0.5), ("row 2, column 7", "1e+300"), id="1e300"),
        pytest.param(with_entry(1.01, 0.5), ("row 2, column 7", "1.01", "clip"), id="1.01"),
        pytest.param(with_entry(float("nan"), 0.0), ("row 2, column 7", "nan", "finite"), id="nan"),
        pytest.param(with_entry(float("inf"), 0), ("row 2, column 7", "inf", "finite"), id="inf"),
        pytest.param(with_entry(127.5, 200), ("row 2, column 7", "127.5", "200", "divide"), id="127.5"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(pixels: object, words: tuple[str, ...]) -> None:
    check_refused(pixels, words)


@pytest.mark.parametrize("highest", [2, 9, 15, 16])
def test_a_scale_that_ends_early_is_read_as_255_with_a_warning(highest: int) -> None:
    digit = from_pixels(up_to(highest).tolist(), SPEC)
    assert np.array_equal(digit.pixels, up_to(highest).astype(np.float32) / np.float32(255))
    assert digit.placement.steps == (SCALE_255,)
    (warning,) = digit.placement.warnings
    assert warning.startswith("unusual-scale: ")
    assert f"the highest number is {highest} " in warning and "scikit-learn" in warning
    assert f"divide all by {highest}" in warning
    cured = from_pixels((up_to(highest) / highest).tolist(), SPEC)  # what the warning advises
    assert cured.placement.warnings == () and cured.pixels.max() == 1


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param([[0] * 28] * 28, id="0"),
        pytest.param([0] * 784, id="0 in a row"),
        pytest.param([[1] * 28] * 28, id="1"),
        pytest.param([[False] * 28] * 28, id="false"),
        pytest.param([[True] * 28] * 28, id="true"),
        pytest.param([[7] * 28] * 28, id="7"),
        pytest.param([[255] * 28] * 28, id="255"),
        pytest.param([[0.5] * 28] * 28, id="0.5"),
        pytest.param(up_to(29).tolist(), id="to 29"),
        pytest.param(up_to(17).tolist(), id="to 17"),
        pytest.param(up_to(255, 226).tolist(), id="226 to 255"),
        pytest.param((SEVEN / 255 * 0.117).tolist(), id="to 0.117"),
        pytest.param((SEVEN / 255 / 255).tolist(), id="divided twice"),
    ],
)
def test_blank_numbers_are_refused_as_a_blank_picture_is(pixels: object) -> None:
    with pytest.raises(BlankImage, match=r"blank.*at least 12%.*paper as 0 and ink as") as caught:
        from_pixels(pixels, SPEC)
    assert "differ by 12%" not in str(caught.value)


@pytest.mark.parametrize("pixels", [up_to(30), up_to(255, 225), SEVEN / 255 * 0.118], ids=["30", "225", "0.118"])
def test_a_faint_picture_is_none_that_is_blank(pixels: Array) -> None:
    from_pixels(pixels.tolist(), SPEC)
    from_pixels(with_entry(255), SPEC)  # neither is a dot, which is where it is and as it is


@pytest.mark.parametrize(
    ("image", "top"),
    [(drawn(dark=True), 255), (1 - BINARY, 1), (drawn(dark=True) / 255, 1), (drawn(4, True), 255)],
    ids=["whole", "0 and 1", "fractions", "thick"],
)
def test_dark_ink_on_light_paper_is_taken_as_it_is_with_a_warning(image: Array, top: int) -> None:
    digit = from_pixels(image.tolist(), SPEC)
    assert np.array_equal(digit.pixels, (image / np.float32(top)).astype(np.float32))
    (warning,) = digit.placement.warnings
    assert warning.startswith("looks-inverted: ") and "0 is paper" in warning and f"{top} - x" in warning
    assert from_pixels((top - image).tolist(), SPEC).placement.warnings == ()  # what the warning advises


def test_grey_paper_is_not_light_by_itself_but_beside_its_ink() -> None:
    paper = 100 - 80 * (SEVEN / 255)
    assert codes(from_pixels(np.rint(paper).astype(int).tolist(), SPEC).placement.warnings) == ["looks-inverted"]


@pytest.mark.parametrize(
    "image",
    [drawn(6), np.pad(np.full((28, 20), 255), ((0, 0), (4, 4))), np.random.default_rng(0).integers(0, 256, (28, 28))],
    ids=["thick", "a wide bar", "noise"],
)
def test_much_ink_is_not_called_inverted(image: Array) -> None:
    assert from_pixels(image.tolist(), SPEC).placement.warnings == ()


def test_an_inverted_picture_may_end_early_too() -> None:
    found = from_pixels((16 - up_to(16)).tolist(), SPEC).placement
    assert codes(found.warnings) == ["unusual-scale", "looks-inverted"]


@settings(deadline=None)
@given(arrays(np.uint8, (28, 28), fill=st.nothing()), st.sampled_from([(28, 28), *SHAPES]))
def test_bytes_are_the_same_picture_however_they_are_sent(image: Array, shape: tuple[int, ...]) -> None:
    image[0, 0], image[27, 27] = 0, 255
    expected = image / np.float32(255)
    sent = [image, image.astype(np.float64)]
    for numbers in sent:
        found = from_pixels(json.loads(json.dumps(numbers.reshape(shape).tolist())), SPEC)
        assert np.array_equal(found.pixels, expected)
    parts = from_pixels((image / 255).reshape(shape).tolist(), SPEC)
    assert parts.pixels == pytest.approx(expected, abs=1e-6)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner))
NEARLY = st.builds(
    lambda table, row, column, value: [*table[:row], [*table[row][:column], value, *table[row][column + 1 :]],
                                       *table[row + 1 :]],
    st.sampled_from([SEVEN.tolist(), BINARY.tolist(), (SEVEN / 255).tolist(), BINARY.astype(bool).tolist()]),
    st.integers(0, 27), st.integers(0, 27), ANYTHING,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(ANYTHING | NEARLY)
def test_whatever_is_sent_is_a_picture_or_told_what_is_wrong(pixels: object) -> None:
    told = ""
    try:
        digit = from_pixels(pixels, SPEC)
    except (InvalidPixels, BlankImage) as error:
        told = str(error)
    else:
        assert digit.pixels.shape == (28, 28) and digit.pixels.dtype == np.float32
        assert digit.pixels.min() >= 0 and digit.pixels.max() <= 1
        assert digit.placement.steps != ()
    assert len(told) < LONGEST


def test_a_tensors_row_that_is_blank_has_a_warning() -> None:
    images = np.stack([np.zeros((28, 28)), np.full((28, 28), 1), up_to(29) / 255, up_to(30) / 255, SEVEN / 255])
    images = images.astype(np.float32)
    assert looks_blank(images).tolist() == [True, True, True, False, False]
    for image, blank in zip(images, looks_blank(images), strict=True):
        digit = from_array(image)
        assert codes(digit.placement.warnings) == ["looks-blank"] * int(blank)
        assert digit.placement.steps == () and digit.pixels is image


PATHS = ("/v1/predict", "/v1/explain?method=saliency", "/v1/adversarial?method=fgsm")


def preprocessing(client: FlaskClient, pixels: Array, path: str) -> dict[str, Any]:
    response = client.post(path, json={"pixels": pixels.tolist()})
    assert response.status_code == 200, response.data
    found: dict[str, Any] = response.get_json()["preprocessing"]
    return found


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_says_how_the_numbers_were_read(client: FlaskClient, path: str) -> None:
    found = preprocessing(client, BINARY, path)
    assert (found["steps"], found["warnings"]) == ([SCALE_1], [])
    found = preprocessing(client, (16 - up_to(16)).ravel(), path)
    assert found["steps"] == ["784 numbers read as 28 x 28", SCALE_255]
    assert codes(found["warnings"]) == ["unusual-scale", "looks-inverted"]


def test_what_is_doubtful_stands_in_the_words_of_an_explanation_too(client: FlaskClient) -> None:
    sent = {"pixels": drawn(dark=True).tolist()}
    assert "Note: looks-inverted" in client.post("/v1/explain?method=saliency", json=sent).get_json()["alt"]
    compared = client.post("/v1/compare?methods=saliency,occlusion", json=sent).get_json()
    for one in compared["explanations"]:
        assert codes(one["preprocessing"]["warnings"]) == ["looks-inverted"]


@pytest.mark.parametrize("path", [*PATHS, "/v1/compare?methods=saliency,occlusion"])
def test_blank_numbers_are_answered_as_a_blank_png(client: FlaskClient, path: str) -> None:
    picture = b64encode(encoded(Image.new("L", (28, 28)))).decode()
    for sent in ({"pixels": [[0] * 28] * 28}, {"image": {"b64": picture}}):
        check_error(client.post(path, json=sent), 422, "blank_image", ("blank",))


@pytest.mark.parametrize("kind", [int, float, bool], ids=lambda kind: kind.__name__)
def test_a_binarised_canvas_is_read_by_the_shipped_net(explaining: Running, kind: type) -> None:
    body = json.dumps({"pixels": BINARY.astype(kind).tolist()}).encode()
    status, _, answer = ask(f"{explaining.url}/v1/predict", body)
    assert (status, answer["prediction"]["label"]) == (200, "7") and answer["in_distribution"]["ok"]


ROWS = np.stack([SEVEN / 255, np.zeros((28, 28)), BINARY, np.full((28, 28), 0.3)]).astype(np.float32)
BLANK_ROWS = "rows 1, 3 of 4"


def tensors(rows: Array, **parameters: Any) -> dict[str, Any]:
    """A request of Open Inference."""
    sent = {"name": "images", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return {"id": "mine", "inputs": [sent], "parameters": parameters}


def infer(client: FlaskClient, rows: Array, verb: str = "infer", **parameters: Any) -> dict[str, Any]:
    response = client.post(f"/v2/models/fake/{verb}", json=tensors(rows, **parameters))
    assert response.status_code == 200, response.data
    head = response.headers.get("Inference-Header-Content-Length")
    found: dict[str, Any] = json.loads(response.data[: int(head)] if head else response.data)
    return found


@pytest.mark.parametrize(
    ("verb", "parameters"),
    [("infer", {}), ("infer", {"binary_data_output": True}), ("explain", {"method": "saliency"})],
    ids=["infer", "binary", "explain"],
)
def test_open_inference_tells_of_blank_rows(client: FlaskClient, verb: str, parameters: dict[str, Any]) -> None:
    answer = infer(client, ROWS, verb, **parameters)
    assert answer["id"] == "mine" and len(answer["outputs"]) >= 2
    (warning,) = answer["parameters"].values()
    assert warning == answer["parameters"]["warnings"]
    assert warning.startswith("looks-blank: ") and BLANK_ROWS in warning
    assert "row 0 of 1 " in infer(client, ROWS[1:2], verb, **parameters)["parameters"]["warnings"]
    assert "parameters" not in infer(client, ROWS[::2], verb, **parameters)


def test_many_blank_rows_are_told_in_few_words(make_app: MakeApp) -> None:
    client = make_app(max_rows=1000).test_client()
    told = infer(client, np.zeros((1000, 28, 28), np.float32))["parameters"]["warnings"]
    assert "rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more of 1000" in told and len(told) < LONGEST
    assert "more" not in infer(client, np.zeros((10, 28, 28), np.float32))["parameters"]["warnings"]


def test_v1_explain_tells_of_a_blank_row_in_its_words(client: FlaskClient) -> None:
    sent = {"instances": ROWS.tolist(), "parameters": {"method": "saliency"}}
    told = client.post("/v1/models/fake:explain", json=sent).get_json()["explanations"]
    for one, blank in zip(told, looks_blank(ROWS), strict=True):
        assert codes(one["preprocessing"]["warnings"]) == ["looks-blank"] * int(blank)
        assert ("Note: looks-blank" in one["alt"]) is bool(blank)


def test_v1_predict_answers_a_blank_row_as_any_other(client: FlaskClient) -> None:
    told = client.post("/v1/models/fake:predict", json={"instances": ROWS.tolist()}).get_json()
    assert list(told) == ["predictions"]
    assert [list(row) for row in told["predictions"]] == [["logits", "probabilities"]] * len(ROWS)
    assert np.array([row["logits"] for row in told["predictions"]]) == pytest.approx(MODEL.forward(ROWS), rel=1e-5)
