"""Training on from a stored version: the same net to begin with, what is kept, what is told, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from server.types import Array
from tests.support.models.nets import digits as mnist_digits
from tests.support.models.nets import folder, net
from training import data
from training.architectures import ARCHITECTURES, all_options
from training.commands import main
from training.errors import DataError
from training.fit import Fit, FitOptions
from training.incremental import Change, change, parent_in, rebuilt, told

FAST = ["--data", "digits", "--mixed", "0", "--outliers", "0", "--epochs", "1"]


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["fit", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small MLP that reads digits."""
    place = tmp_path_factory.mktemp("parent")
    code, output = run(
        *("mlp", "--units", "32", "--name", "small", "--store", place / "store", "--checkpoints", place / "runs"),
        *("--data", "digits", "--mixed", "0", "--outliers", "0", "--epochs", "6"),
    )
    assert code == 0, output
    return place / "store"


# The net.


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_version_built_again_answers_as_it_did(name: str) -> None:
    model = rebuilt(folder(name))
    assert model(mnist_digits()[:20], training=False)["logits"].numpy() == pytest.approx(
        net(name).forward(mnist_digits()[:20]), abs=1e-4
    )


def test_cards_have_all_options_so_that_defaults_may_change(store: Path) -> None:
    options = json.loads((store / "small" / "1" / "assets.extra" / "model_card.json").read_text())["options"]
    assert options == {"units": [32], "dropout": 0.2, "activation": "silu"}
    assert all_options("lstm", {"units": 8}) == {"units": 8, "attention": True, "dropout": 0.2}


def test_other_options_than_the_weights_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"weights of .* are not those"):
        rebuilt(changed(store, tmp_path, options={"units": [16]}))
    with pytest.raises(DataError, match="architecture 'vit'; what can be built again are mlp, cnn, lstm"):
        rebuilt(changed(store, tmp_path, architecture="vit"))


def changed(store: Path, tmp_path: Path, **entries: Any) -> Path:
    """The parent, with another card."""
    copy = tmp_path / next(iter(entries))
    tf.io.gfile.makedirs(str(copy))
    for path in (store / "small" / "1").rglob("*"):
        if path.is_file():
            place = copy / path.relative_to(store / "small" / "1")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    card = copy / "assets.extra" / "model_card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **entries}))
    return copy


def test_the_parent_is_a_version_or_the_default_of_a_name(store: Path) -> None:
    assert parent_in(store, "small/1") == parent_in(store, "small") == store / "small" / "1"
    for name in ("small/2", "large", "large/1"):
        with pytest.raises(DataError, match=f"got {name}; .* has small/1"):
            parent_in(store, name)


def test_what_is_frozen_stays(store: Path) -> None:
    before, frozen = rebuilt(store / "small" / "1"), rebuilt(store / "small" / "1", ["dense_1"])
    assert [one.shape for one in frozen.trainable_variables] == [one.shape for one in before.trainable_variables[:2]]
    with pytest.raises(DataError, match="got --freeze conv, which is no layer; there are dense, dense_1"):
        rebuilt(store / "small" / "1", ["conv"])
    with pytest.raises(DataError, match="nothing to train"):
        rebuilt(store / "small" / "1", ["*"])


# What is replayed is not forgotten.


def accuracy_on(model: Any, images: Array, labels: Array) -> float:
    return float((model(images, training=False)["logits"].numpy().argmax(axis=1) == labels).mean())


def test_what_is_replayed_is_not_forgotten(digits: data.Dataset, store: Path) -> None:
    chosen = digits.train_labels < 2
    new = data.Dataset(
        "new", digits.train_images[chosen], digits.train_labels[chosen], *[getattr(digits, name) for name in REST]
    )
    options = {"epochs": 60, "learning_rate": 1e-2, "outliers": 0.0, "augment": False}
    reads = {}
    for replay in (0.0, 0.5):
        fit = Fit(
            lambda: rebuilt(store / "small" / "1"),
            new,
            FitOptions(replay=replay, **options),
            tf.distribute.get_strategy(),
            replayed=digits,
        )
        for _ in fit.run(store.parent / f"replay {replay}", False):
            pass
        reads[replay] = accuracy_on(fit.model, digits.test_images, digits.test_labels)
    assert reads[0.0] < 0.6 < 0.9 < reads[0.5]


REST = ("validation_images", "validation_labels", "test_images", "test_labels")


def test_two_data_sets_are_one(digits: data.Dataset) -> None:
    both = data.joined(digits, digits)
    assert len(both.train_images) == 2 * len(digits.train_images) and len(both.test_labels) == 720
    assert both.name == "digits and digits"


# What is told.


def answers(*labels: int) -> Array:
    return np.eye(3)[list(labels)]


def test_a_change_is_told_in_all_and_by_class() -> None:
    truths = np.array([0, 0, 1, 1])
    found = change(lambda _: answers(0, 1, 1, 2), lambda _: answers(0, 0, 1, 1), np.zeros((4, 2, 2)), truths)
    assert (found.before, found.after, found.gain) == (0.5, 1.0, 0.5)
    assert found.classes == ((0.5, 1.0), (0.5, 1.0), None)
    # two of four got better: variance of the mean (b + c - (b - c)^2 / n) / n^2, Agresti's 10.1.1
    half = 1.96 * np.sqrt((2 - 4 / 4) / 16)
    assert found.interval == pytest.approx((0.5 - half, 0.5 + half))
    assert "50.00% before, 100.00% now (+50.00 points" in told("all", found)
    assert "  1: 50.00% before" in told("all", found) and "  2:" not in told("all", found)


def test_nets_that_answer_alike_have_not_changed() -> None:
    same = change(lambda _: answers(0, 1), lambda _: answers(0, 1), np.zeros((2, 2, 2)), np.array([0, 0]))
    assert same == Change(2, 0.5, 0.5, ((0.5, 0.5), None, None), (0.0, 0.0))


# The command.


def test_a_version_is_trained_on_and_told_apart_from_its_parent(store: Path, tmp_path: Path) -> None:
    code, output = run("--from", "small", *FAST, "--store", store, "--checkpoints", tmp_path, "--must-not-lose", "50")
    assert code == 0, output
    assert "test images of digits: " in output and "before" in output
    assert "explanations of 40 of the test digits by shapley: median rank correlation with the parent's" in output
    card = json.loads((store / "small" / "2" / "assets.extra" / "model_card.json").read_text())
    assert card["training"]["parent"] == "small/1" and card["name"] == "small"


def test_a_net_that_lost_too_much_is_not_exported(store: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in (store / "small").iterdir())
    spoilt = ["--learning-rate", "10", "--must-not-lose", "0.1"]
    code, output = run("--from", "small/1", *FAST, *spoilt, "--store", store, "--checkpoints", tmp_path)
    assert code == 1
    assert "exported nothing, because on digits the net reads over 0.1 points less" in output
    assert sorted(path.name for path in (store / "small").iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected an ARCHITECTURE, or --from"),
        (["mlp", "--from", "small/1"], "expected an ARCHITECTURE, or --from"),
        (["--from", "small/1", "--units", "8"], "leave out --units"),
        (["mlp", "--replay", "0.5"], "need --from"),
        (["mlp", "--freeze", "dense"], "need --from"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], told: str) -> None:
    code, output = run(*arguments, "--data", "digits")
    assert code == 2 and told in output
