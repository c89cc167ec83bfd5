"""Training: data that is checked, changes that keep digits, a loop that can be resumed, versions that are whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras import layers

from server.models.card import CARD, read_card
from tests.support.models.trials import TRIED
from training import augment, calibrate, data, outliers
from training.architectures import ARCHITECTURES, cnn, lstm, mlp
from training.commands import main
from training.fit import Fit, FitOptions
from training.litert import conversion
from training.referee.certify import with_trial
from training.store import labels
from training.store.fold import folded

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


# Data.


def save(path: Path, **changes: Any) -> str:
    arrays = {
        "x_train": np.zeros((12, 28, 28), np.uint8),
        "y_train": np.arange(12) % 10,
        "x_test": np.zeros((4, 28, 28), np.uint8),
        "y_test": np.arange(4),
    }
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": np.zeros((12, 20, 20), np.uint8)}, "20 x 20; expected 28 x 28"),
        ({"x_train": np.zeros((12, 784), np.uint8)}, r"shape \(12, 784\)"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)}, "n > 0"),
        ({"x_test": np.full((4, 28, 28), 255.0)}, r"0 to 255|255 to 255; expected finite values in \[0, 1\]"),
        ({"x_test": np.full((4, 28, 28), np.nan)}, "nan"),
        ({"x_train": np.zeros((12, 28, 28), np.int64)}, "int64; expected uint8"),
        ({"y_train": np.arange(11)}, "12 images but labels of shape"),
        ({"y_train": np.arange(12) / 2}, "whole numbers"),
        ({"y_train": np.arange(12)}, "0 to 11; expected 0 .. 9"),
        ({"y_test": None}, "lacks"),
    ],
)
def test_wrong_data_is_refused_before_the_first_step(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = save(tmp_path / "wrong.npz", **changes)
    with pytest.raises(data.DataError, match=words):
        data.load(path)
    found = CliRunner().invoke(main, ["fit", "mlp", "--data", path, "--store", str(tmp_path / "store")])
    assert found.exit_code == 1
    assert "Error" in found.output
    assert not (tmp_path / "store").exists()


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(data.DataError, match="cannot be read"):
        data.load(str(tmp_path / "x.npz"))
    with pytest.raises(data.DataError, match="expected mnist, digits or"):
        data.load("fashion")


def test_bytes_and_unit_floats_are_the_same_data(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    from_bytes = data.load(save(tmp_path / "a.npz", x_train=images))
    from_floats = data.load(save(tmp_path / "b.npz", x_train=images / 255.0))
    assert from_bytes.train_images == pytest.approx(from_floats.train_images)
    assert len(from_bytes.train_images) + len(from_bytes.validation_images) == 12


def test_bundled_digits_are_placed_like_mnist(digits: data.Dataset) -> None:
    images = digits.train_images
    rows, columns = images.any(axis=2), images.any(axis=1)
    longest = np.maximum(rows.sum(axis=1), columns.sum(axis=1))
    assert np.quantile(longest, [0.01, 0.99]) == pytest.approx([20, 20], abs=1.5)
    index = np.arange(28)
    mass = images.sum(axis=(1, 2))
    centre = (images.sum(axis=2) * index).sum(axis=1) / mass
    assert np.abs(centre - 14).mean() < 0.6


# Changes of the images.


def test_augmentation_changes_every_image_a_little_and_repeats(digits: data.Dataset) -> None:
    images = tf.constant(digits.train_images[:64])
    first, again, other = (augment.augment(images, tf.constant(seed)).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6
    moved = np.abs(first - images.numpy()).mean(axis=(1, 2))
    assert moved.min() > 0.01
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, images.numpy(), strict=True)]
    assert np.median(alike) > 0.5


# Pictures that are no digits.


def test_noise_is_of_every_grain_and_repeats() -> None:
    first, again, other = (outliers.noise(64, 28, 28, tf.constant(seed)).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.shape, first.dtype) == ((64, 28, 28), np.float32)
    assert first.min() >= 0
    assert first.max() <= 1
    means = first.mean(axis=(1, 2))
    assert (means.min() < 0.15, means.max() > 0.6) == (True, True)
    coarse = (first[:, :, 0] == first[:, :, 1]).all(axis=1)  # squares of two or four pixels
    assert 0.4 < coarse.mean() < 0.9


def test_outliers_are_a_class_whose_logit_is_fixed() -> None:
    random = np.random.default_rng(0)
    digits, unlike = random.normal(size=(4, 10)) * 3, random.normal(size=(3, 10)) * 3
    more = np.append(np.concatenate([digits, unlike]), np.full((7, 1), np.log(10)), axis=1)
    share = np.exp(more[:, -1]) / np.exp(more).sum(axis=1)  # of the eleventh class
    expected = -np.log(np.append(1 - share[:4], share[4:]))
    found = outliers.losses(tf.constant(digits), tf.constant(unlike)).numpy()
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_net_that_saw_noise_is_less_sure_of_it(tmp_path: Path, digits: data.Dataset) -> None:
    def energy(weight: float) -> float:
        options = FitOptions(epochs=10, outliers=weight)
        run = Fit(lambda: mlp(28, 28, 10, units=(32,)), digits, options, tf.distribute.get_strategy())
        assert list(run.run(tmp_path / str(weight), resume=False))[-1].accuracy > 0.6
        noise = np.random.default_rng(0).random((100, 28, 28), np.float32)
        of_noise, of_digits = (
            calibrate.energy_score(run.model(images, training=False)["logits"].numpy(), 1.0).mean()
            for images in (noise, digits.test_images)
        )
        return float(of_noise - of_digits)

    assert energy(0.5) < energy(0.0) - 0.5


# Nets.


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_attention_is_a_share_and_logits_are_raw(name: str) -> None:
    images = np.random.default_rng(0).random((5, 28, 28), np.float32)
    outputs = ARCHITECTURES[name](28, 28, 10)(images, training=False)
    logits = outputs["logits"].numpy()
    assert logits.shape == (5, 10)
    assert np.abs(logits.sum(axis=1) - 1).min() > 1e-3  # not a softmax
    if "attention" in outputs:
        attention = outputs["attention"].numpy()
        assert attention.shape == (5, 28, 28)
        assert attention.sum(axis=(1, 2)) == pytest.approx(np.ones(5), abs=1e-5)
        assert attention.min() >= 0


def test_the_classic_sizes_can_be_built() -> None:
    dense = [layer.kernel.shape for layer in mlp(28, 28, 10, units=(64,)).layers if hasattr(layer, "kernel")]
    assert [tuple(shape) for shape in dense] == [(784, 64), (64, 10)]
    classic = cnn(28, 28, 10, filters=(32, 64), depth=1, heads=0, dense=128)
    shapes = [tuple(layer.kernel.shape) for layer in classic.layers if hasattr(layer, "kernel")]
    assert shapes == [(5, 5, 1, 32), (3, 3, 32, 64), (7 * 7 * 64, 128), (128, 10)]
    assert "attention" not in classic.output
    assert lstm(28, 28, 10, units=128, attention=False).output["embedding"].shape == (None, 128)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_folded_net_answers_the_same(name: str) -> None:
    """Every output, also where batch normalisation has statistics of its own; and no batch normalisation is left."""
    rng = np.random.default_rng(0)
    model = ARCHITECTURES[name](28, 28, 10)
    for variable in model.variables:
        if "seed" not in variable.path:
            spread = variable.numpy() + rng.normal(0, 0.1, variable.shape)
            variable.assign(np.abs(spread) + 0.1 if "variance" in variable.path else spread)
    images = rng.random((5, 28, 28), np.float32)
    expected, found = (net(images, training=False) for net in (model, folded(model)))
    assert set(found) == set(expected)
    for output, values in expected.items():
        assert found[output].numpy() == pytest.approx(values.numpy(), abs=1e-4 * float(np.abs(values).max()))
    assert not [one.path for one in folded(model).variables if "batch_norm" in one.path]
    assert any("batch_norm" in one.path for one in model.variables) == (name != "lstm")


def test_a_layer_that_others_use_too_is_not_folded() -> None:
    """A way round the batch normalisation, or an output before it."""
    images = keras.Input((28, 28))
    first = layers.Dense(28, use_bias=False)(images)
    second = layers.Dense(28, use_bias=False)(layers.Add()([first, layers.BatchNormalization()(first)]))
    logits = layers.Dense(10)(layers.Flatten()(layers.BatchNormalization()(second)))
    model = keras.Model(images, {"logits": logits, "embedding": second})
    for variable in model.variables:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    given = np.random.default_rng(1).random((5, 28, 28), np.float32)
    expected, found = (net(given, training=False) for net in (model, folded(model)))
    for output, values in expected.items():
        assert found[output].numpy() == pytest.approx(values.numpy(), rel=1e-4)


# The loop.


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, digits: data.Dataset) -> None:
    def run() -> Fit:
        options = FitOptions(epochs=2, batch_size=64)
        return Fit(lambda: mlp(28, 28, 10, units=(32,)), digits, options, tf.distribute.get_strategy())

    first = run()
    steps = first.run(tmp_path, resume=False)
    seen = [next(steps) for _ in range(first.steps_per_epoch + 3)]
    steps.close()  # what a KeyboardInterrupt does to it
    assert seen[-1].epoch == 2
    second = run()
    rest = list(second.run(tmp_path, resume=True))
    assert [progress.step for progress in rest] == list(range(seen[-1].step + 1, second.steps + 1))
    assert rest[-1].accuracy > 0.4  # soiled pictures of digits are learned slowly
    third = run()
    assert list(third.run(tmp_path, resume=True)) == []
    weights = zip(second.model.get_weights(), third.model.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in weights)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    arguments = ["fit", "mlp", "--data", "digits", "--units", "8", "--resume", "--checkpoints", str(tmp_path)]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 1
    assert "start without --resume" in found.output


def test_options_of_another_net_are_refused() -> None:
    found = CliRunner().invoke(main, ["fit", "lstm", "--data", "digits", "--filters", "3,4"])
    assert found.exit_code == 2
    assert "lstm has no --filters" in found.output


def heard() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_a_checkpoint_and_no_half_version(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "training", "fit", "mlp", "--data", "digits", "--units", "16"]
    command += ["--epochs", "100000", "--store", str(tmp_path / "store"), "--checkpoints", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=heard,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch 2" in line:
                process.send_signal(signal.SIGINT)
                break
        output = process.stdout.read()
    assert process.returncode == 1
    assert "--resume" in output
    assert list((tmp_path / "run").glob("ckpt-*"))
    assert not (tmp_path / "store").exists()


# Versions.


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small net, trained and exported by the command that users call."""
    store = tmp_path_factory.mktemp("trained")
    arguments = ["fit", "mlp", "--data", "digits", "--units", "64", "--epochs", "25", "--name", "small"]
    arguments += ["--store", str(store), "--checkpoints", str(store / "run")]
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert "accuracy" in found.output
    return store


