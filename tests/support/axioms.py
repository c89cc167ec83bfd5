"""What must hold for every explanation method and model: each axiom takes a method and a subject, and raises
AssertionError where it does not hold. test_explainers.py shows each to reject a broken method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from server.types import Array, Attribution, Features, Model, ModelCard, Target, Verb
from tests.support.models.fakes import ink

NOT_LINEAR = ("grad_cam", "square_grad", "var_grad")  # a ReLU, squares
WITHOUT_TARGET = ("attention",)


@dataclass
class Counted:
    """A model that counts its rows."""

    model: Model
    rows: int = 0

    @property
    def card(self) -> ModelCard:
        return self.model.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.model.verbs

    def forward(self, images: Array) -> Array:
        self.rows += len(images)
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self.rows += len(images)
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self.rows += len(images)
        return self.model.features(images, weights)


@dataclass(frozen=True)
class Subject:
    """A model and an image; numbers may be off by `digits`, which is the rounding of the model's own."""

    model: Model
    image: Array
    digits: float = 1e-6

    def one(self, index: int) -> Target:
        return Target.of_class(index, self.model.card.classes)

    def last(self, explainer: Any, target: Target, seed: int = 0) -> Attribution:
        *_, found = explainer.refine(self.model, self.image, target, seed)
        return found  # type: ignore[no-any-return]


Axiom = Callable[[Any, Subject], None]


def of(fake: Any) -> Subject:
    return Subject(fake(), ink())


def sums_to_the_score(explainer: Any, subject: Subject) -> None:
    found = subject.last(explainer, subject.one(1))
    gap = found.values.sum() - (found.score - found.base_value)
    allowed = 1e-9 if found.state == "exact" else getattr(explainer, "tolerance", 1e-9)
    assert abs(gap) <= allowed * abs(found.score - found.base_value) + 1e-12
    assert found.convergence_delta == pytest.approx(gap, abs=1e-9)


def tells_its_score_and_rows(explainer: Any, subject: Subject) -> None:
    counted = Counted(subject.model)
    found = Subject(counted, subject.image).last(explainer, subject.one(2))
    assert found.rows == counted.rows
    expected = float(subject.model.forward(subject.image[None])[0, 2])
    assert found.score == pytest.approx(expected, rel=1e-6, abs=10 * subject.digits)


def follows_the_target(explainer: Any, subject: Subject) -> None:
    zero, first = (subject.last(explainer, subject.one(index)).values for index in (0, 1))
    assert np.abs(zero - first).max() > 1e-3 * max(np.abs(zero).max(), np.abs(first).max())


def is_linear_in_the_target(explainer: Any, subject: Subject) -> None:
    both = subject.last(explainer, Target.contrast(2, 0, subject.model.card.classes)).values
    apart = subject.last(explainer, subject.one(2)).values - subject.last(explainer, subject.one(0)).values
    assert np.abs(both - apart).max() <= subject.digits * max(1, np.abs(both).max())


def repeats_itself(explainer: Any, subject: Subject) -> None:
    first, second = (subject.last(explainer, subject.one(1), seed=7) for _ in range(2))
    assert first.values == pytest.approx(second.values, abs=1e-5)
    assert first.rows == second.rows


def keeps_sums_in_segments(explainer: Any, subject: Subject) -> None:
    found = subject.last(explainer, subject.one(1))
    if found.segments is not None:
        assert found.segment_values is not None
        sums = np.bincount(found.segments.ravel(), weights=found.values.ravel(), minlength=len(found.segment_values))
        assert sums == pytest.approx(found.segment_values, abs=1e-9)


def gives_nothing_to_what_is_not_seen(explainer: Any, subject: Subject) -> None:
    """For models that see the left half of an image only."""
    half = subject.image.shape[1] // 2
    found = subject.last(explainer, subject.one(1))
    assert np.abs(found.values[:, half:]).max() < 1e-9
    assert np.abs(found.values[:, :half]).max() > 1e-3
