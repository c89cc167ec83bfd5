"""Pictures without a digit: of every kind and name, in splits that share no name, apart from what looks like digits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from training.synthetic import LOOKALIKES, NO_DIGIT, NOT_DIGITS, lookalikes, not_digits
from training.synthetic.draws import Draws
from training.synthetic.not_digits import HELD_OUT, kind_of

KINDS = {"letter", "symbol", "face", "shape", "scribble", "cross", "part", "pair", "texture"}
WITH_HELD_OUT_NAMES = {"letter", "symbol", "face", "shape", "texture"}


def test_images_are_of_mnists_form_and_have_no_label() -> None:
    drawn = not_digits(300, seed=4)
    assert drawn.images.shape == (300, 28, 28) and drawn.images.dtype == np.float32
    assert drawn.images.min() >= 0 and drawn.images.max() <= 1
    assert (drawn.labels == NO_DIGIT).all() and drawn.labels.dtype == np.int64
    assert drawn.images.reshape(300, -1).sum(axis=1).min() > 3  # something is to be seen


@pytest.mark.parametrize("name", NOT_DIGITS)
def test_every_name_is_drawn_in_variety(name: str) -> None:
    first, second = (NOT_DIGITS[name](Draws(seed, 0, 1)) for seed in (1, 2))
    assert first.shape == second.shape == (28, 28)
    assert np.abs(first - second).max() > 0.1


def test_kinds_are_as_frequent() -> None:
    kinds = [kind_of(name) for name in not_digits(1000, seed=5).names]
    assert set(kinds) == KINDS
    assert min(kinds.count(kind) for kind in KINDS) > 70


def test_held_out_names_are_never_trained() -> None:
    trained, held = set(not_digits(3000, seed=6).names), set(not_digits(1500, seed=6, held_out=True).names)
    assert held >= HELD_OUT and not trained & HELD_OUT
    assert {kind_of(name) for name in HELD_OUT} == WITH_HELD_OUT_NAMES
    assert {kind_of(name) for name in trained & held} == KINDS - WITH_HELD_OUT_NAMES
    assert trained | held == set(NOT_DIGITS)


def test_lookalikes_are_apart() -> None:
    drawn = lookalikes(400, seed=7)
    assert set(drawn.names) == set(LOOKALIKES)
    assert (drawn.labels == NO_DIGIT).all()
    letters = {name.split()[1] for name in NOT_DIGITS if kind_of(name) == "letter"}
    assert not letters & {name.split()[1] for name in LOOKALIKES}
    assert {*letters, *(name.split()[1] for name in LOOKALIKES)} == set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )


def test_pictures_follow_from_seed_and_index_alone() -> None:
    few, many = not_digits(30, seed=8), not_digits(60, seed=8)
    assert_array_equal(few.images, many.images[:30])
    assert few.names == many.names[:30]
    assert not np.array_equal(few.images, not_digits(30, seed=9).images)
