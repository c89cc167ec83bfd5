"""Smaller versions: what is pruned is what counts least, what is distilled follows its teacher, and what is quantised
is served by a rule of its own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from server.models.card import BrokenVersion, read_card
from server.models.checks import check_answers
from server.models.litert import predictor
from server.types import Array
from tests.support.models.fakes import Linear, make_card
from tests.support.models.tiny import save, sign, write_tiny
from training import data
from training.architectures import ARCHITECTURES, all_options
from training.commands import main
from training.compress import distil
from training.compress.costs import costs
from training.compress.prune import pruned, smaller
from training.errors import ConversionError, DataError
from training.fit import Fit, FitOptions
from training.incremental import parent_in
from training.litert import quantize
from training.referee.versions import opened
from training.store.fold import folded

PLAIN = ["--data", "digits", "--mixed", "0", "--outliers", "0"]


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small MLP that reads digits."""
    place = tmp_path_factory.mktemp("compress")
    code, output = run(
        *("fit", "mlp", "--units", "32", "--store", place / "store", "--checkpoints", place / "runs"),
        *(*PLAIN, "--epochs", "12", "--log", place / "log.jsonl"),
    )
    assert code == 0, output
    return place / "store"


# Pruning.

NETS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"units": (12, 8)}),
    ("cnn", {"filters": (4, 6), "heads": 2}),
    ("cnn", {"filters": (4, 6), "heads": 0, "dense": 8, "depth": 1}),
    ("cnn", {"filters": (4, 6), "heads": 2, "dense": 200}),  # wider than what it is made of
    ("lstm", {"units": 6}),
    ("lstm", {"units": 6, "attention": False}),
]


@pytest.mark.parametrize(("architecture", "given"), NETS, ids=str)
def test_channels_that_do_nothing_go_first(architecture: str, given: dict[str, Any]) -> None:
    """Half of all channels are made to give nothing: the net without them answers the same."""
    options = all_options(architecture, given)
    net = folded(ARCHITECTURES[architecture](28, 28, 10, **options))
    silence_half(net)
    small = pruned(net, architecture, smaller(architecture, options, 0.5))
    images = np.random.default_rng(0).random((4, 28, 28), np.float32)
    before = net(images, training=False)["logits"].numpy()
    assert small.count_params() < 0.6 * net.count_params()
    assert small(images, training=False)["logits"].numpy() == pytest.approx(before, abs=1e-5)
    loud_too = pruned(net, architecture, smaller(architecture, options, 0.8))
    assert loud_too(images, training=False)["logits"].numpy() != pytest.approx(before, abs=1e-5)


def silence_half(net: keras.Model) -> None:
    """Every other output of all layers but the last, and not of the pooling's queries, is 0 whatever comes in."""
    layers = [layer for layer in net.layers if layer.weights]
    for layer in layers[:-1]:
        if len(layer.weights) == 1 or layer.weights[0].shape[-1] == 1:
            continue
        silent = [np.array(one) for one in layer.get_weights()]
        size = silent[-1].shape[0] if len(silent) == 2 else silent[1].shape[0]
        for part in silent:
            part.reshape(-1, size)[..., ::2] = 0
        layer.set_weights(silent)


def test_a_share_is_taken_of_every_layer() -> None:
    assert smaller("mlp", {"units": [512, 256], "dropout": 0.2}, 0.75) == {"units": [128, 64], "dropout": 0.2}
    assert smaller("cnn", {"filters": [3, 1], "dense": 0}, 0.9)["filters"] == [1, 1]
    with pytest.raises(DataError, match="architecture vit; what can be pruned are mlp, cnn, lstm"):
        smaller("vit", {}, 0.5)


# Distillation.


