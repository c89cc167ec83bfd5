"""What is said of maps where the best order is known, and of its broken twins: that a map passed, that it did not, or
that nobody can tell."""

import itertools

import numpy as np
import pytest

from server.explainers.saliency import Saliency
from server.quality import assess
from server.quality.cells import CONTROLS, Cells
from server.quality.curves import deletion_and_insertion
from server.render.language import ENGLISH
from server.types import PASSED, Array, Attribution, Quality, Target
from tests.support.models.fakes import Fake

TARGET = Target.of_class(1, ("0", "1", "2"))
TOO_FEW = "There are too few different cells to tell whether this map is better than a random order"


class Worth(Fake):
    """logits_1 = sum over pixels of worth x ink, where worth is given for the first pixels, row by row; 0 elsewhere."""

    worth: tuple[float, ...] = ()

    def logits(self, images: Array) -> Array:
        found = np.zeros((len(images), 3))
        found[:, 1] = images.reshape(len(images), -1)[:, : len(self.worth)] @ np.array(self.worth)
        return found

    def slopes(self, images: Array) -> Array:
        return np.zeros((len(images), 3, *images.shape[1:]))


def worth(*amounts: float) -> Worth:
    model = Worth()
    model.worth = amounts
    return model


def picture(cells: int) -> Array:
    """So many pixels of ink; ever less of it, so that the ink itself is the worst map where worth grows."""
    image = np.zeros(64, np.float32)
    image[:cells] = np.linspace(1, 0.5, cells)
    return image.reshape(8, 8)


def a_map(*values: float) -> Attribution:
    found = np.zeros(64)
    found[: len(values)] = values
    return Attribution(found.reshape(8, 8), "logit", "exact", 1)


def judged(model: Worth, *values: float, seed: int = 0) -> Quality:
    return assess(model, picture(len(model.worth)), TARGET, Saliency(), a_map(*values), seed)


