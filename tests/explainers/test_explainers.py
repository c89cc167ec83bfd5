"""What every explanation method must hold, on models whose right explanations are known by hand; and for each of these
axioms a broken method that it must reject.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from server.errors import MethodNotPossible
from server.explainers import EXPLAINERS, build, describe_all, methods_for
from server.explainers.expected_gradients import GOLDEN, ExpectedGradients, _paths
from server.explainers.gradient_x_input import GradientXInput
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.lime import Lime
from server.explainers.occlusion import Occlusion
from server.explainers.perturbation import MaskedOutputs
from server.explainers.rise import Rise, random_masks
from server.explainers.saliency import Saliency
from server.explainers.segmentation import grid, segment, superpixels
from server.explainers.shapley import Shapley
from server.explainers.smooth_grad import SmoothGrad, SquareGrad, VarGrad
from server.models.wrappers import ProbabilityModel, calibrated, probabilities_of
from server.types import Array, Attribution, Model, Target
from tests.support.axioms import (
    NOT_LINEAR,
    WITHOUT_TARGET,
    follows_the_target,
    gives_nothing_to_what_is_not_seen,
    is_linear_in_the_target,
    keeps_sums_in_segments,
    of,
    repeats_itself,
    sums_to_the_score,
    tells_its_score_and_rows,
)
from tests.support.models.fakes import CLASSES, SIDE, Fake, Linear, Square, Wavy, ink, make_card

LABELS = tuple(str(k) for k in range(CLASSES))
EVERY = [explainer() for explainer in EXPLAINERS.values()]
COMPLETE = [explainer for explainer in EVERY if explainer.complete]
OF_A_TARGET = [explainer for explainer in EVERY if explainer.name not in WITHOUT_TARGET]
LINEAR_IN_THE_TARGET = [
    Shapley(within="even") if explainer.name == "shapley" else explainer  # pixels follow an order of their own
    for explainer in OF_A_TARGET
    if explainer.name not in NOT_LINEAR
]


def by_name(explainer: Any) -> str:
    return str(explainer.name)


def one(index: int) -> Target:
    return Target.of_class(index, LABELS)


def last(explainer: Any, model: Model, target: Target, image: Array | None = None, seed: int = 0) -> Attribution:
    return list(explainer.refine(model, ink() if image is None else image, target, seed))[-1]


# Axioms on models whose right explanations are known.


class Halved(Square):
    """Sees the left half of the image only."""

    def directions(self) -> Array:
        directions = super().directions().copy()
        directions[:, :, 4:] = 0
        return directions


@pytest.mark.parametrize("fake", [Linear, Square, Wavy])
@pytest.mark.parametrize("explainer", COMPLETE, ids=by_name)
def test_complete_methods_sum_to_the_score(explainer: Any, fake: Any) -> None:
    sums_to_the_score(explainer, of(fake))


@pytest.mark.parametrize("explainer", EVERY, ids=by_name)
def test_attributions_have_score_and_rows(explainer: Any) -> None:
    tells_its_score_and_rows(explainer, of(Square))


@pytest.mark.parametrize("explainer", OF_A_TARGET, ids=by_name)
def test_another_target_gives_another_map(explainer: Any) -> None:
    follows_the_target(explainer, of(Square))


@pytest.mark.parametrize("explainer", LINEAR_IN_THE_TARGET, ids=by_name)
def test_a_contrast_is_the_difference_of_its_classes(explainer: Any) -> None:
    is_linear_in_the_target(explainer, of(Square))


@pytest.mark.parametrize("explainer", EVERY, ids=by_name)
def test_the_same_seed_gives_the_same_values(explainer: Any) -> None:
    repeats_itself(explainer, of(Wavy))


@pytest.mark.parametrize("explainer", EVERY, ids=by_name)
def test_segment_values_are_the_sums_of_their_pixels(explainer: Any) -> None:
    keeps_sums_in_segments(explainer, of(Square))


@pytest.mark.parametrize("name", ["saliency", "integrated_gradients", "expected_gradients", "occlusion", "shapley"])
def test_what_the_model_does_not_see_gets_nothing(name: str) -> None:
    options = {"patch": 4, "stride": 4} if name == "occlusion" else {}  # patches that do not straddle the border
    gives_nothing_to_what_is_not_seen(EXPLAINERS[name](**options), of(Halved))


class Cubed(Square):
    """Cells interact in threes: pairs of coalitions alone would leave no error to sample away."""

    def logits(self, images: Array) -> Array:
        return np.einsum("nhw,khw->nk", images, self.directions()) ** 3

    def slopes(self, images: Array) -> Array:
        inner = np.einsum("nhw,khw->nk", images, self.directions())
        return 3 * inner[:, :, None, None] ** 2 * self.directions()


# Broken methods, one for each axiom.


class ForgetsTheBaseline(IntegratedGradients):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            yield dataclasses.replace(found, values=found.values * (image > 0.5))


class LiesAboutItsGap(Shapley):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            yield dataclasses.replace(found, convergence_delta=0.5)


class AsksInSecret(Saliency):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        model.forward(image[None])
        yield from super().refine(model, image, target, seed)


class TakesZeroForNone(Saliency):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        yield from super().refine(model, image, one(target.index or 1), seed)


class IgnoresVersus(Occlusion):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        yield from super().refine(model, image, one(target.index), seed)


class DrawsAnew(Saliency):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            yield dataclasses.replace(found, values=found.values + np.random.default_rng().normal(size=image.shape))


class PaintsWholeCells(Shapley):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            yield dataclasses.replace(found, values=found.segment_values[found.segments])


class SmearsOut(Saliency):
    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            yield dataclasses.replace(found, values=(found.values + np.roll(found.values, 2, axis=1)) / 2)


@pytest.mark.parametrize(
    ("axiom", "broken"),
    [
        (sums_to_the_score, ForgetsTheBaseline()),
        (sums_to_the_score, LiesAboutItsGap()),
        (tells_its_score_and_rows, AsksInSecret()),
        (follows_the_target, TakesZeroForNone()),
        (is_linear_in_the_target, IgnoresVersus()),
        (repeats_itself, DrawsAnew()),
        (keeps_sums_in_segments, PaintsWholeCells()),
        (gives_nothing_to_what_is_not_seen, SmearsOut()),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_each_axiom_rejects_a_broken_method(axiom: Any, broken: Any) -> None:
    with pytest.raises(AssertionError):
        axiom(broken, of(Halved))


# Answers known by hand.


def test_a_linear_model_is_explained_by_its_weights() -> None:
    model, image = Linear(), ink()
    weights = model.directions()[1]
    background = model.card.background.mean(axis=0)
    assert last(Saliency(), model, one(1)).values == pytest.approx(weights)
    from_black = IntegratedGradients(baseline="black")
    assert last(from_black, model, one(1)).values == pytest.approx(weights * image, abs=1e-6)
    from_mean = IntegratedGradients(baseline="mean")
    assert last(from_mean, model, one(1)).values == pytest.approx(weights * (image - background), abs=1e-6)
    assert last(ExpectedGradients(), model, one(1)).values == pytest.approx(weights * (image - background), abs=1e-6)
    expected = weights * (image - background * 0.75)  # by turns from a quarter and from five quarters of the mean
    assert last(IntegratedGradients(), model, one(1)).values == pytest.approx(expected, abs=1e-6)
    assert last(Occlusion(1, 1), model, one(1)).values == pytest.approx(expected, abs=1e-6)
    cells = grid(image.shape, (3, 3))
    found = last(Shapley(), model, one(1))
    assert found.segment_values == pytest.approx(np.bincount(cells.ravel(), expected.ravel()), abs=1e-6)
    assert found.values == pytest.approx(expected, abs=1e-6)


class FifthPower(Fake):
    """logits_k = (k + 1) times the fifth power of the mean: two nodes miss its slope's integral, three do not."""

    def logits(self, images: Array) -> Array:
        return images.mean(axis=(1, 2))[:, None] ** 5 * np.arange(1.0, 4.0)

    def slopes(self, images: Array) -> Array:
        slopes = 5 * images.mean(axis=(1, 2))[:, None] ** 4 * np.arange(1.0, 4.0) / SIDE**2
        return np.broadcast_to(slopes[..., None, None], (*slopes.shape, SIDE, SIDE))


