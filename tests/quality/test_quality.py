"""Measures of faithfulness against maps whose rank is known by hand: the best possible, the worst and random ones."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from server.errors import OutOfTime
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.saliency import Saliency
from server.explainers.shapley import Shapley
from server.models.wrappers import MemoizedModel
from server.quality import assess
from server.quality.cells import Cells
from server.quality.curves import areas, deletion_and_insertion
from server.quality.mu_fidelity import mu_fidelity
from server.render.language import ENGLISH
from server.types import Array, Attribution, Measure, Model, Quality, Target
from tests.support.models.fakes import Linear, Square, ink

TARGET = Target.of_class(1, ("0", "1", "2"))
FAITHFUL = ("deletion_auc", "insertion_auc", "mu_fidelity")


def truth(model: Linear, image: Array) -> Array:
    """What each pixel of a linear model adds."""
    return model.directions()[1] * image


def judged(values: Array, model: Model | None = None, explainer: Any = None) -> dict[str, Measure]:
    quality = assess(
        model or Linear(), ink(), TARGET, explainer or Saliency(), Attribution(values, "logit", "exact", 1), 0
    )
    return {measure.name: measure for measure in quality.measures}


def verdict(values: Array) -> str:
    return ENGLISH.verdict(assess(Linear(), ink(), TARGET, Saliency(), Attribution(values, "logit", "exact", 1), 0))


def test_the_truth_about_a_linear_model_beats_every_control() -> None:
    values = truth(Linear(), ink())
    found = judged(values)
    assert found["mu_fidelity"].value == pytest.approx(1)
    for name in FAITHFUL:
        assert found[name].beaten == 1
        assert found[name].better_than_ink
    assert verdict(values).startswith("This map is better than a random order and than the ink alone by deletion")


def test_the_opposite_of_the_truth_is_the_worst() -> None:
    values = truth(Linear(), ink())
    best, worst = judged(values), judged(-values)
    assert worst["mu_fidelity"].value == pytest.approx(-1)
    for name in FAITHFUL:
        assert worst[name].beaten == 0
    # removing the best last is putting the best back first: the two curves are each other's mirror
    middle = float(Linear().forward(np.stack([np.zeros((8, 8)), ink()]))[:, 1].mean())
    for name in ("deletion_auc", "insertion_auc"):
        assert best[name].value + worst[name].value == pytest.approx(2 * middle, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_random_map_is_said_to_be_not_clearly_better_than_random(seed: int) -> None:
    assert "not clearly better than a random order by" in verdict(np.random.default_rng(seed + 10).normal(size=(8, 8)))


def test_the_ink_as_a_map_is_said_to_be_no_better_than_the_ink() -> None:
    assert "no better than the ink alone by" in verdict(ink())


def test_areas_are_those_of_the_curves_by_hand() -> None:
    """Four cells, one step each, every order: the trapezoids of removing and of putting back."""
    image = np.zeros((8, 8), np.float32)
    image[2, [1, 3, 4, 6]] = [1, 0.5, 0.25, 0.75]
    model = Square()
    cells = Cells.of(model, image, TARGET, Attribution(np.zeros((8, 8)), "logit", "exact", 1))
    orders = np.array(list(itertools.permutations(range(4))))
    deletion, insertion = areas(cells, orders)
    places = np.flatnonzero(image)
    for row, order in enumerate(orders):
        fallen, risen = [], []
        for count in range(5):
            gone = image.copy().ravel()
            gone[places[order[:count]]] = 0
            fallen.append(float(model.forward(gone.reshape(1, 8, 8))[0, 1]))
            risen.append(float(model.forward((image.ravel() - gone).reshape(1, 8, 8))[0, 1]))
        assert deletion[row] == pytest.approx(sum(a + b for a, b in itertools.pairwise(fallen)) / 8, rel=1e-5)
        assert insertion[row] == pytest.approx(sum(a + b for a, b in itertools.pairwise(risen)) / 8, rel=1e-5)


def test_cells_without_ink_and_ties_decide_nothing() -> None:
    """A map that is right on ink and wild on empty paper is as good as without."""
    values = truth(Linear(), ink())
    wild = values + np.where(ink() > 0, 0, 100)
    assert [one.value for one in judged(values).values()][:3] == [one.value for one in judged(wild).values()][:3]


def test_segments_are_removed_as_wholes_and_exact_shapley_asks_nothing_new() -> None:
    model = MemoizedModel(Square())
    *_, found = Shapley(grid=4, baseline="black", within="even").refine(model, ink(), TARGET, 0)
    before = model.memo.rows
    cells = Cells.of(model, ink(), TARGET, found)
    assert deletion_and_insertion(cells)[0].beaten is not None and mu_fidelity(cells).beaten is not None
    assert len(cells.values) == 12
    assert model.memo.rows == before


@dataclass(frozen=True)
class Scaled:
    """a = factor(sum of the image) x the image: its sensitivity is known."""

    name: ClassVar[str] = "scaled"
    power: float = 0.0

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        yield Attribution(image.astype(np.float64) * (2 * float(image.mean())) ** self.power, "logit", "exact", 1)


def test_sensitivity_grows_with_how_wildly_a_method_follows_its_input() -> None:
    calm, wild = (
        judged(next(one.refine(Linear(), ink(), TARGET, 0)).values, explainer=one)["max_sensitivity"]
        for one in (Scaled(), Scaled(power=30.0))
    )
    assert calm.value == pytest.approx(calm.intensity)  # the map is the ink
    assert wild.value > 3 * calm.value
    assert calm.value < 0.02 * np.sqrt((ink() > 0).sum()) / np.linalg.norm(ink())
    assert calm.random > 10 * calm.value


def test_the_seed_is_the_same_for_all_neighbours() -> None:
    @dataclass(frozen=True)
    class OfTheSeed(Scaled):
        def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
            yield Attribution(np.random.default_rng(seed).normal(size=image.shape), "logit", "exact", 1)

    expected = next(OfTheSeed().refine(Linear(), ink(), TARGET, 0)).values
    assert judged(expected, explainer=OfTheSeed())["max_sensitivity"].value == 0


class Exhausted(Linear):
    """Has time for so many rows only."""

    left = 0

    def forward(self, images: Array) -> Array:
        self.left -= 1
        if self.left < 0:
            raise OutOfTime("no time")
        return super().forward(images)


def test_measures_taken_before_the_deadline_are_reported() -> None:
    values = Attribution(truth(Linear(), ink()), "logit", "exact", 1)
    names = []
    for calls in (0, 6, 8):
        model = Exhausted()
        model.left = calls
        quality: Quality = assess(model, ink(), TARGET, Saliency(), values, 0)
        names.append([measure.name for measure in quality.measures])
        assert "no time" in ENGLISH.verdict(quality)
        assert quality.passed is (True if calls == 8 else None)
    assert names[0] == [] and names[1] == ["deletion_auc", "insertion_auc"]
    assert names[2][:3] == list(FAITHFUL)


def test_the_seed_of_a_request_does_not_change_how_its_map_is_judged() -> None:
    """Integrated gradients draw nothing."""
    values = replace(next(iter(IntegratedGradients().refine(Square(), ink(), TARGET, 0))), state="exact")
    found = [assess(Square(), ink(), TARGET, IntegratedGradients(), values, seed) for seed in (5, 5, 6)]
    assert found[0] == found[1] == found[2]


def test_memoised_pictures_are_computed_once_and_give_the_same_answers() -> None:
    fake = Square()
    model = MemoizedModel(fake)
    images = np.random.default_rng(0).random((7, 8, 8)).astype(np.float32)
    first = model.forward(images[:5])
    again = model.forward(images[[6, 1, 1, 0, 6]])
    assert fake.rows == model.memo.rows == 5 + 1
    assert again[1:4] == pytest.approx(first[[1, 1, 0]])
    assert again[0] == pytest.approx(Square().forward(images[6:])[0])
