"""Attacks on models whose nearest flip is known by hand."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from server.attacks import ATTACKS
from server.attacks.deepfool import DeepFool
from server.attacks.fgsm import Fgsm
from server.attacks.margin import FLIPPED, Objective
from server.attacks.pgd import Pgd
from server.types import Array
from tests.support.models.fakes import Fake, Linear, Wavy

EVERY = [attack() for attack in ATTACKS.values()]


class Grey(Linear):
    """A linear model on pictures that stay far from 0 and 1, so that no clipping disturbs the algebra."""

    def directions(self) -> Array:
        return super().directions() * 0.1


def grey() -> Array:
    return np.full((8, 8), 0.5, np.float32)


def nearest(model: Grey, image: Array, norm: Any) -> tuple[float, int]:
    """The distance to the nearest border of a linear model in the given dual norm, and the class beyond it."""
    logits = model.forward(image[None])[0]
    source_class = int(logits.argmax())
    directions = model.directions()
    distances = {
        k: (logits[source_class] - logits[k] + FLIPPED) / norm(directions[k] - directions[source_class])
        for k in range(len(logits))
        if k != source_class
    }
    winner = min(distances, key=lambda k: distances[k])
    return float(distances[winner]), winner


def test_deepfool_takes_the_shortest_way_across_a_linear_border() -> None:
    model, image = Grey(), grey()
    source_class = int(model.forward(image[None]).argmax())
    expected, winner = nearest(model, image, np.linalg.norm)
    found = DeepFool().search(model, image, source_class, None, 0)
    assert found.pixels is not None
    assert found.l2 == pytest.approx(expected, rel=0.01)
    assert int(model.forward(found.pixels[None]).argmax()) == winner


class Bowl(Fake):
    """Class 1 beats class 0 outside of an ellipsoid about grey; class 2 never wins."""

    weights = np.linspace(1, 30, 64).reshape(8, 8) ** 2

    def logits(self, images: Array) -> Array:
        height = (self.weights * (images - 0.5) ** 2).sum(axis=(1, 2))
        return np.stack([np.full_like(height, 9), height, np.full_like(height, -99)], axis=1)

    def slopes(self, images: Array) -> Array:
        slopes = 2 * self.weights * (images - 0.5)
        return np.stack([0 * slopes, slopes, 0 * slopes], axis=1)

    def nearest(self, image: Array) -> float:
        """From the inside to the border: x with x - p = -t w (x - c), for the t that puts it there."""
        off = image.astype(float) - 0.5
        border = 9 + FLIPPED

        def beyond(t: float) -> float:
            return float((self.weights * (off / (1 + t * self.weights)) ** 2).sum() - border)

        t = brentq(beyond, -0.999 / self.weights.max(), 0)
        return float(np.linalg.norm(off / (1 + t * self.weights) - off))


def test_deepfool_goes_along_a_curved_border_to_its_nearest_point() -> None:
    model = Bowl()
    image = (0.5 + np.random.default_rng(1).normal(0, 0.01, (8, 8))).astype(np.float32)
    assert int(model.forward(image[None]).argmax()) == 0
    found, first = (DeepFool(n_steps=n).search(model, image, 0, None, 0) for n in (200, 1))
    assert found.l2 == pytest.approx(model.nearest(image), rel=0.005)
    assert first.l2 is not None and first.l2 > 1.04 * model.nearest(image)  # the first crossing, where the paper stops


def test_one_step_is_enough_where_the_model_is_linear() -> None:
    model = Grey()
    source_class = int(model.forward(grey()[None]).argmax())
    assert DeepFool(n_steps=1).search(model, grey(), source_class, None, 0).pixels is not None


@pytest.mark.parametrize("attack", [Fgsm(), Pgd()], ids=lambda attack: attack.name)
def test_the_box_is_as_small_as_a_linear_border_allows(attack: Any) -> None:
    """In Linf the nearest border is at lead / sum |w_k - w_loser|, along the signs."""
    model, image = Grey(), grey()
    source_class = int(model.forward(image[None]).argmax())
    target_class = nearest(model, image, lambda w: np.abs(w).sum())[1]
    expected = nearest(model, image, lambda w: np.abs(w).sum())[0]
    found = attack.search(model, image, source_class, target_class, 0)
    assert found.linf == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.name)
def test_what_is_found_flips_and_is_measured(attack: Any) -> None:
    model = Wavy()
    image = grey()
    source_class = int(model.forward(image[None]).argmax())
    before = model.rows
    found = attack.search(model, image, source_class, None, 0)
    assert found.rows == model.rows - before
    assert found.pixels is not None
    assert found.pixels.min() >= 0 and found.pixels.max() <= 1
    assert int(model.forward(found.pixels[None]).argmax()) != source_class
    assert found.l2 == pytest.approx(np.linalg.norm(found.pixels - image), rel=1e-5)
    assert found.linf == pytest.approx(np.abs(found.pixels - image).max(), rel=1e-5)
    halfway = image + 0.98 * (found.pixels - image)
    assert int(model.forward(halfway[None]).argmax()) == source_class  # no shorter along the same line


@pytest.mark.parametrize("attack", [Fgsm(limit=0.01), Pgd(limit=0.01), DeepFool(limit=0.1)], ids=lambda a: a.name)
def test_nothing_is_claimed_within_a_limit_that_is_too_small(attack: Any) -> None:
    model = Grey()
    source_class = int(model.forward(grey()[None]).argmax())
    found = attack.search(model, grey(), source_class, None, 0)
    assert (found.pixels, found.l2, found.linf) == (None, None, None)
    assert found.rows > 0


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.name)
@pytest.mark.parametrize("target_class", [0, 1, 2])
def test_attack_flips_to_the_target_class(attack: Any, target_class: int) -> None:
    model = Grey()
    source_class = int(model.forward(grey()[None]).argmax())
    if target_class != source_class:
        found = attack.search(model, grey(), source_class, target_class, 0)
        assert found.pixels is not None
        assert int(model.forward(found.pixels[None]).argmax()) == target_class


def test_targeted_margin_is_the_lead_over_all_others() -> None:
    class Fixed(Linear):
        def logits(self, images: Array) -> Array:
            return np.tile([1.0, 3.0, 2.0], (len(images), 1))

    images = grey()[None]
    assert Objective(Fixed(), 1, None).margins(images) == pytest.approx([-1])
    assert Objective(Fixed(), 2, 0).margins(images) == pytest.approx([-2])  # 1 leads, for any source class
    assert Objective(Fixed(), 0, None).margins(images) == pytest.approx([2])
