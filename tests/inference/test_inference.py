"""Time and explanation_id of explanations: what a budget leaves of them, and what their id depends on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from server.errors import InvalidOption, OutOfTime
from server.explainers.integrated_gradients import IntegratedGradients
from server.inference.explain import ExplainRequest, explain, explanation_id, is_complete
from server.inference.predict import ModelSelector
from server.models.repository.store import LoadedModel, LoadedVersion
from server.protocols import RequestContext
from server.render import alt_text
from server.scheduling import ImmediateSession
from server.types import Array, Explanation, LiteRTFile, Model, Picture, Quantization, Target
from tests.support.clock import Clock
from tests.support.models.fakes import Wavy
from tests.support.models.stores import SEVEN, card_28, draw_seven, encoded
from tests.support.removal import removal_rows


@dataclass
class Hourglass(Wavy):
    """A second of its own clock passes with every gradient."""

    clock: Clock = field(default_factory=Clock)

    def gradient(self, images: Array, weights: Array) -> Array:
        self.clock.seconds += 1
        return super().gradient(images, weights)


@dataclass(frozen=True)
class One:
    """A store of one version."""

    model: Model

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        yield LoadedVersion(self.model.card, Path(), twin=self.model, explaining=LoadedModel(self.model))


def explained(
    model: Model, clock: Clock | None = None, body: bytes = SEVEN, budget: float = 30.0, **wanted: Any
) -> Explanation:
    request = ExplainRequest(**{"method": "integrated_gradients", **wanted})
    session = ImmediateSession(RequestContext.within(budget, clock or Clock()))
    return explain(One(model), Picture(body), ModelSelector("fake"), request, session).value


def glass() -> Hourglass:
    return Hourglass(card_28())


# Rules of 2, 4, 8 .. 512 nodes, one gradient each.
NEVER_MET = {"n_steps": "2", "tolerance": "1e-6", "baseline": "mean"}


@pytest.mark.parametrize(("budget", "rules"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2)])
def test_out_of_time_with_something_in_hand_is_partial(budget: float, rules: int) -> None:
    model = glass()
    found = explained(model, model.clock, options=NEVER_MET, budget=budget)
    method = IntegratedGradients(n_steps=2, tolerance=1e-6, baseline="mean")
    every = method.refine(glass(), found.digit.pixels, found.target, seed=0)
    expected = [next(every) for _ in range(rules)][-1]
    assert found.attribution.state == "partial"
    assert expected.rows == 2 + sum(2**k for k in range(1, rules + 1))
    is_tested = [part.drop is not None for part in found.parts]
    assert is_tested == [budget > 1] * len(found.parts) and len(found.parts) > 1  # as soon as there is any map
    assert found.attribution.rows == expected.rows + (budget > 1) * removal_rows(found)
    assert np.array_equal(found.attribution.values, expected.values)


def test_with_time_enough_the_method_decides_when_it_is_done() -> None:
    model = glass()
    found = explained(model, model.clock, options={"n_steps": "2", "tolerance": "0.001"}, budget=1000.0)
    assert found.attribution.state == "converged"
    gap = abs(found.attribution.convergence_delta)
    assert gap <= 0.001 * abs(found.attribution.score - found.attribution.base_value)
    assert model.clock() < 100 + 9  # it did not go on to the last rule


@pytest.mark.parametrize(("method", "budget"), [("saliency", 1.0), ("saliency", 0.25), ("integrated_gradients", 0.0)])
def test_out_of_time_with_nothing_is_an_error(method: str, budget: float) -> None:
    model = glass()
    with pytest.raises(OutOfTime, match=f"{budget * 1000:.0f} ms"):
        explained(model, model.clock, method=method, budget=budget)


def test_time_that_is_left_is_not_missed() -> None:
    model = glass()
    assert explained(model, model.clock, method="saliency", budget=1.001).attribution.state == "exact"


@dataclass
class Sand(Wavy):
    """A second of its own clock passes with every forward pass, however many rows it has."""

    clock: Clock = field(default_factory=Clock)

    def forward(self, images: Array) -> Array:
        self.clock.seconds += 1
        return super().forward(images)


@pytest.mark.parametrize(("budget", "is_tested"), [(1.5, False), (2.5, True)])
def test_a_removal_test_that_time_does_not_allow_takes_nothing_from_the_answer(budget: float, is_tested: bool) -> None:
    """The prediction takes one second, and so does the method."""
    model = Sand(card_28())
    found = explained(model, model.clock, method="saliency", budget=budget)
    assert found.attribution.state == found.attribution.stop == "exact"
    assert {part.drop is not None for part in found.parts} == {is_tested}
    assert ("Removal test" in alt_text(found)) is is_tested and "reacts most to changes at the" in alt_text(found)
    assert is_complete(found, quality=False) is is_tested  # else it would be kept like that


def test_the_removal_test_asks_what_is_explained() -> None:
    """The same parts, whatever the method, and other drops for a contrast or a probability."""
    wanted: list[dict[str, Any]] = [{}, {"method": "lime"}, {"versus": "0"}, {"output": "probability"}]
    found = [explained(Wavy(card_28()), **each) for each in wanted]
    drops = [sorted(part.drop or 0 for part in one.parts) for one in found]
    assert drops[0] == drops[1] and drops[0] != drops[2]
    assert all(abs(drop) <= 1 for drop in drops[3])
    assert len({tuple(sorted((part.kind, part.place or "") for part in one.parts)) for one in found}) == 1


def test_the_probability_is_explained_within_the_budget_too() -> None:
    model = glass()
    with pytest.raises(OutOfTime):
        explained(model, model.clock, method="saliency", output="probability", budget=1.0)


def test_class_zero_is_a_target_and_a_contrast() -> None:
    wavy = Wavy(card_28())
    assert explained(wavy).target.index != 0
    assert explained(wavy, target="0").target.index == 0
    assert explained(wavy, versus="0").target.versus == 0
    assert list(explained(wavy, target="0").target.weights) == list(Target.of_class(0, wavy.card.classes).weights)
    with pytest.raises(InvalidOption, match="versus=0"):
        explained(wavy, target="0", versus="0")


CHANGES: list[dict[str, Any]] = [
    {"target": "0"},
    {"target": "1"},
    {"versus": "0"},
    {"target": "1", "versus": "0"},
    {"output": "probability"},
    {"seed": 1},
    {"options": {"n_steps": "32"}},
    {"options": {"baseline": "black"}},
    {"method": "saliency"},
    {"body": encoded(draw_seven(80))},
]


def test_everything_that_changes_the_answer_changes_the_id() -> None:
    wavy = Wavy(card_28())
    other = Wavy(replace(card_28(), digest="sha256:another"))
    ids = [explained(wavy).id, explained(other).id, *(explained(wavy, **change).id for change in CHANGES)]
    assert len(set(ids)) == len(ids)


def test_a_new_revision_of_the_method_changes_the_id() -> None:
    @dataclass(frozen=True)
    class Revised(IntegratedGradients):
        revision: ClassVar[int] = IntegratedGradients.revision + 1

    found, request = explained(Wavy(card_28())), ExplainRequest("integrated_gradients")
    ids = [explanation_id(found.digit, found.prediction, kind(), request) for kind in (IntegratedGradients, Revised)]
    assert len(set(ids)) == 2


def test_nothing_else_changes_the_id() -> None:
    wavy = Wavy(card_28())
    plain = explained(wavy)
    same: list[dict[str, Any]] = [
        {"budget": 9.0},
        {"frame": "model"},
        {"target": plain.target.label},
        {"options": {"n_steps": "16"}},
    ]
    assert {explained(wavy, **one).id for one in same} == {plain.id}


# What a certificate counts.


BY_GRADIENT = ["saliency", "gradient_x_input", "smooth_grad", "var_grad", "integrated_gradients", "expected_gradients"]


@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize("method", [*BY_GRADIENT, "shapley", "lime", "occlusion", "rise", "grad_cam", "attention"])
def test_rows_are_all_that_went_through_the_model(method: str, output: Any) -> None:
    """A slope of a probability takes the probability too."""
    model = Wavy(card_28())
    found = explained(model, method=method, output=output)
    predicted = 1
    assert found.attribution.rows == model.rows - predicted


def test_a_partial_answer_counts_its_own_rows() -> None:
    found = explained(model := glass(), model.clock, options=NEVER_MET, budget=1.5, output="probability")
    assert found.attribution.state == "partial"
    assert found.attribution.rows == 2 + 2 * (2 + 4) + removal_rows(found)


@dataclass(frozen=True)
class Two:
    """A store of one version, in which one model predicts and another explains."""

    predicts: Model
    explains: Model

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        yield LoadedVersion(self.explains.card, Path(), twin=self.predicts, explaining=LoadedModel(self.explains))


@pytest.mark.parametrize("is_quantized", [True, False])
@pytest.mark.parametrize("other", [True, False])
def test_an_explanation_says_where_the_quantised_file_reads_another_digit(is_quantized: bool, other: bool) -> None:
    class Reversed(Wavy):
        def logits(self, images: Array) -> Array:
            return -super().logits(images)

    file = LiteRTFile("x", frozenset({"predict"}), {"forward": (1,)}, 1, Quantization("int8", 10, 1.0, 0.1))
    card = replace(card_28(), litert=(file,) if is_quantized else ())
    net = Wavy(card)
    store = Two(Reversed(card) if other else Wavy(card), net)
    request = ExplainRequest("shapley", {"grid": "2"})
    session = ImmediateSession(RequestContext.within(30.0, Clock()))
    found = explain(store, Picture(SEVEN), ModelSelector("fake"), request, session).value
    named = [warning for warning in found.attribution.warnings if warning.startswith("files-disagree")]
    assert bool(named) == (is_quantized and other)
    if named:
        reads = net.card.classes[int(net.forward(found.digit.pixels[None])[0].argmax())]
        assert f"(int8) reads {found.prediction.label}, the net that is explained reads {reads};" in named[0]
        assert "explained reads" in alt_text(found) and found.target.label == found.prediction.label


@pytest.mark.parametrize(
    ("method", "output", "warned"),
    [
        ("smooth_grad", "probability", True),
        ("expected_gradients", "probability", True),
        ("smooth_grad", "logit", False),
        ("saliency", "probability", False),
        ("rise", "probability", False),
    ],
)
def test_errors_that_are_known_to_be_too_small_are_told_so(method: str, output: Any, warned: bool) -> None:
    found = explained(Wavy(card_28()), method=method, output=output)
    assert any(one.startswith("errors-too-small") for one in found.attribution.warnings) == warned