def test_paths_that_miss_opposite_amounts_are_no_convergence() -> None:
    """Halfway between the two baselines the rule of two nodes is as much too high from one as too low from the
    other."""
    model = FifthPower()
    image = model.card.background.mean(axis=0) * 0.75
    early, found = IntegratedGradients(n_steps=2, tolerance=1e-4).refine(model, image, one(1), 0)
    assert early.state == "partial" and early.values.sum() == pytest.approx(early.score - early.base_value)
    assert found.state == "converged" and found.rows == model.rows == 3 + 2 * 2 + 2 * 4


def test_integrated_gradients_of_a_square_are_known() -> None:
    model, image = Square(), ink()
    direction = model.directions()[2]
    expected = image * direction * (direction * image).sum()
    found = last(IntegratedGradients(baseline="black"), model, one(2))
    assert found.values == pytest.approx(expected, abs=1e-5)


def test_integrated_gradients_refine_until_the_gap_is_closed() -> None:
    found = list(IntegratedGradients(n_steps=2, tolerance=1e-5).refine(Wavy(), ink(), one(1), 0))
    assert [one.state for one in found[:-1]] == ["partial"] * (len(found) - 1)
    assert found[-1].state == "converged"
    assert len(found) > 1
    gaps = [abs(one.convergence_delta or 0) for one in found]
    assert gaps[-1] < gaps[0]


