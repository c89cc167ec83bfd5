"""The referee: planted causes decide, maps are read as they lie, and a method that names nothing is found out.

The net is linear and known: each class has one template, so that its cause is known without training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from server.explainers.expected_gradients import ExpectedGradients
from server.explainers.grad_cam import GradCam
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.lime import Lime
from server.explainers.occlusion import Occlusion
from server.explainers.rise import Rise
from server.explainers.saliency import Saliency
from server.explainers.shapley import Shapley
from server.types import Array, Attribution, Model, Target
from tests.support.models.fakes import Linear, make_card
from training.referee import maps
from training.referee.planted import HELD_OUT, KINDS, planted
from training.referee.trial import explainers_for, key_of, last, on_planted
from training.referee.yardstick import Yardstick, summed_up

EVERY = [*KINDS, *HELD_OUT]
ASKED = 12


def digits(count: int = ASKED) -> Array:
    """Pictures of chance, with ink in the middle as digits have it."""
    images = np.zeros((count, 28, 28), np.float32)
    images[:, 6:22, 8:20] = np.random.default_rng(1).random((count, 16, 12)) > 0.6
    return images


class Templates(Linear):
    """logits_k = how much the picture is like the mean of class k's pictures, less what all classes have in common."""

    def __init__(self, kind: str) -> None:
        known = planted(kind, digits(600), 3, True)
        means = np.stack([known.images[known.labels == k].mean(axis=0) for k in range(known.classes)])
        self._directions = (means - means.mean(axis=0)) * (np.abs(means - means.mean(axis=0)) > 0.1)
        card = make_card(side=28, classes=known.classes)
        super().__init__(replace(card, background=known.images[:50]))

    def directions(self) -> Array:
        return self._directions


@pytest.mark.parametrize("kind", EVERY)
def test_the_cause_is_what_differs_and_repeats_itself(kind: str) -> None:
    one, again, other = (planted(kind, digits(40), seed, True) for seed in (0, 0, 1))
    assert (one.images == again.images).all() and (one.images != other.images).any()
    assert one.images.dtype == np.float32 and 0 <= one.images.min() <= one.images.max() <= 1
    assert set(one.labels) <= set(range(one.classes))
    for image, cause, without in zip(one.images, one.causes, one.without, strict=True):
        changed = image != without
        assert (changed & cause).sum() >= 0.5 * cause.sum()
        assert not (changed & ~maps.reach(cause)).any()


@pytest.mark.parametrize("kind", EVERY)
def test_labels_are_chance_to_all_but_the_cause(kind: str) -> None:
    """Each label is as likely, and new pictures hold no second hint."""
    found = planted(kind, digits(2000), 0, False)
    counts = np.bincount(found.labels, minlength=found.classes) / len(found.labels)
    assert counts == pytest.approx(1 / found.classes, abs=0.04)


def test_a_decoy_agrees_in_training_and_not_when_asked() -> None:
    """The ring stands above; where it stands is half of the truth while training, and chance later."""
    agree = []
    for training in (True, False):
        found = planted("decoy", np.zeros((600, 28, 28), np.float32), 0, training)
        rings = (found.images * ~found.causes)[:, :6].sum(axis=1)  # (n, 28) by column
        places = np.argmax([rings[:, column : column + 3].sum(axis=1) for column in (2, 7, 12, 17, 22)], axis=0)
        agree.append((places == found.labels).mean())
    assert agree == pytest.approx([0.6, 0.2], abs=0.07)


