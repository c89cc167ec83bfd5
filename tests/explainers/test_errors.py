"""What methods say of their own errors, against how far off they are: over seeds, on models whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from server.explainers.expected_gradients import ExpectedGradients
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.lime import KERNEL_WIDTH, Lime, sampled_masks
from server.explainers.rise import Rise
from server.explainers.sampling_error import stderr_of_mean, widened
from server.explainers.segmentation import grid
from server.explainers.shapley import Shapley
from server.explainers.smooth_grad import SmoothGrad, SquareGrad, VarGrad
from server.models.wrappers import ProbabilityModel
from server.types import Array, Attribution, Model, Target
from tests.support.models.fakes import Fake, Square, Wavy, ink, make_card

TARGET = Target.of_class(1, ("0", "1", "2"))


class Cubed(Fake):
    """logits_k = (w_k . x)^3: cells interact in threes, and slopes are curved."""

    def inner(self, images: Array) -> Array:
        return np.einsum("nhw,khw->nk", images, self.directions())

    def logits(self, images: Array) -> Array:
        return self.inner(images) ** 3 / 100

    def slopes(self, images: Array) -> Array:
        return 3 * self.inner(images)[:, :, None, None] ** 2 * self.directions() / 100


class Kinked(Fake):
    """logits_k = sum of 20 max(0, w_kj . x - 1): slopes are in steps, as a net of ReLUs has them."""

    def units(self) -> Array:
        return np.random.default_rng(2).normal(size=(20, 3, 8, 8)) / 4

    def heights(self, images: Array) -> Array:
        return np.einsum("nhw,jkhw->njk", images, self.units()) - 0.2

    def logits(self, images: Array) -> Array:
        return np.maximum(self.heights(images), 0).sum(axis=1)

    def slopes(self, images: Array) -> Array:
        return np.einsum("njk,jkhw->nkhw", self.heights(images) > 0, self.units())


def last(explainer: Any, model: Model, seed: int = 0) -> Attribution:
    *_, found = explainer.refine(model, ink(), TARGET, seed)
    return found


@dataclass(frozen=True)
class Calibration:
    """Of many runs: the share of values at most two standard errors off, and the standard errors over deviations."""

    within_2: float
    ratio: float


def calibration(explainer: Any, model: Model, truth: Array | None = None, seeds: int = 60) -> Calibration:
    """Against `truth` (n,), or else the runs' own mean."""
    runs = [last(explainer, model, seed).ranked for seed in range(seeds)]
    values, said = np.array([run[0] for run in runs]), np.array([run[1] for run in runs])
    off = np.abs(values - truth) if truth is not None else np.abs(values - values.mean(axis=0)) * (1 + 0.5 / seeds)
    some = (said > 0) | (off > 1e-9 * off.max())
    return Calibration(
        float((off <= 2 * said)[some].mean()), float(np.sqrt((said[some] ** 2).mean() / (off[some] ** 2).mean()))
    )


# What they share.


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7.5, 24, 1000])
def test_two_standard_errors_hold_as_much_with_few_degrees_of_freedom(degrees: float) -> None:
    exact = stats.t.ppf(stats.norm.cdf(2), degrees) / 2
    assert float(widened(degrees)) == pytest.approx(exact, rel=0.06 if degrees == 1 else 0.005)


@pytest.mark.parametrize("count", [2, 3, 5, 25])
def test_a_mean_of_normal_draws_is_within_two_standard_errors(count: int) -> None:
    draws = np.random.default_rng(count).normal(size=(2000, count, 20))
    held = [np.abs(one.mean(axis=0)) <= 2 * stderr_of_mean(one) for one in draws]
    assert 0.93 <= np.mean(held) <= 0.99


def test_a_mean_of_skewed_draws_is_within_two_standard_errors() -> None:
    """Squares of normal draws: a plain standard error holds the truth in 91 of 100."""
    draws = np.random.default_rng(0).normal(size=(2000, 25, 5)) ** 2
    held = [np.abs(one.mean(axis=0) - 1) <= 2 * stderr_of_mean(one) for one in draws]
    assert 0.93 <= np.mean(held) <= 0.97


# Shapley values.


def cubed_shapley(model: Cubed, image: Array, baselines: Array, segments: Array) -> Array:
    """By hand: (a + sum of d_i)^3 multiplied out, each product shared equally by the cells in it; the mean over
    baselines."""
    direction = model.directions()[1]
    values = []
    for baseline in baselines.astype(np.float64):
        a = (direction * baseline).sum()
        d = np.bincount(segments.ravel(), (direction * (image - baseline)).ravel())
        rest = d.sum() - d  # of the others
        squares = (d**2).sum() - d**2
        pairs = 3 * d**2 * rest / 2 + 3 * d * squares / 2
        values.append(3 * a**2 * d + 3 * a * d * d.sum() + d**3 + pairs + d * (rest**2 - squares))
    expected: Array = np.mean(values, axis=0) / 100
    return expected