def test_expected_gradients_from_one_baseline_are_integrated_gradients() -> None:
    model = Wavy()
    model.card = dataclasses.replace(model.card, background=np.zeros((1, 8, 8), np.float32))
    expected = last(IntegratedGradients(tolerance=1e-6), model, one(0)).values
    found = last(ExpectedGradients(n_samples=20000, tolerance=1e-6), model, one(0))
    assert found.stderr is not None
    assert found.values == pytest.approx(expected, abs=0.03)
    assert (np.abs(found.values - expected) <= 5 * found.stderr + 1e-3).all()


@pytest.mark.parametrize("fake", [Square, Wavy, Cubed])
def test_two_rounds_of_expected_gradients_sum_to_the_score(fake: Any) -> None:
    """Gradients at four points of each path cannot integrate it; what its sum must be is known all the same."""
    model = fake()
    _, found, *_ = ExpectedGradients().refine(model, ink(), one(1), 0)
    rng = np.random.default_rng(0)
    steps = (rng.permutation(6) + rng.random(6)) / 6
    rounds = [_paths(model, model.card.background, ink(), one(1), at) for at in (steps, (steps + GOLDEN) % 1)]
    plain = np.mean(rounds, axis=(0, 1)).sum()
    assert found.uncorrected_delta == pytest.approx(plain - (found.score - found.base_value), abs=1e-9)
    assert found.convergence_delta == pytest.approx(0, abs=1e-9 * abs(found.score - found.base_value))
    assert found.values.sum() == pytest.approx(found.score - found.base_value, rel=1e-9)


def test_the_correction_of_expected_gradients_brings_them_nearer() -> None:
    """Against the mean of many rounds, over seeds: the corrected values are no farther off than the plain mean."""
    model = Wavy()
    truth = last(ExpectedGradients(n_samples=20000, tolerance=1e-6), model, one(1)).values
    off, plainly = [], []
    for seed in range(20):
        _, found, *_ = ExpectedGradients().refine(model, ink(), one(1), seed)
        off.append(found.values - truth)
        steps = (np.random.default_rng(seed).permutation(6) + 0.5) / 6
        rounds = [_paths(model, model.card.background, ink(), one(1), at) for at in (steps, (steps + GOLDEN) % 1)]
        plainly.append(np.mean(rounds, axis=(0, 1)) - truth)
    assert np.square(off).mean() < 1.1 * np.square(plainly).mean()
    assert np.abs(np.sum(off, axis=(1, 2))).max() < 0.05 * np.abs(np.sum(plainly, axis=(1, 2))).max()


def test_shapley_values_are_the_mean_over_all_orders() -> None:
    """Brute force over every order of the players, on an image whose ink lies in six cells."""
    image = np.zeros((8, 8), np.float32)
    image[:4, :6] = ink(3)[:4, :6]
    model, cells = Square(), grid(image.shape, (4, 4))
    players = np.unique(cells[image > 0])
    assert len(players) == 6
    worth = {
        kept: float(model.forward(np.where(np.isin(cells, kept), image, 0)[None].astype(np.float32))[0, 1])
        for size in range(7)
        for kept in itertools.combinations(players.tolist(), size)
    }
    expected = np.zeros(16)
    for order in itertools.permutations(players.tolist()):
        for place, player in enumerate(order):
            before = tuple(sorted(order[:place]))
            expected[player] += worth[tuple(sorted((*before, player)))] - worth[before]
    found = last(Shapley(grid=4, baseline="black", within="even"), Square(), one(1), image)
    assert found.segment_values == pytest.approx(expected / math.factorial(6), rel=1e-5, abs=1e-5)
    assert found.rows == 2**6


