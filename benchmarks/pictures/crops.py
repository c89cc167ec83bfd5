"""What was cut out of something larger, and what was made black and white, before it was posted."""

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures.camera import jpeg, lay, light, picture, png
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.view import View

GROUNDS = (0.7, 1.0)  # brightness of light paper or canvas
INKS = (0.02, 0.3)
CUT = 0.08  # of the digit's height, at most


def tight_crop(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Cut to the box around the ink, to the pixel, as programs do; dark on light or light on dark. 40 to 300 pixels."""
    digit = drawn_by(image, rng, 0.05, 0.15)
    side = rng.uniform(40, 300)
    height = side / max(1, digit.ratio)
    reach = int(side * 1.3)
    cover = View(reach, reach).ink(digit, (0, 0), height, rng.normal(0, 0.04), soft=max(1, height / 80))
    rows, columns = (np.flatnonzero((cover > 0.5).any(axis=axis)) for axis in (1, 0))
    return _saved(cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], rng)


def touching(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A loose crop, but the digit touches one edge, or runs over it a little."""
    digit = drawn_by(image, rng, 0.04, 0.14)
    tall = rng.uniform(60, 400)
    height = tall / max(1, digit.ratio)
    box = np.array([height * digit.ratio, height])
    margins = rng.uniform(0.08, 0.5, (2, 2)) * tall  # left and right, top and bottom
    axis, side = rng.integers(2), rng.integers(2)
    margins[axis, side] = -rng.uniform(0, CUT) * height
    width, tall = (max(24, round(float(length))) for length in box + margins.sum(axis=1))
    at = (margins[:, 0] - margins[:, 1]) / 2
    return _saved(View(width, tall).ink(digit, (at[0], at[1]), height, soft=max(1, height / 100)), rng)


def binarised(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Nothing but black and white, with the specks that thresholds leave; 60 to 300 pixels."""
    width, tall = (int(side) for side in rng.uniform(60, 300) * rng.uniform(0.7, 1.0, 2))
    width, tall = max(60, width), max(60, tall)
    ink = _thresholded(image, width, tall, (0.45, 0.9), rng)
    return _two_coloured(_specked(ink, int(rng.integers(3, 25)), 4, rng), rng)


def binarised_small(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """The same at 28 x 28 to 50 x 50 pixels."""
    side = int(rng.integers(28, 51))
    ink = _thresholded(image, side, side, (0.55, 0.9), rng)
    return _two_coloured(_specked(ink, int(rng.integers(0, 4)), 1, rng), rng)


def _saved(cover: Array, rng: np.random.Generator) -> bytes:
    """Half of them from clean drawings, half from photos; one in three light on dark."""
    ground, ink = rng.uniform(*GROUNDS), rng.uniform(*INKS)
    scene = lay(np.full((*cover.shape, 3), ground), cover, np.full(3, ink) + rng.uniform(-0.1, 0.2, 3))
    if rng.random() < 0.33:
        scene = 1 - scene
    if rng.random() < 0.5:
        return png(picture(scene))
    scene = scene * light(cover.shape, rng, 0.2) + rng.normal(0, rng.uniform(0.005, 0.02), scene.shape)
    return jpeg(picture(scene), rng)


def _thresholded(image: Array, width: int, tall: int, heights: tuple[float, float], rng: np.random.Generator) -> Array:
    """(tall, width) bool: where a grey picture of the digit was dark enough."""
    digit = drawn_by(image, rng, 0.06, 0.15)
    height = min(tall * rng.uniform(*heights), 0.9 * width / max(0.3, digit.ratio))
    room = np.maximum(np.array([width - height * digit.ratio, tall - height]) - 2, 0) / 2
    at = rng.uniform(-1, 1, 2) * room
    cover = View(width, tall).ink(digit, (at[0], at[1]), height, rng.normal(0, 0.04), soft=max(1.0, height / 40))
    return cover + rng.normal(0, 0.12, cover.shape) * (cover > 0) > rng.uniform(0.4, 0.6)


def _specked(ink: Array, count: int, most: int, rng: np.random.Generator) -> Array:
    """Dots of 1 to `most` pixels across, in the ground and in the ink alike."""
    specked = ink.copy()
    for row, column, size in zip(
        rng.integers(0, ink.shape[0], count),
        rng.integers(0, ink.shape[1], count),
        rng.integers(1, most + 1, count),
        strict=True,
    ):
        there = specked[row : row + size, column : column + max(1, size - rng.integers(2))]
        there[...] = ~there
    return specked


def _two_coloured(ink: Array, rng: np.random.Generator) -> bytes:
    light_ink = rng.random() < 0.4
    return png(picture((ink == light_ink).astype(np.float32)))
