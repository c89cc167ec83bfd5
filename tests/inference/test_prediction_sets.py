"""Prediction sets: the classes that hold the right one as often as they say, by split conformal prediction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from server.inference.predict import to_prediction, with_coverage
from server.models.card import BrokenVersion, read_card
from server.types import Array, ConformalScores, PredictionSet
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


def calibration_of(probabilities: Array, labels: Array) -> ConformalScores:
    stored = prediction_sets(probabilities, labels)
    return ConformalScores(stored["n"], tuple(stored["lowest"]))


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
def test_sets_are_those_of_mapie(coverage: float) -> None:
    probabilities, labels = drawn(3000, 1)
    calibration = calibration_of(probabilities, labels)
    asked, _ = drawn(400, 2)
    oracle = SplitConformalClassifier(Told(), confidence_level=coverage, conformity_score="lac", prefit=True)
    oracle.conformalize(probabilities, labels)
    expected = oracle.predict_set(asked)[1][:, :, 0]
    for row, flags in zip(asked, expected, strict=True):
        found = calibration.prediction_set(row.tolist(), coverage)
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


FEW = ConformalScores(1000, (0.1, *[0.99] * 49))


def test_the_likeliest_come_first_and_there_is_always_one() -> None:
    shares = [0.03] * 10
    shares[4], shares[9] = 0.5, 0.26
    assert FEW.prediction_set(shares, 0.999) == PredictionSet((4, 9), 0.999, 1000)
    assert FEW.prediction_set(shares, 0.99) == PredictionSet((4,), 0.99, 1000)


def test_digits_vouch_for_no_more_and_no_less_than_they_can() -> None:
    low, high = FEW.range
    assert (low, high) == (pytest.approx(1 - 50.5 / 1001), pytest.approx(1000 / 1001))
    shares = [0.1] * 10
    assert FEW.prediction_set(shares, 0.9995) is None  # a thousand digits are too few
    assert FEW.prediction_set(shares, 0.9) is None  # only the lowest are known
    assert FEW.prediction_set(shares, low) is not None and FEW.prediction_set(shares, high) is not None


def logits_of(*shares: float) -> Array:
    return np.log(np.array([[*shares, *[(1 - sum(shares)) / (10 - len(shares))] * (10 - len(shares))]]))


def test_a_prediction_has_a_set_where_its_version_can_vouch_for_one(tmp_path: Path) -> None:
    card = replace(read_card(write_version(tmp_path)), temperature=1.0, energy_threshold=-1.0)
    logits = logits_of(0.1, 0.6, 0.25)
    found = to_prediction(replace(card, conformal=FEW), logits)
    assert found.prediction_set == PredictionSet((1, 2, 0), 0.999, 1000)
    assert to_prediction(card, logits).prediction_set is None  # its card has no such scores
    assert with_coverage(found, 0.96).prediction_set == PredictionSet((1,), 0.96, 1000)
    unlike = to_prediction(replace(card, conformal=FEW, energy_threshold=1.0), logits)
    assert not unlike.in_distribution.ok
    assert unlike.prediction_set is None and with_coverage(unlike, 0.96).prediction_set is None


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
    found = read_card(write_version(tmp_path, prediction_sets={"n": 40, "lowest": [0.25, 0.5]})).conformal
    assert found == ConformalScores(40, (0.25, 0.5))
    assert found.range == (pytest.approx(1 - 2.5 / 41), pytest.approx(40 / 41))
