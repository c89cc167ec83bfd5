"""Grey pictures of 16 bits: what is not found and drawn anew is read to its full depth."""

import numpy as np
import pytest
from PIL import Image

from server.images import decode
from server.types import Array, ImageSpec
from tests.support.models.nets import digits
from tests.support.models.stores import encoded

SPEC = ImageSpec(28, 28)
NOISE = np.random.default_rng(0).integers(0, 65536, (28, 28)).astype(np.uint16)


def scaled(levels: Array) -> Array:
    exact: Array = levels.astype(np.float32) / np.float32(65535)
    return exact


def turned(levels: Array, orientation: int) -> bytes:
    image = Image.fromarray(levels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, exif=exif)


def test_a_picture_of_the_models_size_keeps_every_level() -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(NOISE)), SPEC, "none").pixels, scaled(NOISE))


def test_a_digit_that_is_as_the_model_takes_it_does_too() -> None:
    rng = np.random.default_rng(1)
    for digit in digits()[:20]:
        levels = np.clip(np.rint(digit * 65535) + rng.integers(-120, 120, (28, 28)) * (digit > 0), 0, 65535)
        found = decode(encoded(Image.fromarray(levels.astype(np.uint16))), SPEC)
        assert found.placement.steps == ()
        assert np.array_equal(found.pixels, scaled(levels))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright_as_one_of_eight_bits_is(orientation: int) -> None:
    eight = (NOISE >> 8).astype(np.uint8)
    fine = decode(turned(eight.astype(np.uint16) * 257, orientation), SPEC, "none")
    coarse = decode(turned(eight, orientation), SPEC, "none")
    assert np.array_equal(fine.pixels, coarse.pixels)
    assert fine.placement.steps == coarse.placement.steps == (("upright",) if orientation > 1 else ())


@pytest.mark.parametrize("side", [14, 56, 280, 281, 1400])
def test_of_another_size_it_is_resized_as_one_of_eight_bits_is(side: int) -> None:
    eight = np.random.default_rng(side).integers(0, 256, (side, side)).astype(np.uint8)
    sixteen = encoded(Image.fromarray(eight.astype(np.uint16) * 257))
    found, expected = (decode(body, SPEC, "none").pixels for body in (sixteen, encoded(Image.fromarray(eight))))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)


def test_levels_between_those_of_eight_bits_survive_being_resized() -> None:
    levels = np.full((56, 56), 1000, np.uint16)
    assert decode(encoded(Image.fromarray(levels)), SPEC, "none").pixels == pytest.approx(1000 / 65535, rel=1e-5)
