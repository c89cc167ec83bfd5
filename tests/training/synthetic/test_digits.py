"""Drawn digits: in MNIST's form, of every variant, reproducible, and what a net of MNIST's takes them for."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from server.types import Array
from tests.support.models.nets import twin
from training.synthetic import VARIANTS, digits
from training.synthetic.draws import Draws
from training.synthetic.strokes import Hand

READ = 0.96  # lowest share of a variant that the cnn, which was trained on other ones of it, reads right


def test_images_are_of_mnists_form() -> None:
    drawn = digits(300, seed=4)
    assert drawn.images.shape == (300, 28, 28) and drawn.images.dtype == np.float32
    assert drawn.images.min() == 0 and drawn.images.max() <= 1
    assert drawn.images.reshape(300, -1).max(axis=1).min() > 0.35  # the palest hairline
    assert drawn.labels.dtype == np.int64
    assert [int(name[0]) for name in drawn.names] == drawn.labels.tolist()


def test_the_longest_side_is_20_pixels_and_the_mass_in_the_middle() -> None:
    images = digits(500, seed=5).images
    places = np.arange(28)
    sides, distances = [], []
    for image in images:
        used = [np.flatnonzero(image.max(axis=axis) > 0.3 * image.max()) for axis in (0, 1)]
        sides.append(max(int(ends[-1] - ends[0]) + 1 for ends in used))
        middle = [float(image.sum(axis=axis) @ places) / image.sum() for axis in (0, 1)]
        distances.append(max(abs(place - 14) for place in middle))
    assert np.mean(np.array(sides) == 20) > 0.95 and min(sides) >= 18 and max(sides) <= 22
    assert np.mean(np.array(distances) < 0.501) > 0.95  # a few would lose ink at the image's edge


def test_pictures_follow_from_seed_and_index_alone() -> None:
    few, many = digits(20, seed=6), digits(40, seed=6)
    assert_array_equal(few.images, many.images[:20])
    assert few.names == many.names[:20]
    assert not np.array_equal(few.images, digits(20, seed=7).images)
    assert not np.array_equal(few.images, digits(20, seed=6, held_out=True).images)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_label_is_as_frequent_and_every_variant_is_drawn(held_out: bool) -> None:
    drawn = digits(1500, seed=8, held_out=held_out)
    assert set(drawn.names) == set(VARIANTS)
    assert np.bincount(drawn.labels, minlength=10).min() > 110


def test_chosen_variants_only() -> None:
    assert set(digits(30, seed=1, variants=["7 plain", "1 bare"]).names) == {"7 plain", "1 bare"}


def test_no_style_parameter_of_held_out_hands_was_trained() -> None:
    def hands(held_out: bool) -> list[Hand]:
        return [Hand.drawn(Draws(seed, 0, 0, held_out)) for seed in range(400)]

    for name in ("slant", "turn", "aspect", "wobble", "rounding", "overshoot", "swell", "softness"):
        trained, held = (sorted(getattr(hand, name) for hand in hands(split)) for split in (False, True))
        low, high = trained[0], trained[-1]
        assert low < held[0] and held[-1] < high  # between trained ones ...
        closest = np.abs(np.subtract.outer(np.array(held), np.array(trained))).min(axis=1)
        assert not (closest == 0).any()
        bands = np.floor((np.array(held) - low) / (high - low) * 10)  # ... in at most seven tenths of their range
        assert len(set(bands.tolist())) <= 7, name


def on_page(vector: Array, hand: Hand) -> tuple[float, float]:
    """Length, and degrees below level, of a vector that points to the left."""
    x, y = hand.page @ vector
    return math.hypot(x, y), math.degrees(math.atan2(y, -x))


def hands_and_draws(count: int) -> list[tuple[Hand, Draws]]:
    draws = [Draws(seed, 0, 9, held_out=seed % 2 == 1) for seed in range(count)]
    return [(Hand.drawn(d), d) for d in draws]


@pytest.mark.parametrize("variant", ["1 flagged", "1 flagged and footed"])
def test_the_flag_of_a_1_falls_from_the_top_of_its_stem(variant: str) -> None:
    found = []
    for hand, draws in hands_and_draws(300):
        stroke = VARIANTS[variant](draws, hand)[0]
        top = np.flatnonzero((stroke == 0).all(axis=1))[0]
        found.append(on_page(stroke[0] - stroke[top], hand))
    lengths, degrees = np.array(found).T
    assert degrees.min() > 19.9 and degrees.max() < 65.1
    assert lengths.min() > 0.14 and lengths.max() < 0.61
    assert lengths[degrees < 25].max() < 0.45  # flat and long would be a bar
    assert np.ptp(degrees) > 40 and np.ptp(lengths) > 0.4  # the whole range that people write


@pytest.mark.parametrize("variant", ["7 plain", "7 barred"])
def test_the_bar_of_a_7_is_long_and_level(variant: str) -> None:
    for hand, draws in hands_and_draws(200):
        stroke = VARIANTS[variant](draws, hand)[0]
        corner = np.flatnonzero(stroke[:, 1] == 0)[0]
        length, degrees = on_page(stroke[0] - stroke[corner], hand)
        assert length > 0.49 and abs(degrees) < 10.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_net_reads_what_was_drawn(variant: str) -> None:
    """Hands that it was not trained on, too."""
    for held_out in (False, True):
        drawn = digits(100, seed=11, held_out=held_out, variants=[variant])
        read = np.asarray(twin("cnn").forward(drawn.images)).argmax(axis=1)
        assert (read == drawn.labels).mean() >= READ
