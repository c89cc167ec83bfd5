"""Makes the grey picture behind a heatmap, and places the model's image on it. With numpy alone.

Every backdrop is light paper with darker ink, as the scales expect: a picture of light ink on dark paper is shown as
its negative. Knows no attribution.
"""

from dataclasses import dataclass

import numpy as np

from server.types import Array, Digit, Explanation

Matrix = tuple[float, float, float, float, float, float]

READABLE = 360  # pixels that the longer side of a small picture is enlarged towards; 28 become 364
PAPER, INK = 1.0, 0.58  # greys of the model's own image: light enough for heat to show upon ink
DARKEST = 0.5  # what black in a sent picture becomes, for the same reason
FADED = 0.6  # how far the parts that the model did not see go towards white


@dataclass(frozen=True)
class Backdrop:
    """A grey picture at the map's size; `matrix` maps the model's image to it as Placement.transform does."""

    grey: Array  # (h, w) float32 in [0, 1]
    matrix: Matrix
    negative: bool = False

    @property
    def cell(self) -> float:
        """The side of a pixel of the model's image in pixels of the map."""
        a, b, _, d, e, _ = self.matrix
        return float(abs(a * e - b * d) ** 0.5)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A point of the model's image on the map."""
        a, b, c, d, e, f = self.matrix
        return a * x + b * y + c, d * x + e * y + f


def backdrop(explanation: Explanation) -> Backdrop:
    """The sent picture, or the model's own image where the frame says so."""
    if explanation.frame == "original":
        return _sent(explanation.digit)
    return of_pixels(explanation.digit.pixels, _times(explanation.digit.pixels.shape))


def of_pixels(pixels: Array, times: int) -> Backdrop:
    """The model's own image (H, W), each of its pixels as so many a side."""
    grey = PAPER + (INK - PAPER) * pixels.astype(np.float32)
    return Backdrop(_enlarged(grey, times), (times, 0.0, 0.0, 0.0, times, 0.0))


def cells(matrix: Matrix, size: tuple[int, int], shape: tuple[int, int]) -> Array:
    """Which cell of the model's image (H, W) = shape lies under each pixel's centre of a map (h, w) = size.

    (h, w) int, row * W + column, or -1 outside of what the model saw.
    """
    a, b, c, d, e, f = matrix
    x, y = np.arange(size[1]) + 0.5 - c, (np.arange(size[0]) + 0.5 - f)[:, None]
    determinant = a * e - b * d
    column = np.floor(e / determinant * x - b / determinant * y).astype(np.int32)
    row = np.floor(a / determinant * y - d / determinant * x).astype(np.int32)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    return np.where(inside, row * shape[1] + column, -1)


def _sent(digit: Digit) -> Backdrop:
    placement, picture = digit.placement, digit.placement.picture
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    across, down = picture.shape[1] / placement.width, picture.shape[0] / placement.height  # the thumbnail's scales
    a, b, c, d, e, f = placement.transform
    matrix = (across * a, across * b, across * c, down * d, down * e, down * f)
    negative = _light_ink(digit.pixels, luma, matrix)
    times = _times(luma.shape)
    grey = DARKEST + (1 - DARKEST) * (1 - luma if negative else luma)
    a, b, c, d, e, f = (times * number for number in matrix)
    return Backdrop(_enlarged(grey, times), (a, b, c, d, e, f), negative)


def _light_ink(pixels: Array, luma: Array, matrix: Matrix) -> bool:
    """Whether the sent picture is lighter where the model saw ink than where it saw paper."""
    a, b, c, d, e, f = matrix
    rows, columns = np.indices(pixels.shape) + 0.5
    x, y = np.floor(a * columns + b * rows + c).astype(int), np.floor(d * columns + e * rows + f).astype(int)
    within = (x >= 0) & (x < luma.shape[1]) & (y >= 0) & (y < luma.shape[0])
    ink, paper = within & (pixels >= 0.5), within & (pixels < 0.1)
    if not (ink.any() and paper.any()):
        return False
    return bool(luma[y[ink], x[ink]].mean() > luma[y[paper], x[paper]].mean())


def _times(shape: tuple[int, ...]) -> int:
    return max(1, round(READABLE / max(shape)))


def _enlarged(picture: Array, times: int) -> Array:
    return picture.repeat(times, axis=0).repeat(times, axis=1)