NAMED = [Shapley(), Lime(), Occlusion(), Rise(), IntegratedGradients(), ExpectedGradients()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_people_get_names_each_kind_of_cause(kind: str) -> None:
    scores = on_planted(Templates(kind), kind, digits(), NAMED)
    assert {key: score.named[kind] for key, score in scores.items()} == dict.fromkeys(scores, ASKED)


def test_from_black_paper_missing_ink_is_not_named() -> None:
    black: list[Any] = [method(baseline="black") for method in (Shapley, Occlusion, Rise, IntegratedGradients)]
    scores = on_planted(Templates("missing"), "missing", digits(), black)
    assert max(score.named["missing"] for score in scores.values()) <= ASKED / 2


@dataclass(frozen=True)
class Turned:
    """A broken twin: saliency's map upside down."""

    name: ClassVar[str] = "turned"
    revision: ClassVar[int] = 1

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in Saliency().refine(model, image, target, seed):
            yield replace(found, values=found.values[::-1])


def test_a_map_that_is_turned_is_found_out() -> None:
    twins: list[Any] = [Saliency(), Turned()]
    right, wrong = on_planted(Templates("mark"), "mark", digits(), twins).values()
    assert right.named["mark"] == ASKED and wrong.named["mark"] <= 2
    assert right.auroc["mark"] > 0.95 and wrong.auroc["mark"] < 0.6
    assert right.share["mark"] > 5 * wrong.share["mark"]


def square(row: int, column: int, side: int) -> Array:
    cause = np.zeros((28, 28), bool)
    cause[row : row + side, column : column + side] = True
    return cause


def test_the_strongest_place_is_a_segment_or_a_window() -> None:
    cells = np.arange(28)[:, None] // 7 * 4 + np.arange(28) // 7
    values = np.zeros(16)
    values[5] = 1
    of_cells = Attribution(np.zeros((28, 28)), "logit", "exact", 1, segments=cells, segment_values=values)
    assert maps.names(of_cells, square(8, 8, 3), 0) and not maps.names(of_cells, square(20, 20, 3), 0)
    assert maps.chance(of_cells, square(9, 9, 3)) == 1 / 16

    pixels = np.zeros((28, 28))
    pixels[10:13, 10:13] = 1  # many together are a place
    pixels[24, 24] = 3  # a single one is none
    of_pixels = Attribution(pixels, "logit", "exact", 1)
    assert maps.names(of_pixels, square(10, 10, 3), 0) and not maps.names(of_pixels, square(23, 23, 3), 0)


def test_of_equal_places_chance_decides() -> None:
    flat = Attribution(np.zeros((28, 28)), "logit", "exact", 1)
    cause = square(4, 4, 10)
    named = np.mean([maps.names(flat, cause, seed) for seed in range(400)])
    assert named == pytest.approx(maps.chance(flat, cause), abs=0.07)
    assert maps.auroc(flat, cause) == pytest.approx(0.5)


def test_the_yardstick_knows_the_best_order_of_a_linear_net() -> None:
    """By weight for each unit of change: no order is better; by chance it is 0, the other way round its negative."""
    model, rng = Templates("mark"), np.random.default_rng(0)
    areas: dict[str, list[Array]] = {"best": [], "worst": [], "chance": [], "flat": []}
    spans = []
    pictures = planted("mark", digits(), 1, False)
    for image, label in zip(pictures.images, pictures.labels, strict=True):
        target = Target.of_class(int(label), model.card.classes)
        yardstick = Yardstick(model, image, target)
        spans.append(yardstick.spans)
        best = model.directions()[label] * np.sign(image - model.card.background.mean(axis=0))
        for name, order in (("best", best), ("worst", -best), ("chance", rng.random(best.shape)), ("flat", 0 * best)):
            areas[name].append(yardstick(order))
    found = {name: summed_up(np.array(each), np.array(spans)) for name, each in areas.items()}
    assert found["best"][0] > 0.6 and found["worst"][0] < -0.6
    assert abs(found["chance"][0]) < 0.2 and abs(found["flat"][0]) < 0.2
    assert 0 < found["best"][1] < 0.2


def test_the_yardsticks_error_is_that_of_a_ratio_of_means() -> None:
    rng = np.random.default_rng(2)
    runs = []
    for _ in range(300):
        spans = rng.uniform(1, 5, (50, 3))
        runs.append(summed_up(0.4 * spans + rng.normal(0, 0.5, (50, 3)), spans))
    values, halves = np.array(runs).T
    assert values.mean() == pytest.approx(0.4, abs=0.01)
    assert halves.mean() == pytest.approx(1.96 * values.std(), rel=0.1)


def test_each_configuration_has_a_name_of_its_own_and_the_verbs_it_needs() -> None:
    every = explainers_for(frozenset({"forward", "gradient", "features", "feature_map", "attention"}))
    assert len({key_of(explainer) for explainer in every}) == len(every)
    assert key_of(Lime(n_samples=10, compat=True)) == "lime&n_samples=10&compat=True"
    blind = explainers_for(frozenset({"forward"}))
    assert {explainer.name for explainer in blind} == {"shapley", "lime", "occlusion", "rise"}
    assert GradCam() in every
    found = last(Saliency().refine(Templates("mark"), digits()[0], Target.of_class(1, tuple("0123456789")), 0))
    assert found.state == "exact"
