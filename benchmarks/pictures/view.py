"""Where the pixels of a picture look on a flat thing - paper, a board, a canvas -, and what lies there."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.case import Array
from benchmarks.pictures.ink import Strokes

TILE = 32  # cells after which uneven ground repeats itself
POINTS = 4  # of a tile for each cell
ENOUGH = 10  # pixels across a spot: larger ones are computed coarsely and enlarged


@dataclass(frozen=True)
class View:
    """A camera over a plane, whose points are (x, y) in millimetres; of a canvas, in its pixels."""

    width: int  # of the picture, pixels
    height: int
    pixel: float = 1.0  # millimetres that one pixel sees in the picture's middle
    middle: tuple[float, float] = (0.0, 0.0)  # the point in the picture's middle
    turn: float = 0.0  # radians
    lean: tuple[float, float] = (0.0, 0.0)  # how much smaller things are at the right and lower end, as a share

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """x and y (height, width) float32 of every pixel's middle."""
        rows, columns = np.ogrid[0 : self.height, 0 : self.width]
        return self.at(columns.astype(np.float32), rows.astype(np.float32))

    def at(self, column: Array | float, row: Array | float) -> tuple[Array, Array]:
        """The point that a pixel sees."""
        right, down = column - (self.width - 1) / 2, row - (self.height - 1) / 2
        scale = self.pixel / (1 + self._lean[0] * right + self._lean[1] * down)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x = self.middle[0] + scale * (cos * right + sin * down)
        return x, self.middle[1] + scale * (cos * down - sin * right)

    def seen(self, x: float, y: float) -> tuple[float, float]:
        """The column and row in which a point is seen."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x, y = (x - self.middle[0]) / self.pixel, (y - self.middle[1]) / self.pixel
        right, down = cos * x - sin * y, sin * x + cos * y
        scale = 1 / (1 - self._lean[0] * right - self._lean[1] * down)
        return right * scale + (self.width - 1) / 2, down * scale + (self.height - 1) / 2

    @property
    def _lean(self) -> tuple[float, float]:
        half = max(self.width, self.height) / 2
        return self.lean[0] / half, self.lean[1] / half

    def ink(
        self, digit: Strokes, at: tuple[float, float], height: float, turn: float = 0.0, soft: float = 1.0
    ) -> Array:
        """The share (height, width) float32 of each pixel under the digit's ink. Its box's middle is `at` a point, it
        is `height` millimetres tall and turned by radians; `soft` is its edge in pixels."""
        x, y = self.points
        reach = height * (0.75 + 0.75 * digit.ratio)
        near = (np.abs(x - at[0]) < reach) & (np.abs(y - at[1]) < reach)
        cover = np.zeros(x.shape, np.float32)
        if near.any():
            rows, columns = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
            part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            right, down = (x[part] - at[0]) / height, (y[part] - at[1]) / height
            cos, sin = math.cos(turn), math.sin(turn)
            places = [digit.middle[0] + digit.per_height * (cos * down - sin * right),
                      digit.middle[1] + digit.per_height * (cos * right + sin * down)]  # fmt: skip
            far = ndimage.map_coordinates(digit.distance, places, order=1, mode="nearest")
            cover[part] = np.clip(0.5 - far * (height / (self.pixel * soft)), 0, 1)
        return cover

    def lines(self, period: float, width: float, first: float = 0.0, across: bool = False) -> Array:
        """The share of each pixel under ruled lines, all horizontal or all `across`: millimetres from one to the next,
        their width, and where one of them is."""
        along = self.points[0 if across else 1] - first
        far = np.abs(along - period * np.round(along / period)) - width / 2
        return np.clip(0.5 - far / self.pixel, 0, 1) * min(1.0, width / self.pixel)

    def box(self, left: float, top: float, right: float, bottom: float) -> Array:
        """How far (height, width), in millimetres, each pixel is outside an upright box; below zero inside."""
        x, y = self.points
        return np.maximum(np.maximum(left - x, x - right), np.maximum(top - y, y - bottom))

    def uneven(self, size: tuple[float, float], rng: np.random.Generator, turn: float = 0.0) -> Array:
        """Smooth random ground (height, width) float32 of mean 0 and deviation about 1, with spots of that many
        millimetres along and across a direction."""
        cells = rng.standard_normal((TILE, TILE), np.float32)
        tile = ndimage.zoom(cells, POINTS, order=3, mode="grid-wrap", grid_mode=True)
        step = max(1, int(min(size) / self.pixel / ENOUGH))
        x, y = (of[::step, ::step] for of in self.points)
        cos, sin = math.cos(turn), math.sin(turn)
        places = [(cos * y - sin * x) * (POINTS / size[1]), (cos * x + sin * y) * (POINTS / size[0])]
        found = ndimage.map_coordinates(tile, places, order=1, mode="grid-wrap")
        if step == 1:
            return found
        return np.asarray(Image.fromarray(found).resize((self.width, self.height), Image.Resampling.BILINEAR))