@pytest.mark.parametrize("baseline", ["black", "mean", "blur", "background"])
def test_shapley_values_sum_to_the_score_for_every_baseline(baseline: Any) -> None:
    """All 16 cells of a 7 x 7 grid's 49 are players but for those like the baseline; both ways must sum."""
    for explainer in (Shapley(baseline=baseline, max_rows=2000), Shapley(baseline=baseline, grid=7, max_rows=2000)):
        model = Square()
        *_, found = explainer.refine(model, ink(), one(2), 0)
        assert found.convergence_delta == pytest.approx(0, abs=1e-9)
        assert found.rows == model.rows
        assert found.values.sum() == pytest.approx((found.score or 0) - (found.base_value or 0), abs=1e-9)


def test_sampled_shapley_values_are_the_exact_ones_within_their_errors() -> None:
    exact = last(Shapley(), Cubed(), one(1))
    assert exact.state == "exact"
    glance, rough = Shapley(max_rows=400).refine(Cubed(), ink(), one(1), 0)
    assert (glance.state, rough.state) == ("partial", "converged")
    assert rough.stderr is not None
    assert 0 < rough.rows <= 400 + 112 < exact.rows  # with the slopes within cells
    off = np.abs(rough.values - exact.values) / (rough.stderr + 1e-9)
    assert off.max() < 5
    assert np.abs(glance.values - exact.values).sum() > np.abs(rough.values - exact.values).sum()


def test_a_mean_over_backgrounds_is_the_mean_of_their_explanations() -> None:
    model = Square()
    whole = last(Shapley(baseline="background", grid=2), model, one(1))
    parts = []
    for background in model.card.background:
        single = Square()
        single.card = dataclasses.replace(single.card, background=background[None])
        parts.append(last(Shapley(baseline="background", grid=2), single, one(1)).segment_values)
    assert whole.segment_values == pytest.approx(np.mean(parts, axis=0), abs=1e-6)


def test_shapley_of_an_image_that_is_its_baseline_is_zero() -> None:
    found = last(Shapley(baseline="black"), Linear(), one(1), np.zeros((8, 8), np.float32))
    assert not found.values.any()
    assert found.score == found.base_value


def test_occlusion_covers_every_pixel_and_weighs_overlaps() -> None:
    model, image = Linear(), ink()
    weights = model.directions()[1]
    found = last(Occlusion(3, 2, "black"), model, one(1)).values
    starts = [0, 2, 4, 5]
    expected, covers = np.zeros((8, 8)), np.zeros((8, 8))
    for top, left in itertools.product(starts, starts):
        patch = np.s_[top : top + 3, left : left + 3]
        expected[patch] += (weights * image)[patch].sum()
        covers[patch] += 1
    assert found == pytest.approx(expected / covers, abs=1e-5)


def test_noisy_slopes_have_the_moments_of_their_noise() -> None:
    """The slope of a square along w is 2 w (w . x): with noise of sigma its variance is 4 w^2 sigma^2 |w|^2."""
    model, image, sigma = Square(), ink(), 0.3
    direction = model.directions()[1]
    slope = 2 * direction * (direction * image).sum()
    variance = 4 * direction**2 * sigma**2 * (direction**2).sum()
    mean = last(SmoothGrad(2000, sigma), model, one(1))
    assert mean.values == pytest.approx(slope, abs=1e-4)  # pairs cancel the noise of a linear slope
    assert last(VarGrad(2000, sigma), model, one(1)).values == pytest.approx(variance, rel=0.15, abs=0.01)
    expected = slope**2 + variance
    assert last(SquareGrad(2000, sigma), model, one(1)).values == pytest.approx(expected, rel=0.15, abs=0.01)


def test_smooth_grad_tells_its_error() -> None:
    small, large = (last(SmoothGrad(n), Wavy(), one(1)) for n in (50, 2000))
    assert small.stderr is not None
    off = np.abs(small.values - large.values) / (small.stderr + 1e-9)
    assert np.median(off) < 1.5
    assert (off < 5).mean() > 0.95


