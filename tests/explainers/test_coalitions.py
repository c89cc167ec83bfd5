"""Sampled Shapley values against exact ones, on games that have both."""

import numpy as np
import pytest

from server.explainers import coalitions
from server.explainers.coalitions import _draw_sample, all_pairs, leverage_sample, shapley_values
from server.explainers.perturbation import Masks, all_masks
from server.types import Array


def game(n: int, seed: int = 0) -> Array:
    """The worths (2^n,) of a game in which players interact in pairs and in triples."""
    rng = np.random.default_rng(seed)
    masks = all_masks(n).astype(float)
    singles, pairs, triples = rng.normal(size=n), rng.normal(size=(n, n)), rng.normal(size=(5, n)) > 0.5
    coalition_values: Array = masks @ singles + np.einsum("mi,ij,mj->m", masks, pairs, masks) / n
    return coalition_values + 2 * np.stack([masks[:, triple].prod(axis=1) for triple in triples]).sum(axis=0)


def worth_of(coalition_values: Array, masks: Masks) -> Array:
    return coalition_values[masks @ (1 << np.arange(masks.shape[1]))]


def sampled(coalition_values: Array, n: int, pairs: int, seed: int) -> tuple[Array, Array]:
    sample = leverage_sample(n, pairs, seed)
    values, covariance = sample.values(
        worth_of(coalition_values, sample.masks), coalition_values[0], coalition_values[-1]
    )
    return values, np.sqrt(covariance.diagonal())


@pytest.mark.parametrize(("n", "pairs"), [(16, 5), (18, 64), (25, 300), (25, 4000), (49, 100)])
def test_how_many_are_drawn_at_once_changes_no_sample(n: int, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few = _draw_sample(n, pairs, 3).masks
    for at_once in (7, 1000):
        monkeypatch.setattr(coalitions, "BATCH", at_once)
        assert np.array_equal(_draw_sample(n, pairs, 3).masks, few)


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_all_coalitions_give_the_exact_values(n: int) -> None:
    """Kernel SHAP with every coalition is the Shapley value: another way to the same numbers."""
    coalition_values = game(n)
    values, stderr = sampled(coalition_values, n, all_pairs(n), 0)
    assert values == pytest.approx(shapley_values(coalition_values), abs=1e-9)
    assert stderr == pytest.approx(np.zeros(n), abs=1e-12)


@pytest.mark.parametrize("pairs", [12, 40, 300])
def test_sampled_values_sum_exactly(pairs: int) -> None:
    coalition_values = game(12)
    values, _ = sampled(coalition_values, 12, pairs, 3)
    assert values.sum() == pytest.approx(coalition_values[-1] - coalition_values[0], abs=1e-9)


def test_the_error_falls_with_the_sample_and_stderr_says_so() -> None:
    """Over 60 seeds: the mean is right, the spread falls, and it is what the standard errors say."""
    n, coalition_values = 12, game(12)
    exact = shapley_values(coalition_values)
    spreads = []
    for pairs in (30, 120, 480):
        runs = [sampled(coalition_values, n, pairs, seed) for seed in range(60)]
        values, reported = np.array([run[0] for run in runs]), np.array([run[1] for run in runs])
        spread = values.std(axis=0)
        assert np.abs(values.mean(axis=0) - exact).max() < 4 * spread.max() / np.sqrt(60)
        assert np.sqrt((reported**2).mean()) == pytest.approx(np.sqrt((spread**2).mean()), rel=0.35)
        spreads.append(np.sqrt((spread**2).mean()))
    assert spreads[0] > 1.5 * spreads[1] > 2 * spreads[2]


def test_pairs_and_leverage_beat_plain_kernel_sampling() -> None:
    """Against KernelSHAP as it is usually drawn: sizes by the kernel, no pairs, with replacement, equal rows."""
    n, pairs, coalition_values = 12, 100, game(12)
    exact = shapley_values(coalition_values)
    computed = np.mean([np.square(sampled(coalition_values, n, pairs, seed)[0] - exact).sum() for seed in range(30)])
    reference = np.mean(
        [np.square(plain_kernel_shap(coalition_values, n, 2 * pairs, seed) - exact).sum() for seed in range(30)]
    )
    assert computed < reference / 2


def plain_kernel_shap(coalition_values: Array, n: int, rows: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    sizes = np.arange(1, n)
    chances = (1 / (sizes * (n - sizes))) / (1 / (sizes * (n - sizes))).sum()
    masks = np.array([rng.permutation(np.arange(n) < k) for k in rng.choice(sizes, rows, p=chances)])
    share = (coalition_values[-1] - coalition_values[0]) / n
    excess = worth_of(coalition_values, masks) - coalition_values[0] - masks.sum(axis=1) * share
    centred = masks - masks.sum(axis=1, keepdims=True) / n
    values: Array = share + np.linalg.lstsq(centred, excess)[0]
    return values


@pytest.mark.parametrize("n", [5, 8, 25])
def test_a_sample_is_of_distinct_pairs_and_grows(n: int) -> None:
    small, large = leverage_sample(n, 10, 4), leverage_sample(n, 14, 4)
    for sample, pairs in ((small, 10), (large, 14)):
        assert len(np.unique(sample.masks, axis=0)) == len(sample.masks) == 2 * pairs
        assert (sample.masks[::2] == ~sample.masks[1::2]).all()
        assert 0 < sample.masks.sum(axis=1).min() <= sample.masks.sum(axis=1).max() < n
    shared = {tuple(row) for row in small.masks.tolist()} & {tuple(row) for row in large.masks.tolist()}
    assert len(shared) >= 2 * 8