def test_a_version_is_exported_whole_and_evaluates_to_its_card(trained: Path) -> None:
    version = trained / "small" / "1"
    assert sorted(path.name for path in (trained / "small").iterdir()) == ["1"]
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert card["metrics"]["accuracy"] > 0.9
    assert card["format"] == 2
    for verb in ("forward", "gradient", "features"):
        assert card["compared"][verb]["max_error"] <= conversion.TOLERANCE
    assert card["parameters"] == 784 * 64 + 64 + 64 * 10 + 10  # batch normalisation is a part of the dense layer
    assert (card["training"]["outliers"], card["training"]["mixed"]) == (0.5, 0.25)
    assert card["prediction_sets"]["n"] > 4 * 100
    assert 0 < card["metrics"]["accuracy_corrupted"] < 1
    found = CliRunner().invoke(main, ["evaluate", str(version), "--data", "digits"], catch_exceptions=False)
    measured, carded = found.output.split("\n")[2].split()[1:]
    assert float(measured) == pytest.approx(card["metrics"]["accuracy"])
    assert measured == carded


def fit_worse(store: Path, *more: str) -> str:
    """What the command says that trains a net of four units for one pass, as the next version of the small one."""
    arguments = ["fit", "mlp", "--data", "digits", "--units", "4", "--epochs", "1", "--name", "small", "--mixed", "0"]
    arguments += ["--store", str(store), "--checkpoints", str(store / "other"), *more]
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_worse_net_does_not_answer_by_default_unasked(tmp_path: Path, trained: Path) -> None:
    family = tmp_path / "small"
    shutil.copytree(trained / "small" / "1", family / "1")
    assert "of 360 test images" in (said := fit_worse(tmp_path))
    assert f"{family / '1'} answers by default as before" in said and " stable 2 --store" in said
    assert labels.default_of(family) == family / "1"
    assert "answers by default as before" not in fit_worse(tmp_path, "--default")
    assert labels.default_of(family) == family / "3"