def test_the_loss_pulls_towards_the_teacher() -> None:
    """Its slope for the logits is T (softmax(z / T) - p), which is 0 where the student says what the teacher does."""
    wide = np.random.default_rng(1).normal(size=(5, 10)).astype(np.float32) * 4
    teacher = tf.nn.softmax(tf.constant(wide) / distil.TEMPERATURE)
    for logits in (wide + 3, np.roll(wide, 1, axis=1)):
        given = tf.Variable(logits)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(distil.losses(teacher, given))
        expected = distil.TEMPERATURE * (tf.nn.softmax(logits / distil.TEMPERATURE) - teacher).numpy()
        assert tape.gradient(loss, given).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_student_learns_what_the_teacher_says_and_not_the_labels(digits: data.Dataset, store: Path) -> None:
    parent = store / "mlp" / "1"
    teacher = distil.teacher_of([parent], 10)
    wrong = replace(digits, train_labels=(digits.train_labels + 1) % 10)
    said = np.argmax(teacher(tf.constant(digits.test_images)), axis=1)
    agreed = {}
    for share in (1.0, 0.0):
        options = FitOptions(epochs=8, batch_size=32, mixed=0, outliers=0, distil=share, augment=False)
        fit = Fit(lambda: ARCHITECTURES["mlp"](28, 28, 10, (32,)), wrong, options, tf.distribute.get_strategy(), None,
                  None, teacher)  # fmt: skip
        list(fit.run(store.parent / f"student-{share}", resume=False))
        agreed[share] = np.mean(fit.model(digits.test_images)["logits"].numpy().argmax(axis=1) == said)
    assert agreed[1.0] > 0.8 and agreed[0.0] < 0.2


def test_several_teachers_are_heard_alike(store: Path, tmp_path: Path) -> None:
    first, second = store / "mlp" / "1", save(tmp_path / "other", scale=5.0)
    images = tf.constant(np.random.default_rng(0).random((3, 28, 28), np.float32))
    alone = [distil.teacher_of([one], 10)(images).numpy() for one in (first, second)]
    assert distil.teacher_of([first, second], 10)(images).numpy() == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    with pytest.raises(DataError, match="tells 10 classes apart; expected 7"):
        distil.teacher_of([first], 7)


# Quantisation, and the command.


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_a_quantised_version_is_served(store: Path, digits: data.Dataset, tmp_path: Path, scheme: str) -> None:
    code, output = run("compress", "mlp/1", "--quantize", scheme, *PLAIN[:2], "--store", store, "--label", "edge")
    assert code == 0, output
    version, parent = parent_in(store, "mlp/edge"), parent_in(store, "mlp")
    assert parent == store / "mlp" / "1" and int(version.name) > 1  # which answers by default, as before
    card, before = read_card(version), read_card(parent)
    assert card.quantization is not None and card.quantization.scheme == scheme
    sizes = [len((one / "assets.extra" / "model.tflite").read_bytes()) for one in (version, parent)]
    assert sizes[0] < (0.6 if scheme == "weight-only" else 0.4) * sizes[1]
    served, explains = predictor(version, card), opened(version)
    images = digits.test_images[:100]
    apart = np.abs(served.forward(images) - predictor(parent, before).forward(images)).max()
    assert 0 < apart <= 2 * card.quantization.max_error
    assert explains.forward(images) == pytest.approx(opened(parent).forward(images), abs=1e-4)
    assert f"| mlp/{version.name} |" in output and "| mlp/1 |" in output
    assert json.loads((version / "assets.extra" / "model_card.json").read_text())["training"]["parent"] == "mlp/1"


def test_a_quantised_version_is_converted_with_the_same_file(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store / "mlp", tmp_path / "mlp")
    edge = parent_in(tmp_path, "mlp/edge")
    code, output = run("convert", "mlp/edge", "--store", tmp_path)
    assert code == 0, output
    again = tmp_path / "mlp" / str(int(edge.name) + 1)
    card, before = read_card(again), read_card(edge)
    assert (again / "assets.extra" / "model.tflite").read_bytes() == (
        edge / "assets.extra" / "model.tflite"
    ).read_bytes()
    assert card.quantization == before.quantization and card.energy_threshold == before.energy_threshold
    image = np.zeros((3, 28, 28), np.float32)
    assert opened(again).forward(image) == pytest.approx(opened(edge).forward(image), abs=1e-4)