def growing(n: int) -> list[float]:
    return [1.7**place for place in range(n)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_three_cells_the_best_order_is_one_of_six_which_chance_finds(n: int) -> None:
    for values in itertools.permutations(growing(n)):
        quality = judged(worth(*growing(n)), *values)
        assert quality.passed is None
        assert {one.better_than_random for one in quality.faithful} == {None}
        assert ENGLISH.verdict(quality).startswith(f"{TOO_FEW} by deletion")
        assert "no better" not in ENGLISH.verdict(quality)


@pytest.mark.parametrize("n", [4, 5, 6, 12, 40])
def test_the_best_order_passes_and_its_mirror_does_not(n: int) -> None:
    best = judged(worth(*growing(n)), *growing(n))
    assert best.passed is True
    assert ENGLISH.verdict(best).startswith("This map is better than a random order and than the ink alone by deletion")
    worst = judged(worth(*growing(n)), *growing(n)[::-1])
    assert worst.passed is False
    assert "not clearly better than a random order by deletion, insertion and mu-fidelity" in ENGLISH.verdict(worst)


@pytest.mark.parametrize("n", [4, 5])
def test_of_few_cells_every_order_is_a_control_so_that_the_share_beaten_is_exact(n: int) -> None:
    """Removing n cells of worth w one by one leaves an area of sum w (place + 1/2) / n: by hand, for each order."""
    amounts = np.array(growing(n)) * picture(n).ravel()[:n]
    orders = list(itertools.permutations(range(n)))
    areas = np.array([amounts[list(order)] @ (np.arange(n) + 0.5) / n for order in orders])
    for order, area in zip(orders[:: n**2 - 3], areas[:: n**2 - 3], strict=True):
        values = np.empty(n)
        values[list(order)] = np.arange(n, 0, -1)
        deletion, insertion = judged(worth(*growing(n)), *values).measures[:2]
        assert deletion.value == pytest.approx(area, rel=1e-5)
        assert insertion.value == pytest.approx(amounts.sum() - area, rel=1e-5)
        share = ((areas > area + 1e-6).sum() + 0.5 * (np.abs(areas - area) < 1e-6).sum()) / len(orders)
        assert deletion.beaten == insertion.beaten == pytest.approx(share)
        assert deletion.better_than_random is bool(share >= PASSED)


def test_where_one_cell_of_six_matters_chance_finds_it_too_often_and_where_one_of_forty_does_seldom() -> None:
    for n, outcome in ((6, None), (40, True)):
        deletion = judged(worth(*[0.0] * (n - 1), 9.0), *[0.0] * (n - 1), 1.0).measures[0]
        assert deletion.better_than_random is outcome
    assert judged(worth(*[0.0] * 39, 9.0), 1.0, *[0.0] * 39).measures[0].better_than_random is False


@pytest.mark.parametrize("n", [5, 30])
def test_equal_values_are_in_every_order_in_turn(n: int) -> None:
    """A map that says the same of all cells is as good as the mean order: it is not lucky, nor out of luck."""
    amounts = np.array(growing(n) if n == 5 else np.linspace(1, 2, n)) * picture(n).ravel()[:n]
    model = worth(*(growing(n) if n == 5 else np.linspace(1, 2, n)))
    deletion, insertion = judged(model, *[1.0] * n).measures[:2]
    few = n == 5
    assert deletion.value == pytest.approx(amounts.sum() / 2, rel=1e-5 if few else 0.02)
    assert deletion.beaten == pytest.approx(0.5, abs=0.02 if few else 0.3)
    assert deletion.better_than_random is insertion.better_than_random is False


def test_the_order_in_which_cells_lie_does_not_break_ties() -> None:
    """The same two groups of cells, at other places of the picture."""
    values = [1.0, 1.0, 0.0, 0.0, 0.0]
    found = set()
    for places in itertools.permutations(range(5)):
        image = np.zeros(64, np.float32)
        image[list(places)] = 0.5
        model = worth(*np.array(growing(5))[np.argsort(places)])
        cells = Cells.of(model, image.reshape(8, 8), TARGET, a_map(*np.array(values)[np.argsort(places)]))
        found.add(float(deletion_and_insertion(cells)[0].value or 0))
    assert max(found) - min(found) < 1e-4


def test_a_map_that_is_better_than_nearly_all_orders_passes_whatever_the_controls() -> None:
    """The best order but for two neighbours: 20 controls of which 19 are to be beaten would leave much to luck."""
    values = growing(30)
    values[10], values[11] = values[11], values[10]
    assert judged(worth(*growing(30)), *values).passed is True
    assert CONTROLS * (1 - PASSED) > 4


def test_that_the_ink_is_as_good_is_said_where_its_value_is() -> None:
    """Ink and worth fall together: nothing is better than the ink."""
    model = worth(*np.linspace(2, 1, 12))
    quality = judged(model, *np.linspace(2, 1, 12) * np.linspace(1, 0.5, 12))
    assert quality.passed is False
    assert [one.better_than_ink for one in quality.faithful] == [False, False, True]
    assert ENGLISH.verdict(quality) == "This map is no better than the ink alone by deletion and insertion."


def test_a_steady_map_is_no_better_for_it() -> None:
    """Max-sensitivity says nothing of whether a map is true: saliency of this model is the same everywhere."""
    quality = judged(worth(*growing(12)), *growing(12))
    assert quality.measures[-1].name == "max_sensitivity"
    assert quality.measures[-1].better_than_random is quality.measures[-1].better_than_ink is None
    assert judged(worth(*growing(12)), *growing(12)[::-1]).passed is False


def test_no_seed_changes_a_verdict() -> None:
    every = [judged(worth(*growing(9)), *[3.0, 1.0, 2.0] * 3, seed=seed).measures for seed in range(5)]
    assert all(one == every[0] for one in every)
