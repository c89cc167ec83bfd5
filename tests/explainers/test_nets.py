"""Every method on every shipped net: the axioms, and requests with a contrast, a budget and a measure of quality."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import OutOfTime
from server.explainers import EXPLAINERS
from server.explainers.expected_gradients import ExpectedGradients
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.shapley import Shapley
from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.models.repository.store import LoadedModel, LoadedVersion
from server.protocols import RequestContext
from server.render.language import ENGLISH
from server.scheduling import ImmediateSession
from server.types import Array, Explanation, Features, Model, Picture
from tests.support.axioms import (
    NOT_LINEAR,
    WITHOUT_TARGET,
    Subject,
    follows_the_target,
    is_linear_in_the_target,
    keeps_sums_in_segments,
    repeats_itself,
    sums_to_the_score,
    tells_its_score_and_rows,
)
from tests.support.clock import Clock
from tests.support.models.nets import NAMES, card, digits, net, one, twin

BOTH = [(name, method) for name in NAMES for method in EXPLAINERS if EXPLAINERS[method].needs <= card(name).verbs]
EVERY = pytest.mark.parametrize(("name", "method"), BOTH, ids=lambda word: word)
FIXED: dict[str, Any] = {  # rules that stop by the gap take another number of nodes for every target
    "shapley": Shapley(within="even"),  # within cells pixels follow an order of their own
    "integrated_gradients": IntegratedGradients(n_steps=64, tolerance=1.0),
    "expected_gradients": ExpectedGradients(n_samples=200, tolerance=1.0),
}


def subject(name: str) -> Subject:
    return Subject(net(name), digits()[1], digits=1e-5)


@EVERY
def test_complete_methods_sum_to_the_score(name: str, method: str) -> None:
    if EXPLAINERS[method].complete:
        sums_to_the_score(EXPLAINERS[method](), subject(name))


@EVERY
def test_attributions_have_score_and_rows(name: str, method: str) -> None:
    tells_its_score_and_rows(EXPLAINERS[method](), subject(name))


@EVERY
def test_targets_are_followed_and_add_up(name: str, method: str) -> None:
    explainer = FIXED.get(method, EXPLAINERS[method]())
    if method not in WITHOUT_TARGET:
        follows_the_target(explainer, subject(name))
        if method not in NOT_LINEAR:
            is_linear_in_the_target(explainer, subject(name))


@EVERY
def test_the_same_question_has_the_same_answer(name: str, method: str) -> None:
    repeats_itself(EXPLAINERS[method](), subject(name))
    keeps_sums_in_segments(EXPLAINERS[method](), subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_64_nodes_close_the_gap_of_integrated_gradients(name: str) -> None:
    explainer = IntegratedGradients(n_steps=64, tolerance=1.0)
    for image in digits()[:10]:
        target = one(name, int(net(name).forward(image[None]).argmax()))
        (found,) = explainer.refine(net(name), image, target, 0)
        assert abs(found.convergence_delta or 1) < 1e-3 * abs((found.score or 0) - (found.base_value or 0))


# As a request: picture, contrast, budget and quality.


@dataclass
class Ticking:
    """A second of its own clock passes with every call of the net."""

    model: Model
    clock: Clock = field(default_factory=Clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def forward(self, images: Array) -> Array:
        self.clock.seconds += 1
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self.clock.seconds += 1
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self.clock.seconds += 1
        return self.model.features(images, weights)


@dataclass(frozen=True)
class One:
    """A store of one version."""

    model: Any
    name: str

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        yield LoadedVersion(card(self.name), Path(), twin=twin(self.name), explaining=LoadedModel(self.model))


def explanation_of(name: str, budget: float, **why: Any) -> Explanation:
    model = Ticking(net(name))
    levels = np.rint(digits()[3] * 255).astype(int).tolist()
    session = ImmediateSession(RequestContext.within(budget, model.clock))
    return explain(One(model, name), Picture(pixels=levels), ModelSelector(name), ExplainRequest(**why), session).value


@EVERY
def test_a_contrast_is_explained_and_measured(name: str, method: str) -> None:
    found = explanation_of(name, 1e6, method=method, target="3", versus="8", quality=True)
    logits = net(name).forward(found.digit.pixels[None])[0]
    assert found.attribution.score == pytest.approx(logits[3] - logits[8], abs=1e-4)
    assert found.target.label == "3, not 8"
    assert found.quality is not None
    values = {measure.name: measure.value for measure in found.quality.measures}
    assert set(values) == {"deletion_auc", "insertion_auc", "mu_fidelity", "max_sensitivity"}
    assert all(value is not None and np.isfinite(value) for value in values.values())
    assert ENGLISH.verdict(found.quality).startswith("This map is")


LONG: dict[str, dict[str, str]] = {  # options with which a method asks its model many times
    "shapley": {"grid": "7"},
    "lime": {"segmentation": "grid"},
    "occlusion": {"patch": "5", "stride": "1"},
    "rise": {},
    "smooth_grad": {"n_samples": "400"},
    "square_grad": {"n_samples": "400"},
    "var_grad": {"n_samples": "400"},
    "integrated_gradients": {"n_steps": "4", "tolerance": "1e-6"},
    "expected_gradients": {"tolerance": "1e-6", "n_samples": "20000"},
}


@EVERY
def test_a_budget_buys_the_best_answer_so_far(name: str, method: str) -> None:
    """The fewest calls that give an answer give a partial one; twice as many rows a better one, by its own word."""
    if method not in LONG:  # one look is all that it takes
        with pytest.raises(OutOfTime):
            explanation_of(name, 0.5, method=method)
        assert explanation_of(name, 2.5, method=method).attribution.stop == "exact"
        return
    first = None
    for budget in range(8):
        try:
            first = explanation_of(name, budget + 0.5, method=method, options=LONG[method])
            break
        except OutOfTime:
            continue
    assert first is not None
    assert (first.attribution.state, first.attribution.stop) == ("partial", "budget")
    assert np.isfinite(first.attribution.values).all() and first.attribution.values.any()
    whole = explanation_of(name, 1e6, method=method, options=LONG[method])
    assert whole.attribution.rows > first.attribution.rows
    if method != "integrated_gradients" and method != "expected_gradients":
        assert whole.attribution.state in ("exact", "converged")
