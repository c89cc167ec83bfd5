"""What is drawn on a canvas: in a web page, on a tablet, in a paint program. 280 x 280, RGBA, PNG."""

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures.camera import lay, picture, png
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.view import View

SIDE = 280  # pixels
BRUSHES = (0.03, 0.16)  # of the digit's height
DARK = ((0, 0, 0), (0, 0, 0), (34, 34, 34), (20, 40, 120), (120, 20, 30), (10, 90, 50))
LIGHT = ((255, 255, 255), (255, 255, 255), (230, 230, 230), (120, 220, 255), (255, 220, 90))
WHITES = (1.0, 1.0, 0.96)  # of the canvas
BLACKS = (0.0, 0.0, 0.1)


def drawing(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Dark strokes on a white canvas."""
    return _opaque(_cover(image, rng), rng.choice(WHITES), _chosen(DARK, rng))


def drawing_dark(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Light strokes on a black canvas."""
    return _opaque(_cover(image, rng), rng.choice(BLACKS), _chosen(LIGHT, rng))


def drawing_transparent(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Ink with nothing behind it, as a canvas without a background is saved: mostly dark, now and then light."""
    cover = _cover(image, rng)
    ink = _chosen(DARK if rng.random() < 0.8 else LIGHT, rng)
    there = (cover > 0)[..., None]
    return png(picture(np.concatenate([np.where(there, ink, 0), cover[..., None]], axis=-1)))


def _cover(image: Array, rng: np.random.Generator) -> Array:
    """A digit of a third to nine tenths of the canvas, wherever it has room."""
    digit = drawn_by(image, rng, *BRUSHES)
    height = SIDE * rng.uniform(0.33, 0.9) / max(1, digit.ratio)
    room = np.maximum(SIDE - 4 - height * np.array([digit.ratio, 1]), 0) / 2
    x, y = np.clip(rng.normal(0, 0.4, 2), -1, 1) * room
    return View(SIDE, SIDE).ink(digit, (x, y), height)


def _opaque(cover: Array, ground: float, ink: Array) -> bytes:
    scene = lay(np.full((SIDE, SIDE, 3), ground), cover, ink)
    return png(picture(np.dstack([scene, np.ones((SIDE, SIDE))])))


def _chosen(colours: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> Array:
    return np.array(colours[rng.integers(len(colours))]) / 255
