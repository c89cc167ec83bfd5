"""The certificate says what holds."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from server.inference.certificate import certified, top_order_probability
from server.render.json import attribution_json
from server.types import Array, Attribution, State


def attribution(values: Array, stderr: Array | None, state: State = "converged") -> Attribution:
    return Attribution(values, "logit", state, rows=1, stderr=stderr)


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.5])
def test_the_probability_is_how_often_the_order_is_right(gap: float) -> None:
    """Measured the other way round: true values known, estimates drawn, and the reported probabilities averaged."""
    truth = np.array([[5 + 2 * gap, -(5 + gap)], [5, 0.1]])
    stderr = np.full((2, 2), 0.5)
    rng = np.random.default_rng(1)
    right, reported = [], []
    for _ in range(400):
        seen = truth + rng.normal(0, stderr)
        right.append((np.argsort(-np.abs(seen).ravel())[:3] == [0, 1, 2]).all())
        reported.append(top_order_probability(attribution(truth, stderr)))
    assert np.mean(reported) == pytest.approx(np.mean(right), abs=0.08)


def test_exact_values_are_certain_and_unknown_errors_are_not_guessed() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert top_order_probability(attribution(values, None, "exact")) == 1
    assert top_order_probability(attribution(values, None)) is None
    assert top_order_probability(attribution(values, np.full((2, 2), 1e-6))) == 1


def test_segments_are_ranked_as_wholes() -> None:
    segments = np.array([[0, 0], [0, 1]])
    found = Attribution(
        np.array([[1.0, 1.0], [1.0, 2.0]]), "logit", "converged", 1, segments=segments,
        segment_values=np.array([3.0, 2.0]), stderr=np.array([[0.1, 0.1], [0.1, 0.3]]),
    )  # fmt: skip
    draws = np.random.default_rng(5).normal([3, 2], [0.3, 0.3], (100_000, 2))
    assert top_order_probability(found) == pytest.approx((draws[:, 0] > draws[:, 1]).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("state", "out_of_time", "stop"),
    [
        ("exact", False, "exact"),
        ("converged", False, "converged"),
        ("partial", False, "limit"),
        ("partial", True, "budget"),
    ],
)
def test_it_says_why_it_stopped(state: State, out_of_time: bool, stop: str) -> None:
    assert certified(attribution(np.eye(2), None, state), out_of_time).stop == stop


def test_errors_that_go_together_leave_the_order_certain() -> None:
    """One shift of all: whatever it is, the order stays; if each had its own, it would rarely."""
    values = np.array([[4.0, 3.6], [3.2, 1.0]])
    together = replace(attribution(values, np.full((2, 2), 0.5)), error_parts=np.full((100, 4), 7.0))
    assert top_order_probability(together) == pytest.approx(1, abs=0.1)
    assert (top_order_probability(replace(together, error_parts=np.eye(4))) or 1) < 0.7
    few = replace(together, error_parts=np.full((2, 4), 7.0))  # might go together by chance
    assert (top_order_probability(few) or 1) < 0.7
    assert certified(together, False).error_parts is None  # nobody needs them any more


def test_any_number_of_error_parts_is_drawn_from_in_little_memory() -> None:
    parts = np.random.default_rng(0).normal(size=(20_000, 49))
    parts[:, 1] = parts[:, 0]
    values = np.linspace(2, 1, 49)[None]
    tracemalloc.start()
    found = top_order_probability(replace(attribution(values, np.full((1, 49), 0.01)), error_parts=parts))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None and 0 < found < 1
    assert peak < 64 << 20


def test_what_ended_by_its_options_says_so() -> None:
    ended = replace(attribution(np.eye(2), None), stop="limit")
    assert (certified(ended, False).state, certified(ended, False).stop) == ("converged", "limit")


def test_the_largest_error_told_is_that_of_what_is_painted() -> None:
    """A segment's, not its pixels' share of it."""
    cells = np.array([[0, 0], [0, 1]])
    found = Attribution(
        np.ones((2, 2)), "logit", "converged", 1, segments=cells, segment_values=np.array([3.0, 1.0]),
        stderr=np.array([[0.2, 0.2], [0.2, 0.3]]),
    )  # fmt: skip
    answer = attribution_json(found, signed=True)
    assert answer["segment_stderr"] == pytest.approx([0.6, 0.3])
    assert answer["certificate"]["stderr_max"] == pytest.approx(0.6)
    pixels = attribution_json(replace(found, segments=None, segment_values=None), signed=True)
    assert pixels["certificate"]["stderr_max"] == pytest.approx(0.3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 40, 784])
@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0])
def test_it_is_the_share_of_draws_whose_sorted_order_is_the_same(count: int, spread: float) -> None:
    rng = np.random.default_rng(count)
    values, errors = rng.normal(size=(1, count)), np.full((1, count), spread)
    strongest = np.argsort(-np.abs(values[0]), kind="stable")
    third = np.abs(values[0])[strongest[:3][-1]]
    near = strongest[(np.abs(values[0])[strongest] + 10 * spread >= third) | (np.arange(count) < 3)]
    draws = np.random.default_rng(0).normal(
        values[0][near], errors[0][near], (min(2000, 500_000 // len(near)), len(near))
    )
    sorted_first = np.argsort(-np.abs(draws), axis=1, kind="stable")[:, :3]
    expected = (sorted_first == np.arange(min(3, len(near)))).all(axis=1).mean()
    assert top_order_probability(attribution(values, errors)) == expected


@pytest.mark.parametrize("spread", [0.03, 0.1, 0.3])
def test_in_haste_the_probability_is_much_the_same(spread: float) -> None:
    values = np.random.default_rng(1).normal(size=(28, 28))
    values[3, 3:6] = 4.5, -4.0, 3.6
    found = attribution(values, np.full((28, 28), spread), "partial")
    hurried, whole = (certified(found, out_of_time).top3_probability for out_of_time in (True, False))
    assert whole is not None and hurried == pytest.approx(whole, abs=0.1)