def test_many_cells_and_baselines_leave_enough_coalitions_for_each() -> None:
    """As many pairs as cells fit any map: it was off by more than itself."""
    background = np.random.default_rng(8).random((20, 8, 8)).astype(np.float32)
    model = Cubed(replace(make_card(), background=background))
    found = last(Shapley(grid=7, baseline="background", within="even", max_rows=2000), model)
    truth = cubed_shapley(model, ink(), background[::2], grid((8, 8), (7, 7)))
    values, stderr = found.ranked
    assert stderr is not None
    assert found.state == "converged" and found.rows <= 2000
    assert found.warnings == ("max_rows allows 10 of 20 baselines",)
    assert np.linalg.norm(values - truth) < 0.5 * np.linalg.norm(truth)
    assert (np.abs(values - truth) <= 2 * stderr).mean() > 0.85


def test_the_first_of_sampled_shapley_values_has_enough_coalitions_too() -> None:
    model = Cubed()
    first = next(Shapley(grid=7, max_rows=8192).refine(model, ink(), TARGET, 0))
    truth = cubed_shapley(model, ink(), np.zeros((1, 8, 8)), grid((8, 8), (7, 7)))
    assert first.state == "partial"
    assert np.linalg.norm(first.ranked[0] - truth) < 0.75 * np.linalg.norm(truth)


# LIME.


@pytest.mark.parametrize("n_samples", [80, 200])
def test_lime_with_few_masks_a_cell_tells_its_error(n_samples: int) -> None:
    """Without the degrees of freedom that 36 coefficients take, 80 masks said half of it."""
    found = calibration(Lime(n_segments=36, n_samples=n_samples, baseline="colours"), Cubed())
    assert 0.93 <= found.within_2 <= 0.97
    assert found.ratio == pytest.approx(1, abs=0.12)


def test_lime_says_how_far_its_penalty_moves_coefficients() -> None:
    explainer = Lime(n_segments=9, n_samples=60, baseline="colours")
    found = last(explainer, Square(), seed=3)
    masks = sampled_masks(9, 60, 3)
    kept = masks.masks.mean(axis=1)
    root = np.sqrt(masks.counts * np.exp(-(((1 - np.sqrt(kept)) / KERNEL_WIDTH) ** 2) / 2))
    cells = grid((8, 8), (3, 3))
    means = (np.bincount(cells.ravel(), ink().ravel()) / np.bincount(cells.ravel())).astype(np.float32)[cells]
    pictures = np.where(masks.masks[:, cells], ink(), means)
    design = np.column_stack([masks.masks, np.ones(len(root))]) * root[:, None]
    plain = np.linalg.lstsq(design, TARGET.score(Square().forward(pictures)) * root)[0][:9]
    assert found.segment_values is not None and found.bias_max is not None
    assert found.bias_max == pytest.approx(np.abs(found.segment_values - plain).max(), rel=1e-6)
    assert found.bias_max > 0.02 * np.abs(plain).max()
    assert (last(replace(explainer, n_samples=20000), Square()).bias_max or 1) < 0.02 * found.bias_max


def test_lime_says_when_its_masks_leave_coefficients_open() -> None:
    found = last(Lime(segmentation="grid", n_segments=36, n_samples=20), Square())
    assert found.bias_max is None
    assert "raise n_samples" in " ".join(found.warnings)


def test_exact_lime_is_the_limit_of_ever_more_samples() -> None:
    exact = Lime(exact=True, segmentation="grid", n_segments=9)
    limit = last(exact, Square())
    again = last(replace(exact, n_samples=10), Square())
    assert np.array_equal(limit.values, again.values) and limit.base_value == again.base_value
    assert (limit.state, limit.stderr, limit.bias_max) == ("exact", None, 0)
    many = [last(Lime(segmentation="grid", n_segments=9, n_samples=20000), Square(), seed) for seed in range(4)]
    values = np.mean([one.segment_values for one in many], axis=0)
    stderr = np.mean([one.segment_stderr for one in many], axis=0) / 2
    assert limit.segment_values is not None
    assert (np.abs(values - limit.segment_values) <= 4 * stderr + (many[0].bias_max or 0)).all()


# Slopes at noisy copies.


@pytest.mark.parametrize(
    ("fake", "n_samples"), [(Kinked, 4), (Kinked, 6), (Kinked, 10), (Kinked, 50), (Wavy, 50), (Cubed, 50)]
)
def test_mean_slopes_of_few_copies_are_within_two_standard_errors(fake: Any, n_samples: int) -> None:
    truth = last(SmoothGrad(2000), fake(), seed=999).values.ravel()
    assert 0.93 <= calibration(SmoothGrad(n_samples), fake(), truth).within_2 <= 0.98


