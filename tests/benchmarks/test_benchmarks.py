"""The benchmark's own arithmetic: figures with known answers, verdicts, the table, and the weights for PyTorch."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.case import Case, per_segment
from benchmarks.explain import interleaved
from benchmarks.explaining import weights
from benchmarks.explaining.comparisons import COMPARISONS, LIBRARIES
from benchmarks.explaining.measures import Row, gap, largest_difference, seed_noise, summary
from benchmarks.explaining.workers import PeerFailed
from benchmarks.goals import GOALS, Results, alike, as_sure, below, faster, smaller_gap
from benchmarks.peers.protocol import Burst, Method, burst, fastest
from benchmarks.store import shipped
from benchmarks.table import Setting, document
from server.explainers import EXPLAINERS
from server.options import parse
from server.types import Array

FOLDER = shipped("cnn")
SETTING = Setting(
    {"processor": "Abacus", "cores": "10", "system": "wood", "python": "3"}, {"lime": "1"}, "2000-01-01",
    "digits", 8, 4, 200, 0.5,
)  # fmt: skip


def row(library: str, name: str = "", **figures: object) -> Row:
    return replace(Row("lime", library, name, 10.0, 9.0, 11.0, 10.0, 100.0), **figures)  # type: ignore[arg-type]


def bursts(*values: list[float]) -> list[Burst]:
    """A burst of one image for each list of values; each took twice as long as the one before."""
    return [Burst([2.0**i], [3.0 * 2**i], [7], [one]) for i, one in enumerate(values)]


@pytest.mark.parametrize(("values", "expected"), [([3.0, 1.0], 0.0), ([3.0, 0.0], 0.25), ([4.0, 2.0], 0.5)])
def test_the_gap_is_a_share_of_the_difference(values: list[float], expected: float) -> None:
    assert gap(np.array(values), 6.0, 2.0) == pytest.approx(expected)
    assert gap(-np.array(values), 2.0, 6.0) == pytest.approx(expected)


def test_seed_noise_is_the_deviation_over_seeds_by_the_mean_size() -> None:
    values = np.array([[1.0, -4.0], [3.0, -4.0]])  # standard deviations sqrt(2) and 0, mean size 3
    assert seed_noise(values) == pytest.approx(1 / 3)
    assert seed_noise(10 * values) == pytest.approx(1 / 3)
    assert seed_noise(np.zeros((2, 5))) == 0


def test_seed_noise_is_that_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    assert seed_noise(5 + 0.5 * rng.normal(size=(4, 10_000))) == pytest.approx(0.1, rel=0.02)


def test_a_summary_takes_medians() -> None:
    found = summary("lime", "x", "y", bursts([2.0, 2.0], [2.0, 1.0], [4.0, 0.0]), (np.array([5.0]), np.array([1.0])))
    assert (found.ms, found.cpu_ms, found.rows) == (2.0, 6.0, 7)
    assert (found.low, found.high) == (1.5, 3.0)
    assert found.gap == 0.0
    assert found.noise == pytest.approx(math.sqrt((4 / 3 + 1) / 2) / (11 / 6))
    assert summary("lime", "x", "y", bursts([2.0, 2.0]), None).gap is None


def test_a_centred_summary_does_not_see_another_zero() -> None:
    low, high = ([[1.0, 3.0], [1.0, 5.0]], [[101.0, 103.0], [101.0, 105.0]])
    noises = [summary("rise", "x", "y", bursts(*values), None, centred=True).noise for values in (low, high)]
    assert noises[0] == pytest.approx(noises[1])


def test_the_largest_difference_is_that_of_equal_seeds() -> None:
    ours = bursts([1.0, 2.0], [5.0, 6.0])
    assert largest_difference(ours, bursts([1.0, 2.0], [5.0, 6.0])) == 0
    assert largest_difference(ours, bursts([1.0, 2.5], [5.0, 5.0])) == 1


def test_values_of_segments_are_read_in_the_order_of_their_labels() -> None:
    segments = np.array([[2, 2, 0], [1, 0, 0]])
    assert per_segment(np.array([30.0, 10.0, 20.0])[segments], segments).tolist() == [30.0, 10.0, 20.0]


def test_a_burst_does_not_count_its_first_explanation() -> None:
    requested: list[tuple[int, int]] = []

    def explain(index: int, seed: int) -> tuple[Array, int]:
        requested.append((index, seed))
        return np.full((2, 2), index), 5

    found = burst(explain, 3, 9)
    assert requested == [(0, 9), (0, 9), (1, 9), (2, 9)]
    assert (len(found.ms), found.rows, found.values[2]) == (3, [5, 5, 5], [2.0] * 4)


def test_the_fastest_batch_counts() -> None:
    def explainer(batch: int) -> object:
        return lambda index, seed: (np.full(batch, sum(range(batch))), batch)

    chosen = fastest(Method(explainer, (2_000_000, 10)), 2)  # type: ignore[arg-type]
    assert chosen(0, 0)[1] == 10


def test_rounds_alternate_and_the_first_is_not_counted() -> None:
    requested = []

    def ask(name: str, seed: int) -> Burst:
        requested.append((name, seed))
        if name == "c":
            raise PeerFailed("cannot")
        return Burst([float(seed)], [0.0], [1], [[0.0]])

    a, b, c = interleaved([lambda seed, name=name: ask(name, seed) for name in "abc"], 2)  # type: ignore[misc]
    assert requested == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [one.ms for one in a] == [one.ms for one in b] == [[1.0], [2.0]]
    assert isinstance(c, PeerFailed)


@pytest.mark.parametrize(("times", "reached"), [(15.0, True), (14.99, False)])
def test_a_target_is_reached_or_missed(times: float, reached: bool) -> None:
    results = Results([row("lime", "Image", times=times, difference=1e-7, gap=0.3), row("inkling", gap=0.1)], {"x": 3})
    assert faster("lime", "lime", "Image", 15)(results).reached is reached
    assert alike("lime", "lime", "Image", 1e-6)(results).reached is True
    assert alike("lime", "lime", "Image", 1e-8)(results).reached is False
    assert smaller_gap("lime", "lime", "Image", 0.34)(results).reached is True
    assert smaller_gap("lime", "lime", "Image", 0.33)(results).reached is False
    assert below("x", "an x", 3)(results).reached is False
    assert below("x", "an x", 3.1)(results).reached is True


def test_sampled_methods_are_compared_at_the_same_noise() -> None:
    """Half the noise is worth four times the samples."""
    results = Results([row("inkling", noise=0.1), row("lime", "Image", times=0.75, noise=0.2)], {})
    assert as_sure("lime", "lime", "Image", 3)(results).reached is True
    assert as_sure("lime", "lime", "Image", 3.01)(results).reached is False
    assert as_sure("lime", "lime", "Image", 3)(Results([row("lime", "Image", times=1.0)], {})).reached is None


def test_what_was_not_measured_or_failed_is_not_reached() -> None:
    results = Results([Row.failed("lime", "lime", "Image", "broken"), row("lime", "Other", times=99)], {})
    assert faster("lime", "lime", "Image", 15)(results).reached is None
    assert below("x", "an x", 3)(results).reached is None


def test_the_document_says_what_is_missed_what_fails_and_what_is_not_measured() -> None:
    peer = row("lime", "LimeImageExplainer", ms=140.0, times=14.0, difference=1e-9)
    failed = Row.failed("lime", "captum", "Lime", "ValueError: a | b\nmore")
    text = document(Results([row("inkling"), peer, failed], {"server_explain": 2.0, "server_total": 3.0,
                                                             "server_round_trip": 4.0}), SETTING)  # fmt: skip
    assert "| `lime`: times faster than lime's LimeImageExplainer | at least 15 | 14.0 | **missed** |" in text
    assert "LimeImageExplainer | at most 1e-05 | 1.0e-09 | reached |" in text
    assert "| below 60 ms | - | not measured |" in text
    assert "| captum Lime | fails: ValueError: a / b |" in text
    assert "| lime LimeImageExplainer | 140 (9.00 to 11.0) | 14.0 |" in text
    assert "### `shapley" not in text
    assert "Abacus, 10 cores" in text and "python 3" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {5, 10}  # targets and methods, every line complete


def test_comparisons_name_what_there_is() -> None:
    """Our methods with options that they take, and libraries that have a process; every target is one of theirs."""
    libraries = {library for group in LIBRARIES.values() for library in group}
    for one in COMPARISONS:
        parse(EXPLAINERS[one.method], one.options)
        assert {peer.library for peer in one.peers} <= libraries
    full = [row("inkling", gap=0.1, noise=0.1, method=one.key) for one in COMPARISONS]
    full += [
        row(peer.library, peer.name, method=one.key, times=1.0, difference=0.0, gap=0.2, noise=0.2)
        for one in COMPARISONS
        for peer in one.peers
    ]
    verdicts = [goal(Results(full, {"shapley_median": 1.0, "server_explain": 1.0})) for goal in GOALS]
    assert None not in [verdict.reached for verdict in verdicts]


def test_a_case_survives_its_file(tmp_path: Path) -> None:
    case = Case(*(np.arange(6.0).reshape(2, 3) + i for i in range(10)))
    case.save(tmp_path / "case.npz")
    assert np.array_equal(Case.load(tmp_path / "case.npz").typical, case.typical)


def test_pytorch_gets_every_parameter_once() -> None:
    arrays = weights.of(FOLDER)
    card = json.loads((FOLDER / "assets.extra" / "model_card.json").read_text())
    state = weights.to_torch(arrays)
    assert sum(array.size for array in arrays.values()) == card["parameters"]
    assert sum(array.size for array in state.values()) == card["parameters"]
    assert len(state) == len(arrays)
    assert state["convs.0.weight"].shape == (24, 1, 5, 5)
    assert state["convs.0.weight"][3, 0, 1, 2] == next(iter(arrays.values()))[1, 2, 0, 3]
    assert (state["queries.weight"].shape, state["dense.weight"].shape) == ((4, 48), (10, 192))


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(ValueError, match="dense_2/kernel"):
        weights.to_torch({f"dense_{i}/kernel": np.zeros((2, 2)) for i in range(3)})
    with pytest.raises(ValueError, match="norm/gamma"):
        weights.to_torch({"conv/kernel": np.zeros((3, 3, 1, 2)), "norm/gamma": np.zeros(2)})
