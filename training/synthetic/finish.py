"""What photos, scans and a reader's cropping leave behind on a picture of a digit: specks, cut edges, thickened and
broken strokes, low resolution, blur, uneven grey, rests of paper lines. Each finish is a function of (image, draws,
strength), which keeps the digit readable at strength 1.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from training.data import INK, SIDE, Array, as_mnist
from training.synthetic.draws import Draws

SHARE = 0.2  # of the images that get each finish, at strength 1

Finish = Callable[[Array, Draws, float], Array]
_Y, _X = np.mgrid[0:SIDE, 0:SIDE]


def _disc(y: float, x: float, radius: float) -> Array:
    return np.asarray(np.clip(radius - np.hypot(_Y - y, _X - x) + 0.5, 0, 1))


def specks(image: Array, d: Draws, strength: float) -> Array:
    for _ in range(1 + int(d(0, 4) * strength)):
        y, x = d.rng.uniform(2, SIDE - 2, 2)
        image = np.maximum(image, _disc(y, x, d(0.2, 1.0)) * d(0.3, 1.0))
    return image


def cut_edge(image: Array, d: Draws, strength: float) -> Array:
    """A side of the digit lies outside of the picture, as much as a seventh; the rest is placed as digits are."""
    turns = int(d.rng.integers(4))
    turned = np.rot90(image, turns).copy()
    ink = np.flatnonzero(turned.max(axis=1) > 0.2)
    turned[: int(ink[0] + 1 + d(0.0, 0.14) * strength * len(ink))] = 0
    rest = np.rot90(turned, -turns)
    return as_mnist(np.where(rest > 0.05, rest, 0)) if rest.max() > 0.2 else image


def thickened(image: Array, d: Draws, strength: float) -> Array:
    wide = ndimage.grey_dilation(image, size=(2, 2) if d.chance(0.5) else (3, 3))
    share = d(0.2, 0.9) * strength
    return np.asarray(image + share * (wide - image))


def low_resolution(image: Array, d: Draws, strength: float) -> Array:
    """As enlarged from 9 to 14 pixels for the digit's longest side."""
    side = round(SIDE * (INK - d(6, 10.5) * strength) / INK)
    small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
    grown = small.resize((SIDE, SIDE), d.one_of((Image.Resampling.NEAREST, Image.Resampling.BILINEAR)))
    pixels = np.asarray(grown)
    return np.asarray(pixels / max(float(pixels.max()), 1e-6) * image.max())


def blurred(image: Array, d: Draws, strength: float) -> Array:
    soft = ndimage.gaussian_filter(image, d(0.4, 1.1) * strength)
    return np.asarray(soft * min(image.max() / soft.max(), 2.0))


def broken(image: Array, d: Draws, strength: float) -> Array:
    """Small holes, and gaps across strokes."""
    inked = np.argwhere(image > 0.3)
    for _ in range(1 + int(d(0, 3) * strength)):
        y, x = inked[d.rng.integers(len(inked))]
        image = image * (1 - _disc(y, x, d(0.3, 1.3)) * d(0.6, 1.0))
    return image


def uneven(image: Array, d: Draws, strength: float) -> Array:
    """Ink that grows paler to one side, and in patches."""
    turn = d.rng.uniform(0, 6.3)
    slope = (np.cos(turn) * (_X - SIDE / 2) + np.sin(turn) * (_Y - SIDE / 2)) / INK
    patches = np.kron(d.rng.random((4, 4)), np.ones((SIDE // 4, SIDE // 4)))
    light = d(0.15, 0.5) * (0.5 + slope) + d(0.0, 0.3) * ndimage.gaussian_filter(patches, 2)
    return np.asarray(image * np.clip(1 - strength * light, 0.4, 1))


def paper_lines(image: Array, d: Draws, strength: float) -> Array:
    """A ruled or squared page whose lines were not all taken for paper."""
    period, ink = d(7, 14), d(0.08, 0.3) * strength
    rows = (_Y + d.rng.uniform(0, period)) % period < 1
    columns = (_X + d.rng.uniform(0, period)) % period < 1
    lines = rows | columns if d.chance(0.4) else d.one_of((rows, rows, columns))
    return np.asarray(np.maximum(image, lines * (ink * image.max())))


FINISHES: dict[str, Finish] = {
    "cut edge": cut_edge,
    "low resolution": low_resolution,
    "thickened": thickened,
    "broken": broken,
    "blurred": blurred,
    "uneven": uneven,
    "specks": specks,
    "paper lines": paper_lines,
}


def finished(image: Array, draws: Draws, strength: float) -> Array:
    """The image (28, 28) with some finishes, in the order in which they happen to a real one."""
    for finish in FINISHES.values():
        if draws.chance(SHARE * min(1.0, strength)):
            image = finish(image, draws, strength)
    return np.clip(image, 0, 1).astype(np.float32)
