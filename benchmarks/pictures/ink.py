"""A digit of MNIST, or a printed one, as the strokes of a pen that can be drawn at any size without its pixels.

MNIST has strokes of two to four of 28 pixels. They are enlarged into a map of distances from the ink's edge and from
the line on which the pen moved; a pen of any width follows from the two, with an edge as sharp as the picture it is in.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.morphology import skeletonize

from benchmarks.case import Array

FINE = 8  # points of the map to one pixel of MNIST
ROUND = 0.4  # pixels of MNIST over which edges are rounded, or its pixels would show as steps
LEVEL = 0.3  # of the brightest: where MNIST's grey edge counts as ink
MOST = 1.8  # widths of the pen that its line may be wide: where strokes meet at a sharp angle, or a loop is filled
THINNER, THICKER = 0.35, 1.15  # at most, of the digit's own pen: short strokes would vanish, loops close
DIP = 0.15  # how much darker than around a slit in the ink is
SLIT = np.hypot(*np.mgrid[-10:11, -10:11]) <= 1.25 * FINE  # half as wide as the pen
AROUND = np.ones((3, 3))  # neighbours, also across corners
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "LiberationSans-Regular", "LiberationSerif-Regular")


@dataclass(frozen=True)
class Strokes:
    """A digit drawn with a pen. Lengths are shares of the digit's height, the origin is the middle of its box."""

    distance: Array  # (h, w) float32: how far from the ink's edge, below zero inside the ink
    per_height: float  # points of the map to the digit's height
    middle: tuple[float, float]  # row, column of the map
    ratio: float  # the box's width by its height


def strokes(image: Array, width: float) -> Strokes:
    """What (28, 28) uint8 would be with a pen of this width, a share of the digit's height."""
    fine = ndimage.zoom(np.pad(image, 4).astype(np.float32), FINE, order=3)
    fine = ndimage.gaussian_filter(fine, ROUND * FINE)
    return _drawn(_opened(fine / fine.max()), width)


def drawn_by(image: Array, rng: np.random.Generator, thinnest: float = 0.03, thickest: float = 0.13) -> Strokes:
    """With one of the pens that people have: every width between as likely as its half."""
    return strokes(image, float(np.exp(rng.uniform(np.log(thinnest), np.log(thickest)))))


def printed(label: int, rng: np.random.Generator) -> Strokes:
    """The digit `label` in one of the fonts that this machine has; Pillow brings one with it."""
    fonts = _fonts()
    large = Image.new("L", (320, 320))
    ImageDraw.Draw(large).text((80, 40), str(label), 255, fonts[rng.integers(len(fonts))])
    return _boxed(_signed(np.asarray(large) > 127), np.asarray(large) > 127, 1.0)


@cache
def _fonts() -> list[ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    found: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = [ImageFont.load_default(200)]
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(f"{name}.ttf", 200))
        except OSError:
            continue
    return found


def _opened(grey: Array) -> Array:
    """The ink (h, w) bool of a picture in [0, 1]. Small grey places in it are loops and slits that a thick pen nearly
    closed; a thin one has to leave them open. No stroke is torn apart by that."""
    ink = grey > LEVEL
    places, count = ndimage.label(ink & (ndimage.grey_closing(grey, footprint=SLIT) - grey > DIP))
    pieces = ndimage.label(ink, AROUND)[1]
    for place in range(1, count + 1):
        opened = ink & (places != place)
        if ndimage.label(opened, AROUND)[1] == pieces:
            ink = opened
    return ink


def _drawn(ink: Array, width: float) -> Strokes:
    """`ink` (h, w) bool made as thin or thick as a pen of `width` draws; no stroke gets lost on the way."""
    height = np.ptp(np.flatnonzero(ink.any(axis=1))) + 1
    line = skeletonize(ink)
    own = ink.sum() / max(1, line.sum())  # points
    wanted = np.clip(width * height, own * THINNER, own * THICKER)
    thinner = (own - wanted) / 2
    middle = ndimage.distance_transform_edt(~line)
    distance = np.maximum(np.minimum(_signed(ink) + thinner, middle - 0.45 * wanted), middle - MOST * wanted / 2)
    return _boxed(distance, distance < 0, FINE / 4)


def _signed(ink: Array) -> Array:
    return ndimage.distance_transform_edt(~ink) - ndimage.distance_transform_edt(ink)


def _boxed(distance: Array, ink: Array, smooth: float) -> Strokes:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    field = ndimage.gaussian_filter(distance, smooth).astype(np.float32) / height
    return Strokes(field, float(height), (rows.mean(), columns.mean()), float(width / height))
