"""LiteRT files from a SavedModel: joined without loss, refused where they answer otherwise, and the next version."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

from server.models.card import CARD, read_card
from server.models.interpreters import InterpreterPool
from server.models.litert import explaining_model, predictor
from server.models.savedmodel import SavedModel
from tests.support.models.nets import digits
from tests.support.models.tiny import save, write_tiny
from training.commands import main
from training.errors import ConversionError, DataError
from training.litert import conversion
from training.litert.conversion import ConvertedFile
from training.litert.flatbuffer import ALIGNMENT, join, operators
from training.litert.subpixel import rewritten
from training.store.next_version import convert


@pytest.fixture(scope="module")
def trackable(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tf.saved_model.load(str(save(tmp_path_factory.mktemp("net") / "net")))


@pytest.fixture(scope="module")
def files(trackable: Any) -> list[ConvertedFile]:
    """Blocks are chosen as if a row were quicker in the larger ones: what is measured is not the same every time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "faster_block", lambda models, small, large: large)
        return conversion.convert(trackable)


def thousand() -> np.ndarray:
    return np.resize(digits(), (1000, 28, 28))


# One flatbuffer of several.


def multiplied(factor: float, rows: int = 2) -> bytes:
    """A model that multiplies by weights which all such models share, and by a factor of its own."""
    shared = tf.constant(np.arange(400, dtype=np.float32).reshape(20, 20))

    @tf.function(input_signature=[tf.TensorSpec((rows, 20), tf.float32, "x")])
    def times(x: Any) -> Any:
        return {"y": factor * tf.nn.relu(tf.matmul(x, shared))}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([times.get_concrete_function()], tf.Module())
    return bytes(converter.convert())


def answered(model: bytes, name: str | None = None) -> np.ndarray:
    runner = Interpreter(model_content=model).get_signature_runner(name)
    rows = runner.get_input_details()["x"]["shape"][0]
    found: np.ndarray = runner(x=np.linspace(0, 1, rows * 20, dtype=np.float32).reshape(rows, 20))["y"]
    return found


def test_joined_models_answer_as_each_did_and_share_their_weights() -> None:
    parts = {"double_2": multiplied(2.0), "triple_5": multiplied(3.0, 5), "double_5": multiplied(2.0, 5)}
    joined = join(parts)
    for name, part in parts.items():
        assert np.array_equal(answered(joined, name), answered(part))
    assert len(joined) < len(parts["double_2"]) + 2000 < 2 * len(parts["double_2"]) + 2000
    assert operators(joined) == sum(map(operators, parts.values()))


def test_weights_lie_where_kernels_may_read_them() -> None:
    """At multiples of 16 bytes; the generated code puts them at multiples of 4."""
    joined = join({"double_2": multiplied(2.0), "triple_2": multiplied(3.0)})
    root = schema.Model.GetRootAs(joined, 0)
    buffers = [root.Buffers(index) for index in range(root.BuffersLength())]
    places = [one._tab.Vector(one._tab.Offset(4)) for one in buffers if one.DataLength()]
    assert len(places) > 2 and all(place % ALIGNMENT == 0 for place in places)


def test_a_model_that_is_joined_already_is_refused() -> None:
    joined = join({"double_2": multiplied(2.0), "triple_2": multiplied(3.0)})
    with pytest.raises(ConversionError, match="2 subgraphs and 2 signatures; expected one"):
        join({"again": joined})


@pytest.mark.parametrize(("times", "expected"), [((1.0, 1.9), "small_8"), ((1.0, 1.7), "large_16")])
def test_the_larger_block_is_taken_where_a_row_is_quicker_in_it(
    monkeypatch: pytest.MonkeyPatch, times: tuple[float, float], expected: str
) -> None:
    """Seconds of a call of 8 and of 16 rows."""
    models = {"small_8": b"8", "large_16": b"16"}
    monkeypatch.setattr(conversion, "seconds_of", dict(zip(models.values(), times, strict=True)).get)
    assert conversion.faster_block(models, "small_8", "large_16") == expected


# Transposed convolutions.


