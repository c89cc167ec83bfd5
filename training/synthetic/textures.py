"""Pictures without strokes: stripes, checks, dots, gradients, noise of several grains. A texture is a function of draws
that gives an image (28, 28) with values in about [0, 1]."""

import math
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from training.data import INK, SIDE, Array
from training.synthetic.draws import Draws

Texture = Callable[[Draws], Array]
_Y, _X = np.mgrid[0:SIDE, 0:SIDE]


def _waves(d: Draws, period: float, angle: float) -> Array:
    """A sine across the image, in [-1, 1]; the period is in pixels."""
    phase = (_X * math.cos(angle) + _Y * math.sin(angle)) / period
    return np.asarray(np.sin(2 * math.pi * (phase + d.rng.random())))


def _hard(waves: Array, d: Draws) -> Array:
    """With edges of some sharpness."""
    return waves * d(0.7, 4.0) + 0.5


def stripes(d: Draws) -> Array:
    return _hard(_waves(d, d(3, 9), d(0, math.pi)), d)


def checks(d: Draws) -> Array:
    period, angle = d(4, 14), d(0, math.pi / 2)
    return _hard(_waves(d, period, angle) * _waves(d, period, angle + math.pi / 2), d)


def dots(d: Draws) -> Array:
    period, angle = d(4, 9), d(0, math.pi / 2)
    return _hard(_waves(d, period, angle) + _waves(d, period, angle + math.pi / 2) - 1, d)


def rings(d: Draws) -> Array:
    middle = d.rng.uniform(0, SIDE, 2)
    return _hard(np.sin(np.hypot(_X - middle[0], _Y - middle[1]) * 2 * math.pi / d(4, 10)), d)


def gradient(d: Draws) -> Array:
    return np.asarray(_waves(d, d(40, 120), d(0, math.pi)) / 2 + 0.5)


def glow(d: Draws) -> Array:
    middle = d.rng.uniform(SIDE / 4, SIDE * 3 / 4, 2)
    width = d(4, 12)
    height = width * d(0.4, 1.2)
    return np.asarray(np.exp(-(((_X - middle[0]) / width) ** 2) - ((_Y - middle[1]) / height) ** 2))


def noise(d: Draws) -> Array:
    """In squares of 1 to 7 pixels."""
    grain = 1 + int(d(0, 7))
    tiles = -(-SIDE // grain)
    return np.kron(d.rng.random((tiles, tiles)), np.ones((grain, grain)))[:SIDE, :SIDE]


def blurred_noise(d: Draws) -> Array:
    smooth = ndimage.gaussian_filter(d.rng.normal(size=(SIDE, SIDE)), d(0.6, 3.5), mode="wrap")
    return np.asarray(smooth / smooth.std() * d(0.2, 0.8) + d(0.0, 0.5))


def specks(d: Draws) -> Array:
    return np.asarray(ndimage.gaussian_filter((d.rng.random((SIDE, SIDE)) < d(0.04, 0.15)) * 2.0, d(0.3, 0.7)))


def framed(texture: Texture, d: Draws) -> Array:
    """The texture over the whole image or, as often, only where digits are; inverted by chance."""
    image = np.clip(texture(d), 0, 1).astype(np.float32)
    if d.chance(0.3):
        image = 1 - image
    if d.chance(0.5):
        margin = (SIDE - INK) // 2
        image = np.pad(image[margin:-margin, margin:-margin], margin)
    return image


TEXTURES: dict[str, Texture] = {
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
    "rings": rings,
    "gradient": gradient,
    "glow": glow,
    "noise": noise,
    "blurred noise": blurred_noise,
    "specks": specks,
}
HELD_OUT_TEXTURES = ("checks", "glow")