def test_rise_finds_the_weights_of_a_linear_model() -> None:
    """With one-pixel masks, the mean output with a pixel less the mean output is w x / 2."""
    model, image = Linear(), ink()
    found = last(Rise(n_samples=8000, grid=8), model, one(1))
    coarse = np.abs(found.values)
    assert found.stderr is not None
    assert np.corrcoef(found.values.ravel(), (model.directions()[1] * image).ravel())[0, 1] > 0.6
    again = last(Rise(n_samples=8000, grid=8), model, one(1), seed=1)
    off = np.abs(found.values - again.values) / np.hypot(found.stderr, again.stderr)
    assert np.median(off) < 1.2
    assert coarse.max() > 5 * found.stderr.max()


def rise_errors(keep: float, n_samples: int) -> tuple[float, float]:
    """Of the values for a fixed image: their spread over seeds, and the reported standard error; medians."""
    runs = [last(Rise(n_samples=n_samples, keep=keep), Square(), one(1), seed=seed) for seed in range(40)]
    spread = np.std([run.values for run in runs], axis=0)
    reported = np.sqrt(np.mean([np.square(run.stderr) for run in runs], axis=0))
    return float(np.median(spread)), float(np.median(reported))


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_the_standard_error_of_rise_is_its_spread_over_seeds(keep: float) -> None:
    spread, reported = rise_errors(keep, 200)
    assert reported / spread == pytest.approx(1.2 if keep == 0.5 else 1, abs=0.2)  # careful where masks are an array's


def test_rise_has_less_noise_where_its_masks_are_an_orthogonal_array() -> None:
    """And says so, which masks that are taken for independent cannot."""
    array, independent = rise_errors(0.5, 512), rise_errors(0.5 + 1e-9, 512)
    assert array[0] < 0.85 * independent[0]
    assert array[1] < 0.85 * independent[1]


def test_no_rise_mask_hides_or_shows_everything() -> None:
    """One row of the array is constant; random signs make it like any other."""
    for seed in range(5):
        assert random_masks((28, 28), 7, 0.5, seed, 0, 256).std(axis=(1, 2)).min() > 0.1


def test_each_rise_mask_by_itself_is_a_fair_draw() -> None:
    for place in (0, 1, 100):  # of a round
        masks = np.stack([random_masks((28, 28), 7, 0.5, seed, 0, 128)[place] for seed in range(300)])
        assert np.abs(masks.mean(axis=0) - 0.5).max() < 0.12 and abs(masks.mean() - 0.5) < 0.01
        corners = np.stack([masks[:, 1, 1], masks[:, 1, -2], masks[:, -2, 1]])
        assert np.abs(np.corrcoef(corners) - np.eye(3)).max() < 0.2


def test_max_rows_holds_for_a_background_of_many_images() -> None:
    for rows, grid_ in ((256, 7), (1000, 7), (300, 4), (8192, 4)):
        found = last(Shapley(baseline="background", within="even", grid=grid_, max_rows=rows), WideBackground(), one(1))
        assert found.rows <= rows
        assert found.convergence_delta == pytest.approx(0, abs=1e-9)
        assert bool(found.warnings) == (rows < 8192)


class WideBackground(Square):
    """100 background images."""

    def __init__(self) -> None:
        background = np.random.default_rng(8).random((100, 8, 8)).astype(np.float32)
        super().__init__(dataclasses.replace(make_card(), background=background))


def test_each_rise_mask_has_its_own_shift() -> None:
    masks = random_masks((28, 28), 7, 0.5, 0, 0, 200)
    assert abs(masks.mean() - 0.5) < 0.03
    steps = np.abs(np.diff(masks, axis=2)).argmax(axis=2)  # where each row changes most
    assert len(np.unique(steps % 4)) == 4


def test_gradient_x_input_tells_its_gap() -> None:
    found = last(GradientXInput(), Square(), one(1))
    assert found.values.sum() == pytest.approx(2 * (found.score or 0), rel=1e-5)  # a square's slope counts twice
    assert found.convergence_delta == pytest.approx(found.score, rel=1e-5)