def test_other_data_than_the_nets_is_refused(store: Path, tmp_path: Path) -> None:
    images, labels = np.zeros((60, 28, 28), np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    code, output = run("compress", "mlp/1", "--quantize", "dynamic", "--data", tmp_path / "mine.npz", "--store", store)
    assert code == 1 and "was trained on digits; got the data" in output


def test_a_pruned_version_is_smaller_and_learns_again(store: Path, tmp_path: Path) -> None:
    code, output = run(
        *("compress", "mlp", "--prune", "0.5", *PLAIN, "--store", store, "--name", "half", "--epochs", "4"),
        *("--checkpoints", tmp_path),
    )
    assert code == 0, output
    card = read_card(store / "half" / "1")
    assert card.training["pruned"] == 0.5 and card.training["teachers"] == ["mlp/1"]
    assert card.metrics["accuracy"] > 0.6
    entries = json.loads((store / "half" / "1" / "assets.extra" / "model_card.json").read_text())
    assert entries["options"]["units"] == [16] and entries["parameters"] == 784 * 16 + 16 + 170


def test_what_a_version_costs_is_measured(store: Path, digits: data.Dataset) -> None:
    parent = store / "mlp" / "1"
    found = costs(parent, digits, parent)
    assert found.maps == pytest.approx(1) and found.parameters == 784 * 32 + 32 + 330
    assert found.bytes == len((parent / "assets.extra" / "model.tflite").read_bytes())
    assert found.interval[0] < found.accuracy < found.interval[1] and 0 < found.microseconds < 10_000
    assert found.accuracy == pytest.approx(read_card(parent).metrics["accuracy"], abs=1e-6)


def test_a_file_that_names_other_digits_is_refused(tmp_path: Path, digits: data.Dataset) -> None:
    first, other = (tf.saved_model.load(str(save(tmp_path / f"{sign:g}", scale=sign))) for sign in (1.0, -1.0))
    file = quantize.quantized(first, "weight-only", digits.test_images)
    quantize.agreement(file, "weight-only", first, digits.test_images)
    with pytest.raises(ConversionError, match=r"it names the digit that it named before in .* of 200 images"):
        quantize.agreement(file, "weight-only", other, digits.test_images[:200])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "expected --prune, --distill-into or --quantize"),
        (["--prune", "0.5", "--distill-into", "mlp"], "two ways"),
        (["--quantize", "int8", "--units", "8"], "--units"),
        (["--quantize", "int8", "--label", "7"], "expected a word"),
        (["--quantize", "int8", "--name", "a/b"], "expected a word"),
        (["--quantize", "int8", "--epochs", "7"], "--epochs is of training; it needs --prune or --distill-into"),
        (["--quantize", "int8", "--resume"], "--resume is of training"),
        (["--prune", "1"], "0<x<1"),
    ],
)
def test_wrong_usage_is_explained(store: Path, given: list[str], said: str) -> None:
    code, output = run("compress", "mlp", *given, "--store", store)
    assert code == 2 and said in output


# What a server makes of it.

FOUND = {"scheme": "int8", "images": 5000, "same_labels": 0.998, "max_error": 0.5}


def with_entry(tmp_path: Path, roles: tuple[str, ...] = ("predict",), **changes: Any) -> Path:
    """A version whose file that predicts is said to be quantised."""
    version = write_tiny(tmp_path)
    place = version / "assets.extra" / "model_card.json"
    card = json.loads(place.read_text())
    twin = {"file": "assets.extra/model.tflite", "roles": roles, "rows": {"forward": [1]}, "memory_bytes": 1000}
    card |= {"format": 2, "litert": [{**twin, "quantized": {**FOUND, **changes}}]}
    place.write_text(json.dumps(card))
    sign(version)
    return version


def test_the_card_says_how_the_file_was_quantised(tmp_path: Path) -> None:
    found = read_card(with_entry(tmp_path)).quantization
    assert found is not None and vars(found) == FOUND


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same_labels": 0.99}, "expected at least 0.995"),
        ({"same_labels": 1.5}, "expected at least 0.995"),
        ({"max_error": -1}, "no less than 0"),
        ({"max_error": float("nan")}, "max_error nan"),
        ({"images": 0}, "images above 0"),
        ({"roles": ("predict", "explain")}, "the one role predict"),
    ],
)
def test_cards_that_promise_too_little_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BrokenVersion, match=said):
        read_card(with_entry(tmp_path, **changes))


@pytest.mark.parametrize(("told", "is_broken"), [(None, True), (0.1, True), (0.3, False)])
def test_answers_differ_by_as_much_as_the_card_tells(tmp_path: Path, told: float | None, is_broken: bool) -> None:
    card = make_card() if told is None else read_card(with_entry(tmp_path, max_error=told))
    card = replace(make_card(), litert=card.litert)

    class Off(Linear):
        def logits(self, images: Array) -> Array:
            return super().logits(images) + 0.5

    def check() -> None:
        check_answers(card, Off(card), Linear(card), card.background)

    if is_broken:
        with pytest.raises(BrokenVersion, match=r"differ by 0\.5"):
            check()
    else:
        check()