def transposed(kernel: int, stride: int, channels: int, padding: str = "SAME") -> bytes:
    """As the gradient of a convolution of 1 image of 14 x 14 x 6 is."""
    weights = tf.random.stateless_normal((kernel, kernel, channels, 6), (1, kernel))
    side = 14 * stride if padding == "SAME" else (14 - 1) * stride + kernel

    @tf.function(input_signature=[tf.TensorSpec((1, 14, 14, 6), tf.float32, "x")])
    def back(x: Any) -> Any:
        return {"y": tf.nn.conv2d_transpose(x, weights, (1, side, side, channels), stride, padding)}

    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([back.get_concrete_function()], tf.Module()).convert())


def of_noise(model: bytes) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(1, 14, 14, 6)).astype(np.float32)
    found: np.ndarray = Interpreter(model_content=model).get_signature_runner()(x=noise)["y"]
    return found


@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transposed_convolution_is_put_as_an_ordinary_one(kernel: int, stride: int, channels: int) -> None:
    before = transposed(kernel, stride, channels)
    after = rewritten(before)
    assert of_noise(after) == pytest.approx(of_noise(before), abs=1e-5)
    lopsided = {(3, 2), (7, 2), (2, 3), (4, 3)}  # an ordinary one would need another padding on each side
    assert (after == before) == ((kernel, stride) in lopsided)


@pytest.mark.parametrize(("stride", "channels", "padding"), [(1, 1, "SAME"), (2, 8, "SAME"), (2, 1, "VALID")])
def test_others_are_left_as_they_are(stride: int, channels: int, padding: str) -> None:
    before = transposed(5, stride, channels, padding)
    assert rewritten(before) == before


# Accepted by its answers.


def test_what_was_converted_is_accepted(trackable: Any, files: list[ConvertedFile]) -> None:
    reported = conversion.compare(files, trackable, thousand())
    assert reported["forward"]["images"] == 1000 and reported["gradient"]["images"] == conversion.GRADIENTS
    assert all(0 <= one["max_error"] <= conversion.TOLERANCE for one in reported.values())
    assert [(file.name, file.roles, file.functions) for file in files] == [
        ("model.tflite", ("predict", "explain"), ("forward_1",)),
        ("explain.tflite", ("explain",), ("forward_32", "gradient_1", "gradient_16")),
    ]


