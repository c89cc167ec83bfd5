"""Pictures with a planted cause: one known part of each decides its label, and all else is chance.

Each kind draws onto handwritten digits whose own class says nothing of the label. Ideas from FunnyBirds (Hesse et al.
2023, arXiv:2308.06248), whose parts are known, and XAI-TRIS (Clark et al. 2023, arXiv:2306.12816), whose tetrominoes
are; here the part is moved, taken away, or contradicted, and a net is asked only if it follows the part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.data import Array

SIDE = 28
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
PLACES = [(row, column) for row in (3, 22) for column in (2, 7, 12, 17, 22)]  # upper left corners of ten marks
BARS = (2, 23)  # upper rows of two bars
SHADE = 0.3  # of ink: paper that is a little grey
SMALL = 14  # pixels, side of a digit that leaves room for bars


@dataclass(frozen=True)
class Planted:
    """Images (n, 28, 28) float32 in [0, 1], labels (n,) below `classes`, and of each image where its cause lies and how
    it looks without it: causes (n, 28, 28) bool, without (n, 28, 28)."""

    images: Array
    labels: Array
    causes: Array
    without: Array
    classes: int


Draw = Callable[[np.random.Generator, Array, bool], tuple[Array, int, Array, Array]]
"""A generator, a digit (28, 28) and whether the picture is for training -> picture, label, cause, picture without."""


def planted(kind: str, digits: Array, seed: int, training: bool) -> Planted:
    """One picture of `kind` on each of the digits (n, 28, 28)."""
    draw, classes = KINDS.get(kind) or HELD_OUT[kind]
    rng = np.random.default_rng((seed, sum(map(ord, kind)), training))
    images, labels, causes, without = zip(*(draw(rng, digit, training) for digit in digits), strict=True)
    return Planted(
        np.stack(images).astype(np.float32), np.array(labels), np.stack(causes), np.stack(without).astype(np.float32),
        classes,
    )  # fmt: skip


def _mark(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A cross at one of ten places says which class."""
    label = int(rng.integers(10))
    cause = _stamp(CROSS, *PLACES[label])
    return _drawn(digit, cause), label, cause, digit


