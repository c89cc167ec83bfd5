"""What docs/nets.md shows: how digits are told from what is none, prediction sets, and columns of versions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import nets
from benchmarks.reading import nets_page
from server.models.card import read_card
from server.types import ConformalScores
from tests.support.models.stores import write_version


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Any:
    stored = read_card(write_version(tmp_path_factory.mktemp("store")))
    return replace(stored, temperature=1.0, energy_threshold=4.0)


def peaks(heights: Any) -> Any:
    """Logits (n, 10) whose energy score is next to these heights."""
    logits = np.full((len(heights), 10), -50.0)
    logits[:, 3] = heights
    return logits


def test_a_kind_passes_as_far_as_its_energy_is_that_of_digits(card: Any) -> None:
    found = nets.told_apart(card, peaks(np.arange(100.0)), peaks(np.array([-5.0, 1.0, 3.5, 50.0])))
    assert found["passing"] == 0.5  # three of a hundred digits lie below 3, and so do two of these four
    assert found["passing_card"] == 0.25
    below = [np.mean(np.arange(100) > height) + np.mean(np.arange(100) == height) / 2 for height in (-5, 1, 3.5, 50)]
    assert found["auroc"] == pytest.approx(np.mean(below))


def test_only_what_is_sure_and_looks_like_a_digit_is_surely_wrong(card: Any) -> None:
    logits = peaks(np.array([9.0, 9.0, 1.0, 9.0]))
    logits[3, 5] = 8.9  # not sure
    assert nets.surely_wrong(card, logits, np.array([3, 4, 4, 4])) == 1


def test_a_refused_picture_is_misread() -> None:
    shown = nets.Shown(np.zeros((3, 28, 28)), np.array([3, 3, 4]), refused=1)
    assert nets.read(peaks(np.ones(3)), shown) == [2, 4]


def test_sets_are_counted_as_they_are_served(card: Any) -> None:
    logits = peaks(np.full(400, 9.0))
    logits[:8, 5] = 9.5  # read as 5, and as likely a 3
    scores = ConformalScores(1000, tuple([0.2] * 20))
    found = nets.sets(replace(card, conformal=scores), logits, np.full(400, 3))
    assert found["covered"] == 1.0 and found["several"] == 8 / 400 and found["size"] == 1 + 8 / 400
    assert "covered" not in nets.sets(card, logits, np.full(400, 3))


def test_columns_are_the_latest_two_of_each_net() -> None:
    figures = dict.fromkeys(("cnn/3", "mlp/10", "mlp/9", "mlp/5", "lstm/3"))
    assert list(nets_page.latest_two(figures)) == ["cnn/3", "mlp/9", "mlp/10", "lstm/3"]


def test_what_was_measured_of_some_versions_only_is_empty_of_the_others() -> None:
    every = [{"read": {"a": [1, 2], "mine": [3, 4]}}, {"read": {"a": [2, 2]}}]
    assert nets_page.table(every, "read", str) == "| a | [1, 2] | [2, 2] |\n| mine | [3, 4] |  |"


def test_a_share_has_its_interval() -> None:
    assert nets_page.interval(121, 127) == "95.28 (90.1 to 97.8)"
