"""How a step is computed and told: in 16 bits, compiled, the same each time, and as lines of JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from training import data
from training.architectures import ARCHITECTURES
from training.commands import main
from training.fit import Fit, FitOptions
from training.store.fold import folded

PLAIN = {"epochs": 1, "batch_size": 64, "mixed": 0.0, "outliers": 0.0}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def fitted(
    digits: data.Dataset, folder: Path, name: str, options: dict[str, Any], **how: Any
) -> tuple[Fit, list[float]]:
    """A short run, and the loss at each of its steps."""
    fit = Fit(
        lambda: ARCHITECTURES[name](28, 28, 10, **options),
        digits,
        FitOptions(**{**PLAIN, **how}),
        tf.distribute.get_strategy(),
    )
    return fit, [progress.loss for progress in fit.run(folder, resume=False)]


def test_half_precision_learns_and_is_exported_in_full(digits: data.Dataset, tmp_path: Path) -> None:
    sizes = {"filters": (4, 8), "heads": 2}
    fit, losses = fitted(digits, tmp_path / "half", "cnn", sizes, half_precision=True, epochs=2)
    _, full_losses = fitted(digits, tmp_path / "full", "cnn", sizes, epochs=2)
    assert losses == pytest.approx(full_losses, rel=0.05) and losses != pytest.approx(full_losses, rel=1e-6)
    assert {layer.compute_dtype for layer in fit.model.layers if layer.weights} == {"bfloat16"}
    assert {variable.dtype for variable in fit.model.trainable_variables} == {"float32"}
    exported, images = folded(fit.model), digits.test_images[:50]
    assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    full = exported(images, training=False)["logits"].numpy()
    half = fit.model(images, training=False)["logits"].numpy().astype(np.float32)
    assert full.dtype == np.float32 and 0 < np.abs(full - half).max() < 0.05 * np.abs(full).max()


def test_a_compiled_step_learns_the_same(digits: data.Dataset, tmp_path: Path) -> None:
    runs = {
        xla: fitted(digits, tmp_path / str(xla), "mlp", {"units": (16,), "dropout": 0.0}, xla=xla)
        for xla in (False, True)
    }
    assert runs[True][1] == pytest.approx(runs[False][1], abs=1e-4)
    assert len(runs[True][1]) > 10
    assert runs[True][0]._compute._jit_compile is True


def test_the_same_seed_learns_the_same_to_the_bit(digits: data.Dataset, tmp_path: Path) -> None:
    def weights(place: str, seed: int) -> list[bytes]:
        fit, _ = fitted(digits, tmp_path / place, "mlp", {"units": (16,)}, seed=seed)
        return [variable.numpy().tobytes() for variable in fit.model.variables]

    first = weights("first", 3)
    assert weights("again", 3) == first and weights("other", 4) != first


def test_machines_read_lines_of_json(tmp_path: Path) -> None:
    given = ["fit", "mlp", "--units", "8", "--data", "digits", "--mixed", "0", "--outliers", "0", "--epochs", "2"]
    given += ["--store", str(tmp_path / "store"), "--checkpoints", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*given, "--log", "-"], catch_exceptions=False)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert [line["epoch"] for line in lines] == [1, 2] and lines[1]["step"] == lines[1]["steps"]
    assert all(line["steps_per_second"] > 0 and line["time"].endswith("Z") for line in lines)
    assert "training  [" not in result.output
    file = tmp_path / "log.jsonl"
    file.write_text('{"before": 1}\n')
    CliRunner().invoke(main, [*given, "--log", str(file)], catch_exceptions=False)
    assert [json.loads(line).get("epoch") for line in file.read_text().splitlines()] == [None, 1, 2]