def _missing(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """Two bars of five pieces, each as dark as chance wants; which of the ten pieces is missing says which class."""
    label = int(rng.integers(10))
    image = _shrunk(digit)
    for top in BARS:
        image[top : top + 3, 1:26] = np.repeat(rng.uniform(0.5, 1, 5), 5)
    row, column = BARS[label // 5], 1 + 5 * (label % 5)
    gap = np.zeros((SIDE, SIDE), bool)
    gap[row : row + 3, column : column + 5] = True
    return np.where(gap, 0, image), label, gap, image


def _conjunction(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """Two crosses at two of five places: which two says which class, and one alone leaves four."""
    pairs = [(one, other) for one in range(5) for other in range(one)]
    label = int(rng.integers(10))
    cause = np.logical_or.reduce([_stamp(CROSS, *PLACES[2 * place]) for place in pairs[label]])
    return _drawn(digit, cause), label, cause, digit


def _decoy(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A cross below says which class. A ring above agrees with it in half of the training pictures, and otherwise
    stands anywhere."""
    label = int(rng.integers(5))
    shown = label if training and rng.random() < 0.5 else int(rng.integers(5))
    cause = _stamp(CROSS, *PLACES[5 + label])
    below = _drawn(digit, _stamp(RING, *PLACES[shown]))
    return _drawn(below, cause), label, cause, below


def _background(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A patch of the paper that is a little grey, at one of ten places, says which class."""
    label = int(rng.integers(10))
    row, column = PLACES[label]
    cause = np.zeros((SIDE, SIDE), bool)
    cause[row - 1 : row + 4, column - 1 : column + 4] = True
    return np.maximum(_cleared(digit, cause), SHADE * cause), label, cause, digit


def _slant(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A stroke of five pixels at one of ten places; which way it points says which class of four."""
    label, place = int(rng.integers(4)), PLACES[rng.integers(10)]
    steps = [(0, 1), (1, 0), (1, 1), (-1, 1)][label]
    cause = np.zeros((SIDE, SIDE), bool)
    for step in range(-2, 3):
        cause[place[0] + 1 + step * steps[0], place[1] + 1 + step * steps[1]] = True
    return _drawn(_cleared(digit, cause), cause), label, cause, digit


def _corner(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A frame around the digit, one of whose corners or sides is interrupted: which says which class of eight."""
    label = int(rng.integers(8))
    low, high = int(rng.integers(1, 3)), int(rng.integers(24, 26))
    frame = np.zeros((SIDE, SIDE), bool)
    frame[low : high + 2, low : high + 2] = True
    frame[low + 2 : high, low + 2 : high] = False
    middle = (low + high) // 2
    row, column = [(low, low), (low, middle), (low, high), (middle, low), (middle, high), (high, low), (high, middle),
                   (high, high)][label]  # fmt: skip
    gap = np.zeros_like(frame)
    gap[max(row - 1, 0) : row + 3, max(column - 1, 0) : column + 3] = True
    image = _drawn(_shrunk(digit), frame)
    return np.where(gap, 0, image), label, gap, image


def _tone(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A square at one of five places; how dark it is says which class of three."""
    label, place = int(rng.integers(3)), PLACES[rng.integers(5)]
    cause = np.zeros((SIDE, SIDE), bool)
    cause[place[0] : place[0] + 4, place[1] : place[1] + 4] = True
    return np.maximum(_cleared(digit, cause), cause * [0.3, 0.6, 1.0][label]), label, cause, digit


def _bridge(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """Two upright bars beside the digit, joined at one of six heights, which says which class."""
    label, left = int(rng.integers(6)), int(rng.choice([0, 21]))
    image = _shrunk(digit)
    image[1:27, left : left + 2] = image[1:27, left + 5 : left + 7] = rng.uniform(0.5, 1)
    cause = np.zeros((SIDE, SIDE), bool)
    cause[2 + 4 * label : 5 + 4 * label, left + 2 : left + 5] = True
    return np.where(cause, 1.0, image), label, cause, image


def _ring(rng: np.random.Generator, digit: Array, training: bool) -> tuple[Array, int, Array, Array]:
    """A ring of seven pixels at one of five places; where it is open says which class of four (a Landolt C)."""
    label, place = int(rng.integers(4)), PLACES[2 * rng.integers(5)]
    gap, whole = np.zeros((2, SIDE, SIDE), bool)
    row, column = (int(np.clip(at - 2, 0, SIDE - 7)) for at in place)
    whole[row : row + 7, column : column + 7] = True
    whole[row + 2 : row + 5, column + 2 : column + 5] = False
    middle = [(row, column + 2), (row + 2, column + 5), (row + 5, column + 2), (row + 2, column)][label]
    gap[middle[0] : middle[0] + (3 if label % 2 else 2), middle[1] : middle[1] + (2 if label % 2 else 3)] = True
    image = _drawn(digit, whole)
    return np.where(gap, 0.0, image), label, gap, image


def _stamp(shape: Array, row: int, column: int) -> Array:
    stamped = np.zeros((SIDE, SIDE), bool)
    stamped[row : row + len(shape), column : column + len(shape)] = shape
    return stamped


def _drawn(picture: Array, ink: Array) -> Array:
    """Full ink, in a square of empty paper that sets it off."""
    return np.where(ink, 1.0, _cleared(picture, ink))


def _cleared(picture: Array, ink: Array) -> Array:
    """The picture with empty paper at the ink and next to it."""
    return np.where(ndimage.binary_dilation(ink, np.ones((3, 3))), 0.0, picture)


def _shrunk(digit: Array) -> Array:
    """The digit at half its size in the middle of the picture."""
    half = digit.reshape(SMALL, 2, SMALL, 2).mean(axis=(1, 3))
    return np.pad(half, (SIDE - SMALL) // 2)


KINDS: dict[str, tuple[Draw, int]] = {
    "mark": (_mark, 10),
    "missing": (_missing, 10),
    "conjunction": (_conjunction, 10),
    "decoy": (_decoy, 5),
    "background": (_background, 10),
}
"""The kinds of the trial, and how many classes each has."""

HELD_OUT: dict[str, tuple[Draw, int]] = {
    "slant": (_slant, 4),
    "corner": (_corner, 8),
    "tone": (_tone, 3),
    "bridge": (_bridge, 6),
    "ring": (_ring, 4),
}
"""Kinds that have no part in the choice of a method: on them that choice is judged."""
