"""Shares within cells: sums stay exact, ink that is missing counts, and what has no slope gets none."""

import numpy as np
import pytest

from server.explainers.perturbation import baselines_of
from server.explainers.segmentation import grid
from server.explainers.shapley import Shapley
from server.explainers.within_cells import shared, slopes_by_rank
from server.types import Array, Target
from tests.support.models.fakes import Fake, Linear, Square, Wavy, ink

TARGET = Target.of_class(1, ("0", "1", "2"))


@pytest.mark.parametrize("model", [Square(), Wavy()], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("options", [{}, {"grid": 4, "max_rows": 600}, {"segmentation": "slic", "baseline": "mean"}])
def test_each_cell_keeps_its_sum(model: Square | Wavy, options: dict[str, object]) -> None:
    fine, even = (Shapley(**options, within=within) for within in ("slopes", "even"))  # type: ignore[arg-type]
    *_, found = fine.refine(model, ink(), TARGET, 0)
    *_, plain = even.refine(model, ink(), TARGET, 0)
    assert found.segments is not None and found.segment_values is not None
    sums = np.bincount(found.segments.ravel(), found.values.ravel())
    assert sums == pytest.approx(found.segment_values, abs=1e-9)
    assert found.segment_values == pytest.approx(plain.segment_values, abs=1e-12)
    assert found.fine and not plain.fine
    assert (found.painted == found.values).all()
    assert (plain.painted == plain.segment_values[plain.segments]).all()  # type: ignore[index]


def test_of_a_linear_model_pixels_get_what_they_add() -> None:
    model = Linear()
    baselines = baselines_of("typical", model.card, ink())
    values, rows = slopes_by_rank(model, ink(), TARGET, baselines)
    changes = ink() - baselines.mean(axis=0)
    assert values == pytest.approx(model.directions()[1] * changes, abs=1e-6)
    assert rows == model.rows == 112


class Redundant(Fake):
    """logits_k = (k + 1) times the sum over rows of 1 - prod(1 - w x), w growing from left to right: any strong pixel
    of a row makes the others needless."""

    weights = np.linspace(0.1, 0.8, 8)

    def logits(self, images: Array) -> Array:
        return (1 - (1 - self.weights * images).prod(axis=2)).sum(axis=1)[:, None] * np.arange(1.0, 4.0)

    def slopes(self, images: Array) -> Array:
        left = 1 - self.weights * images  # (n, H, W)
        slopes = self.weights * left.prod(axis=2, keepdims=True) / left
        return slopes[:, None] * np.arange(1.0, 4.0)[:, None, None]


def test_pixels_are_told_apart_where_their_own_order_matters() -> None:
    """With the strongest pixel of a row there, the others add little: it gets more than along the straight path."""
    model, image, paper = Redundant(), np.ones((8, 8), np.float32), np.zeros((1, 8, 8), np.float32)
    found, _ = slopes_by_rank(model, image, TARGET, paper)
    straight = integrated(model)
    shares = found / found.sum(axis=1, keepdims=True)
    assert shares.argmax(axis=1).tolist() == [7] * 8
    assert shares[:, 7].mean() > 1.1 * straight[7] / straight.sum()


def integrated(model: Redundant) -> Array:
    """The mean slope of each pixel of a row on the straight path from paper to ink, at 1,000 points."""
    points = np.broadcast_to(((np.arange(1000) + 0.5) / 1000)[:, None, None], (1000, 1, 8))
    return np.asarray(model.slopes(points)[:, 1, 0].mean(axis=0))


def test_shares_are_changed_by_the_same_amount_in_a_cell() -> None:
    cells, pixels = grid((8, 8), (2, 2)), np.random.default_rng(0).normal(size=(8, 8))
    found = shared(np.array([1.0, -2.0, 0.0, 5.0]), cells, pixels)
    assert np.bincount(cells.ravel(), found.ravel()) == pytest.approx([1, -2, 0, 5])
    for cell in range(4):
        assert np.ptp((found - pixels)[cells == cell]) == pytest.approx(0, abs=1e-12)


def test_a_model_without_slopes_shares_evenly_and_says_so() -> None:
    model = Square()
    model.verbs = frozenset({"forward"})
    *_, found = Shapley().refine(model, ink(), TARGET, 0)
    assert not found.fine
    assert found.warnings[-1].startswith("this model gives no slopes")


def test_both_baselines_make_every_cell_a_player() -> None:
    model = Square()
    *_, found = Shapley(within="even").refine(model, ink(), TARGET, 0)
    assert found.state == "exact" and found.rows <= 2 * 2**9
    assert found.segment_values is not None and (found.segment_values != 0).all()


def test_a_seed_changes_nothing() -> None:
    *_, one = Shapley().refine(Wavy(), ink(), TARGET, 0)
    *_, other = Shapley().refine(Wavy(), ink(), TARGET, 7)
    assert (one.values == other.values).all()