def test_a_net_beside_one_that_cannot_be_measured_is_kept(tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained / "small" / "1", tmp_path / "small" / "1")
    (tmp_path / "small" / "1" / "saved_model.pb").write_bytes(b"no graph")
    fit_worse(tmp_path)
    assert labels.default_of(tmp_path / "small") == tmp_path / "small" / "2"


def test_labels_that_cannot_be_read_are_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "labels.json").write_text("{")
    arguments = ["fit", "mlp", "--data", "digits", "--name", "small", "--store", str(tmp_path)]
    found = CliRunner().invoke(main, [*arguments, "--checkpoints", str(tmp_path / "run")])
    assert found.exit_code == 1 and "labels.json" in found.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("stable", "after"), [(1, 3), (2, 2), (None, None)])
def test_a_certified_version_takes_over_the_label_of_the_one_that_was_tried(
    tmp_path: Path, trained: Path, stable: int | None, after: int | None
) -> None:
    family = tmp_path / "small"
    for number in ("1", "2"):
        shutil.copytree(trained / "small" / "1", family / number)
    if stable is not None:
        labels.point(family, labels.STABLE, stable)
    found = {name: value for name, value in TRIED.items() if name not in ("format", "of")}
    assert with_trial(family / "1", found) == family / "3"
    assert labels.pointed(family, labels.STABLE) == after
    card = read_card(family / "3")
    assert card.trial is not None and card.version == "3"
    assert json.loads((family / "3" / CARD).read_text())["certified_from"] == "1"