def outputs(change: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda logits: {"logits": change(logits)}


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "other logits": ({"outputs": outputs(lambda logits: logits + 2e-4)}, "forward_1 gives logits that differ by"),
    "other slopes": (
        {"outputs": outputs(lambda logits: logits + 1e-5 * tf.sin(1e3 * logits))}, "gradient_1 gives gradient that",
    ),
    "no number": ({"outputs": outputs(lambda logits: logits / 0.0)}, "differ by (nan|inf)"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_answer_differently_are_refused(tmp_path: Path, files: list[ConvertedFile], name: str) -> None:
    changes, words = OTHERS[name]
    other = tf.saved_model.load(str(save(tmp_path / "net", **changes)))
    with pytest.raises(ConversionError, match=words):
        conversion.compare(files, other, thousand())


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path, trackable: Any) -> None:
    wrong = conversion.convert(
        tf.saved_model.load(str(save(tmp_path / "net", outputs=outputs(lambda all: all * np.nan))))
    )
    with pytest.raises(ConversionError, match="not finite"):
        conversion.compare(wrong, trackable, thousand())


def test_too_few_images_are_refused(trackable: Any, files: list[ConvertedFile]) -> None:
    with pytest.raises(ConversionError, match="999 images; expected at least 1000"):
        conversion.compare(files, trackable, thousand()[:999])


def test_error_names_an_operation_that_litert_lacks(tmp_path: Path) -> None:
    """It would convert with TensorFlow's own operations, which the runtime does not have."""
    net = save(tmp_path / "net", outputs=outputs(lambda logits: tf.math.lgamma(1 + tf.nn.relu(logits))))
    with pytest.raises(ConversionError, match="cannot be converted to LiteRT"):
        conversion.convert(tf.saved_model.load(str(net)))


def test_large_functions_lie_apart(monkeypatch: pytest.MonkeyPatch, trackable: Any) -> None:
    """An interpreter prepares all subgraphs of its file."""
    monkeypatch.setattr(conversion, "LARGE", 1)
    monkeypatch.setattr(conversion, "faster_block", lambda models, small, large: large)
    found = conversion.convert(trackable)
    assert [file.name for file in found] == ["model.tflite", *(f"{one}.tflite" for one in (
        "forward_32", "gradient_1", "gradient_16"))]  # fmt: skip
    conversion.compare(found, trackable, thousand())


# The next version.


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A version of format 1."""
    return write_tiny(tmp_path / "store")


def test_the_next_version_has_the_same_savedmodel_and_explains_without_it(tiny: Path) -> None:
    found = convert(tiny)
    assert found == tiny.parent / "2"
    for file in ("saved_model.pb", "variables/variables.data-00000-of-00001", "assets.extra/background.npz"):
        assert (found / file).read_bytes() == (tiny / file).read_bytes()
    before, card = (json.loads((folder / CARD).read_text()) for folder in (tiny, found))
    assert card["format"] == 2 and card["version"] == "2" and card["converted_from"] == "1"
    assert card["image"] == {"height": 28, "width": 28, "preprocessing": "digit", "range": [0, 1]}
    kept = set(before) - {"format", "version", "image", "files"}
    assert {name: card[name] for name in kept} == {name: before[name] for name in kept}
    assert card["compared"]["images"] == "mixes and shifts of the centroids"
    for name, expected in card["files"].items():
        assert hashlib.sha256((found / name).read_bytes()).hexdigest() == expected
    read = read_card(found)
    model, truth = explaining_model(found, read, InterpreterPool(64 << 20)), SavedModel(found, read)
    weights = np.eye(10, dtype=np.float32)[np.arange(40) % 10]
    assert model.verbs == truth.verbs == {"forward", "gradient"}
    assert model.gradient(digits()[:40], weights) == pytest.approx(truth.gradient(digits()[:40], weights), abs=1e-5)
    assert predictor(found, read).forward(digits()[:5]) == pytest.approx(truth.forward(digits()[:5]), abs=1e-4)
    assert all(file.memory_bytes > 1e5 for file in read.litert)


def test_a_version_of_format_2_is_converted_again(tiny: Path) -> None:
    """When the converter has become better."""
    again = convert(convert(tiny), thousand())
    card = json.loads((again / CARD).read_text())
    assert (card["version"], card["converted_from"]) == ("3", "2")
    assert card["compared"]["images"] == "validation images"
    read_card(again)


def test_the_command_tells_what_it_wrote(tiny: Path) -> None:
    done = CliRunner().invoke(main, ["convert", str(tiny), "--data", "digits"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (1, done.output) and "expected at least 1000" in done.output
    done = CliRunner().invoke(main, ["convert", str(tiny)], catch_exceptions=False)
    assert done.exit_code == 0 and f"wrote {tiny.parent / '2'}" in done.output


def test_a_conversion_that_fails_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = conversion.convert

    def wrong(trackable: Any, predicts: Any) -> list[ConvertedFile]:
        first, second = right(trackable, predicts)
        return [first, replace(second, content=first.content)]

    monkeypatch.setattr("training.store.export.conversion.convert", wrong)
    with pytest.raises(ConversionError):
        convert(tiny)
    assert [path.name for path in tiny.parent.iterdir()] == ["1"]


def test_a_version_that_is_damaged_is_not_signed_anew(tiny: Path) -> None:
    with (tiny / "variables" / "variables.data-00000-of-00001").open("r+b") as file:
        file.write(b"spoilt")
    with pytest.raises(DataError, match=r"damaged: variables/variables\.data-00000-of-00001 is not"):
        convert(tiny)


def test_the_command_may_be_given_inside_of_the_version(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    done = CliRunner().invoke(main, ["convert", "."], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tiny.parent.iterdir()) == ["1", "2"]


def test_error_says_that_a_folder_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no version"):
        convert(tmp_path)
    done = CliRunner().invoke(main, ["convert", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 1 and "is no version" in done.output