def test_a_bank_asks_each_distinct_picture_once() -> None:
    model, image = Square(), ink()
    cells = grid(image.shape, (4, 4))
    bank = MaskedOutputs(model, image, cells, np.zeros_like(image))
    masks = np.random.default_rng(2).random((400, 16)) < 0.5
    expected = [Square().forward((image * mask[cells]).astype(np.float32)[None])[0] for mask in masks]
    for _ in range(2):
        assert bank.outputs(masks) == pytest.approx(np.array(expected))
    assert bank.outputs(masks[::-1][:7]) == pytest.approx(np.array(expected)[::-1][:7])
    inked = masks[:, [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]]  # the right quarter is empty paper
    assert bank.rows == model.rows == len(np.unique(inked, axis=0)) < 400


def test_lime_says_when_it_is_not_to_be_trusted() -> None:
    found = last(Lime(compat=True), Square(), one(1))
    assert "superpixel" in " ".join(found.warnings)
    assert found.local_r2 is not None


def test_exact_lime_evaluates_each_distinct_picture_once() -> None:
    model = Square()
    found = last(Lime(exact=True, n_segments=9, baseline="black"), model, one(1))
    assert found.rows == model.rows == 2**6  # three of the nine cells are empty paper


def test_exact_lime_refuses_too_many_segments() -> None:
    with pytest.raises(MethodNotPossible, match="at most 12 segments and this picture has 16"):
        last(Lime(exact=True, segmentation="grid"), Square(), one(1))


@pytest.mark.parametrize("how", ["quickshift", "slic", "grid"])
@pytest.mark.parametrize("kind", ["digit", "one dot", "empty", "full"])
def test_every_image_is_cut_into_enough_segments(how: Any, kind: str) -> None:
    image = ink(side=28) if kind == "digit" else np.full((28, 28), float(kind == "full"), np.float32)
    if kind == "one dot":
        image[14, 14] = 1
    assert segment(image, how, 1.0, 16).max() + 1 >= 5


def test_lime_segments_are_numbered_without_gaps() -> None:
    segments = superpixels(ink(side=28), 1.0)
    assert np.unique(segments).tolist() == list(range(segments.max() + 1))


# Probabilities as the explained output.


@pytest.mark.parametrize("fake", [Linear, Square, Wavy])
def test_probability_gradients_match_finite_differences(fake: type[Fake]) -> None:
    model = ProbabilityModel(fake())
    image, weights = ink()[None].astype(np.float64), np.array([[1.0, 0.0, -1.0]])
    found = model.gradient(image, weights)[0]
    for row, column in ((0, 0), (3, 4), (7, 1)):
        step = np.zeros_like(image)
        step[0, row, column] = 1e-5
        scores = [(model.forward(image + sign * step) * weights).sum() for sign in (1, -1)]
        assert found[row, column] == pytest.approx((scores[0] - scores[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_probabilities_are_calibrated_and_sum_to_one() -> None:
    logits = np.array([[2.0, 0.0, -2.0]])
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert probabilities_of(logits, 2.0) == pytest.approx(expected)


@pytest.mark.parametrize("size", [1.0, 30.0, 3000.0])
def test_one_image_is_calibrated_as_many_are(size: float) -> None:
    logits = np.random.default_rng(3).normal(size=(50, 10)) * size
    for row, expected in zip(logits, probabilities_of(logits, 1.7), strict=True):
        probabilities, energy = calibrated(row.tolist(), 1.7)
        assert probabilities == pytest.approx(expected, abs=1e-13)
        assert energy == pytest.approx(1.7 * logsumexp(row / 1.7), rel=1e-13)


# The registry.


def test_a_method_lists_what_it_checks() -> None:
    for method in describe_all():
        for option in method["options"]:
            if "maximum" in option:
                with pytest.raises(Exception, match="expected"):
                    build(method["name"], {option["name"]: str(option["maximum"] + 1)}, Linear().card, Linear().verbs)
                at_most = {option["name"]: str(option["maximum"])}
                built = build(method["name"], at_most, Linear().card, Linear().verbs)
                assert getattr(built, option["name"]) == option["maximum"]


def test_methods_are_offered_by_what_a_model_can_do() -> None:
    assert methods_for(frozenset({"forward"})) == ["shapley", "lime", "occlusion", "rise"]
    assert "grad_cam" not in methods_for(frozenset({"forward", "gradient", "features", "attention"}))


def test_explainers_have_no_state() -> None:
    for explainer in EVERY:
        assert dataclasses.fields(explainer) is not None
        with pytest.raises(dataclasses.FrozenInstanceError):
            explainer.n_samples = 3