def test_corruptions_and_attacks_are_measured_where_they_are_asked_for(trained: Path) -> None:
    version = str(trained / "small" / "1")
    arguments = ["evaluate", version, "--data", "digits", "--corruptions", "--attacks"]
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    rows = dict(line.split("  ")[0:1] + line.split()[-1:] for line in found.output.splitlines()[1:])  # type: ignore
    assert {"accuracy_corrupted", "fog", "zigzag", "PGD, 0.05", "PGD, 0.2"} <= set(rows)
    assert float(rows["PGD, 0.2"]) <= float(rows["PGD, 0.05"]) < float(rows["accuracy"])


def test_training_is_silent_about_the_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "fit", "mlp", "--data", "digits", "--units", "4", "--epochs", "1"]
    command += ["--mixed", "0", "--store", str(tmp_path / "store"), "--checkpoints", str(tmp_path / "run")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "next: python -m training certify" in done.stdout
    for word in ("WARNING", "INFO", "cuda", "absl", "retracing"):
        assert word not in done.stdout


def test_no_centroid_is_a_training_image(trained: Path, digits: data.Dataset) -> None:
    with np.load(trained / "small" / "1" / "assets.extra" / "background.npz") as stored:
        centroids = stored["centroids"].reshape(-1, 784)
    images = np.concatenate([digits.train_images, digits.test_images]).reshape(-1, 784)
    nearest = [np.abs(images - centroid).max(axis=1).min() for centroid in centroids]
    assert min(nearest) > 0.05


# Calibration.


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(20000, 10)) * 2
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(10, p=row) for row in p])
    assert calibrate.temperature(honest * 3, labels) == pytest.approx(3, rel=0.05)
    overconfident = np.exp(honest * 3) / np.exp(honest * 3).sum(axis=1, keepdims=True)
    assert calibrate.expected_calibration_error(p, labels) < 0.02
    assert calibrate.expected_calibration_error(overconfident, labels) > 0.1


def test_energy_is_low_for_flat_logits() -> None:
    sure, unsure = calibrate.energy_score(np.array([[12.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 1.0)
    assert sure == pytest.approx(12, abs=1e-4)
    assert unsure == pytest.approx(np.log(3))
