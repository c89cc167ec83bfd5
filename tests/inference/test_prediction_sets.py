"""Prediction sets: the classes that hold the right one as often as they say, by split conformal prediction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from server.models.card import BrokenVersion, read_card
from server.types import Array, Calibration, InDistribution, Prediction
from tests.support.models.stores import write_version
from training.calibrate import prediction_sets

COVERAGES = (0.95, 0.99, 0.999)


def drawn(count: int, seed: int) -> tuple[Array, Array]:
    """Probabilities (n, 10) of classes, and the right ones: not always the likeliest, and never as sure as they say."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    logits = rng.normal(size=(count, 10)) * 1.5
    logits[np.arange(count), labels] += rng.normal(6, 3, count)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True), labels


def calibration_of(probabilities: Array, labels: Array) -> Calibration:
    stored = prediction_sets(probabilities, labels)
    return Calibration(stored["n"], tuple(stored["lowest"]))


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read_card(write_version(tmp_path_factory.mktemp("store")))


def prediction(card: Any, calibration: Calibration | None, probabilities: Array, ok: bool = True) -> Prediction:
    known = replace(card, calibration=calibration)
    index = int(probabilities.argmax())
    return Prediction(known, index, probabilities, np.log(probabilities), InDistribution(ok, 9.0, 1.0))


class Told(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are the features themselves."""

    def __init__(self) -> None:
        self.classes_ = np.arange(10)
        self.is_fitted_ = True

    def fit(self, _: Array, __: Array) -> "Told":
        return self

    def predict_proba(self, features: Array) -> Array:
        return features

    def predict(self, features: Array) -> Array:
        return features.argmax(axis=1)


@pytest.mark.parametrize("coverage", COVERAGES)
def test_sets_are_those_of_mapie(card: Any, coverage: float) -> None:
    probabilities, labels = drawn(3000, 1)
    calibration = calibration_of(probabilities, labels)
    asked, _ = drawn(400, 2)
    oracle = SplitConformalClassifier(Told(), confidence_level=coverage, conformity_score="lac", prefit=True)
    oracle.conformalize(probabilities, labels)
    expected = oracle.predict_set(asked)[1][:, :, 0]
    for row, flags in zip(asked, expected, strict=True):
        found = prediction(card, calibration, row).prediction_set(coverage)
        assert found is not None
        assert set(found.classes) == {*np.flatnonzero(flags).tolist(), int(row.argmax())}  # ours are never empty


@pytest.mark.parametrize("coverage", COVERAGES)
def test_sets_hold_the_right_class_as_often_as_they_say(coverage: float) -> None:
    probabilities, labels = drawn(40_000, 3)
    shares = []
    for split in range(50):
        order = np.random.default_rng(split).permutation(len(labels))
        known, new = np.split(order, 2)
        least = calibration_of(probabilities[known], labels[known]).threshold(coverage)
        shares.append(np.mean(probabilities[new, labels[new]] >= least))
    assert np.mean(shares) == pytest.approx(coverage, abs=0.001)
    assert np.mean(shares) >= coverage - 0.0005


def test_the_likeliest_come_first_and_there_is_always_one(card: Any) -> None:
    calibration = Calibration(1000, (0.1, *[0.99] * 49))
    shares = np.full(10, 0.03)
    shares[4], shares[9] = 0.5, 0.26
    assert prediction(card, calibration, shares).prediction_set(0.999).classes == (4, 9)  # type: ignore[union-attr]
    assert prediction(card, calibration, shares).prediction_set(0.99).classes == (4,)  # type: ignore[union-attr]


def test_no_set_where_nobody_can_vouch_for_it(card: Any) -> None:
    calibration, shares = Calibration(1000, (0.1, *[0.99] * 49)), np.full(10, 0.1)
    assert prediction(card, calibration, shares, ok=False).prediction_set() is None  # unlike digits
    assert prediction(card, None, shares).prediction_set() is None  # a version that was not calibrated
    assert prediction(card, calibration, shares).prediction_set(0.9995) is None  # a thousand digits are too few
    assert prediction(card, calibration, shares).prediction_set(0.9) is None  # only the lowest are known
    low, high = calibration.range
    assert prediction(card, calibration, shares).prediction_set(low) is not None
    assert prediction(card, calibration, shares).prediction_set(high) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 2, "lowest": [0.1, 0.2, 0.3]},
        {"n": 9, "lowest": []},
        {"n": 9, "lowest": [0.3, 0.2]},
        {"n": 9, "lowest": [0.3, 1.2]},
        {"n": 9, "lowest": [-0.1]},
        {"n": 9, "lowest": [float("nan")]},
        {"n": True, "lowest": [0.3]},
        {"n": 9.0, "lowest": [0.3]},
        {"n": 9},
        {"lowest": [0.3]},
        [0.3],
    ],
)
def test_a_card_with_impossible_sets_is_broken(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(BrokenVersion):
        read_card(write_version(tmp_path, prediction_sets=wrong))


def test_a_card_tells_its_calibration(tmp_path: Path) -> None:
    found = read_card(write_version(tmp_path, prediction_sets={"n": 40, "lowest": [0.25, 0.5]})).calibration
    assert found == Calibration(40, (0.25, 0.5))
    assert found.range == (pytest.approx(1 - 2.5 / 41), pytest.approx(40 / 41))
