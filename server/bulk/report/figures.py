"""Draws pictures and maps as addresses to be put into a page. Knows no HTML."""

import numpy as np

from server.render.backdrop import PAPER, of_pixels
from server.render.colours import eight_bit, over
from server.render.heatmap import heatmap_of, paint
from server.render.lossless import eight_bit_url
from server.types import Array

LARGE, SMALL = 168, 112  # pixels that the longer side of a map is enlarged towards: 6 and 4 for each of 28
INKED = 0.5  # of the darkest pixel there can be
BAR = 256


def picture_url(pixels: Array) -> str:
    """A model's image (H, W), dark on light."""
    return eight_bit_url(eight_bit(1 - np.clip(pixels.astype(float), 0, 1)))


def map_url(
    values: Array, pixels: Array, signed: bool, limit: float | None, size: int = SMALL, ink: Array | None = None
) -> str:
    """Values (H, W) painted over the image (H, W) that they explain, with the outline of its `ink`; without a `limit`,
    to their own scale."""
    below = of_pixels(pixels, max(1, round(size / max(pixels.shape))))
    ink = pixels >= INKED if ink is None else ink
    return eight_bit_url(paint(heatmap_of(values.astype(float), signed, limit, None, ink, below)))


def mean_map_url(values: Array, pixels: Array, signed: bool, limit: float) -> str:
    """The same of means: their ink is pale where digits differ, and its outline goes by its darkest pixel."""
    return map_url(values, pixels, signed, limit, LARGE, pixels >= INKED * pixels.max())


def bar_url(signed: bool) -> str:
    """The colours of the scale on paper, from its lowest value to its highest."""
    centres = (np.arange(BAR) + 0.5) / BAR
    return eight_bit_url(eight_bit(over(np.full((1, BAR), PAPER), 2 * centres - 1 if signed else centres, signed)))