@pytest.mark.parametrize("method", [SquareGrad, VarGrad])
@pytest.mark.parametrize(("fake", "n_samples"), [(Kinked, 10), (Kinked, 50), (Wavy, 50)])
def test_squared_slopes_are_within_two_standard_errors(method: Any, fake: Any, n_samples: int) -> None:
    truth = last(method(2000), fake(), seed=999).values.ravel()
    assert 0.93 <= calibration(method(n_samples), fake(), truth).within_2 <= 0.98


def test_the_variance_of_slopes_is_right_on_average() -> None:
    """The variance of three pairs' mean is no part of it."""
    truth = last(VarGrad(2000), Wavy(), seed=999).values
    few = np.mean([last(VarGrad(6), Wavy(), seed).values for seed in range(300)], axis=0)
    assert few.mean() == pytest.approx(truth.mean(), rel=0.05)


def test_slopes_of_a_probability_tell_their_rare_large_ones() -> None:
    """Where a probability is nearly 1, few copies have any slope: a plain standard error held three in four."""
    model = ProbabilityModel(Kinked(make_card(temperature=0.1)))
    truth = np.mean([last(SmoothGrad(2000), model, seed).values.ravel() for seed in range(990, 995)], axis=0)
    assert 0.9 <= calibration(SmoothGrad(50), model, truth).within_2 <= 0.99


def test_a_map_that_few_copies_make_says_so() -> None:
    saturated = ProbabilityModel(Kinked(make_card(temperature=0.05)))
    (warning,) = last(SquareGrad(50), saturated).warnings
    assert "of 25 pairs of noisy copies" in warning and "raise n_samples" in warning
    assert last(SquareGrad(50), Kinked()).warnings == ()


# Expected gradients.


def known(fake: Callable[[], Fake]) -> Array:
    truth = last(ExpectedGradients(n_samples=20000, tolerance=1e-6), fake(), seed=999)
    return truth.values.ravel()


@pytest.mark.parametrize("fake", [Wavy, Cubed])
def test_expected_gradients_tell_an_error_from_two_rounds_on(fake: Any) -> None:
    """Where there was time for one, that is better than nothing."""
    for explainer in (ExpectedGradients(n_samples=2), ExpectedGradients(), ExpectedGradients(tolerance=1.0)):
        first, *others = explainer.refine(fake(), ink(), TARGET, 0)
        assert first.state == "partial" and first.stderr is None and others
        assert all(found.stderr is not None and found.stderr.max() > 0 for found in others)
    assert calibration(ExpectedGradients(tolerance=1.0), fake(), known(fake)).within_2 >= 0.93


# RISE.


@pytest.mark.parametrize("n_samples", [512, 1000])
def test_rise_tells_the_error_of_balanced_masks(n_samples: int) -> None:
    """From two full rounds on; masks taken for independent said a third too much."""
    found = calibration(Rise(n_samples=n_samples), Square(), seeds=40)
    assert 0.93 <= found.within_2 <= 0.975
    assert found.ratio == pytest.approx(1, abs=0.12)


# Methods that end by their options.


@pytest.mark.parametrize(
    ("explainer", "word"),
    [(IntegratedGradients(n_steps=512, tolerance=1e-6), "steps"), (ExpectedGradients(tolerance=1e-6), "n_samples")],
)
def test_a_method_that_did_all_its_options_ask_is_not_partial(explainer: Any, word: str) -> None:
    found = last(explainer, Kinked())
    assert (found.state, found.stop) == ("converged", "limit")
    (warning,) = found.warnings
    assert "tolerance" in warning and word in warning
    met = last(replace(explainer, tolerance=1.0), Kinked())
    assert (met.state, met.stop, met.warnings) == ("converged", None, ())


# Errors that go together.


@pytest.mark.parametrize(
    "explainer",
    [
        Rise(n_samples=600),
        SmoothGrad(),
        SquareGrad(),
        VarGrad(),
        ExpectedGradients(tolerance=1.0),
    ],
    ids=lambda one: one.name,
)
def test_errors_go_together_as_over_seeds(explainer: Any) -> None:
    """The correlations that one run tells, against those of the values of many."""
    runs = [last(explainer, Kinked(), seed) for seed in range(60)]
    values = np.array([run.ranked[0] for run in runs])
    some = values.std(axis=0) > 1e-9
    seen = np.corrcoef(values[:, some].T)
    told = [np.corrcoef(run.error_parts[:, some].T) if run.error_parts is not None else seen * 0 for run in runs[:20]]
    off_diagonal = ~np.eye(len(seen), dtype=bool)
    mean = np.nanmean([one[off_diagonal] for one in told], axis=0)
    assert np.corrcoef(mean, seen[off_diagonal])[0, 1] > 0.4
