"""Draws the pictures of this folder: the digits 0 to 9 as someone would in a paint program, and a photo of a note.

`python examples/draw.py` writes them again, always the same. No font and no dataset is used: every digit is a few
strokes of a round pen along smooth curves, with the slight wobble of a hand.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.interpolate import CubicSpline
from scipy.ndimage import distance_transform_edt, gaussian_filter

Array = npt.NDArray[Any]
Points = list[tuple[float, float]]

FINE = 3  # strokes are drawn this much larger and then reduced

# Each stroke is the points that the pen passes, x to the right and y down, in a box of 1 x 1. The curve is
# smooth through all of them, so a corner is the end of one stroke and the beginning of the next.
DIGITS: dict[int, list[Points]] = {
    0: [
        [
            (0.56, 0.07),
            (0.36, 0.13),
            (0.24, 0.36),
            (0.24, 0.66),
            (0.38, 0.9),
            (0.58, 0.9),
            (0.75, 0.66),
            (0.77, 0.36),
            (0.66, 0.13),
            (0.5, 0.08),
        ]
    ],
    1: [[(0.58, 0.08), (0.55, 0.36), (0.5, 0.64), (0.46, 0.93)]],
    2: [
        [(0.25, 0.27), (0.36, 0.12), (0.56, 0.08), (0.71, 0.2), (0.69, 0.4), (0.52, 0.63), (0.35, 0.78), (0.2, 0.9)],
        [(0.2, 0.9), (0.38, 0.86), (0.58, 0.89), (0.81, 0.88)],
    ],
    3: [
        [(0.27, 0.17), (0.42, 0.08), (0.6, 0.09), (0.7, 0.22), (0.62, 0.37), (0.44, 0.45)],
        [(0.44, 0.45), (0.62, 0.49), (0.74, 0.64), (0.68, 0.83), (0.5, 0.92), (0.33, 0.9), (0.22, 0.8)],
    ],
    4: [
        [(0.38, 0.1), (0.31, 0.3), (0.22, 0.55)],
        [(0.22, 0.55), (0.42, 0.57), (0.62, 0.55), (0.83, 0.53)],
        [(0.66, 0.12), (0.64, 0.4), (0.6, 0.67), (0.58, 0.94)],
    ],
    5: [
        [(0.36, 0.12), (0.34, 0.27), (0.31, 0.46)],
        [(0.31, 0.46), (0.45, 0.4), (0.62, 0.43), (0.72, 0.58), (0.69, 0.77), (0.55, 0.9), (0.37, 0.91), (0.24, 0.82)],
        [(0.36, 0.12), (0.52, 0.11), (0.73, 0.09)],
    ],
    6: [
        [
            (0.63, 0.07),
            (0.46, 0.2),
            (0.33, 0.42),
            (0.28, 0.67),
            (0.36, 0.87),
            (0.53, 0.92),
            (0.69, 0.8),
            (0.68, 0.62),
            (0.54, 0.53),
            (0.4, 0.58),
            (0.3, 0.7),
        ]
    ],
    7: [
        [(0.21, 0.14), (0.4, 0.13), (0.58, 0.13), (0.77, 0.11)],
        [(0.77, 0.11), (0.66, 0.33), (0.54, 0.59), (0.45, 0.93)],
    ],
    8: [
        [
            (0.66, 0.17),
            (0.52, 0.08),
            (0.36, 0.14),
            (0.34, 0.3),
            (0.48, 0.45),
            (0.65, 0.6),
            (0.68, 0.79),
            (0.54, 0.92),
            (0.37, 0.87),
            (0.32, 0.69),
            (0.45, 0.5),
            (0.63, 0.35),
            (0.68, 0.22),
            (0.64, 0.15),
        ]
    ],
    9: [
        [(0.68, 0.25), (0.57, 0.1), (0.4, 0.12), (0.3, 0.28), (0.36, 0.45), (0.52, 0.48), (0.65, 0.37), (0.69, 0.23)],
        [(0.69, 0.2), (0.68, 0.42), (0.65, 0.68), (0.59, 0.94)],
    ],
}


def pen_path(points: Points, size: float, rng: np.random.Generator) -> Array:
    """(n, 2) points in pixels, closer than one, along the smooth curve through points, as a hand would wobble."""
    knots = (0.1 + 0.8 * np.array(points)) * size
    knots[1:-1] += rng.normal(0, 0.005 * size, (len(points) - 2, 2))  # the ends stay: strokes meet there
    along = np.concatenate([[0], np.cumsum(np.sqrt(np.hypot(*np.diff(knots, axis=0).T)))])
    fine = np.linspace(0, along[-1], int(4 * size))
    return np.asarray(CubicSpline(along, knots)(fine))


def strokes(digit: int, size: int, pen: float, seed: int) -> Array:
    """How much of each pixel of (size, size) the pen covers, 0..1 float."""
    rng = np.random.default_rng(seed)
    unmarked = np.ones((size * FINE, size * FINE), bool)
    for points in DIGITS[digit]:
        path = pen_path(points, size * FINE, rng).astype(int)
        unmarked[path[:, 1], path[:, 0]] = False
    distance = distance_transform_edt(unmarked)
    covered = np.clip(pen * FINE / 2 - distance + 0.5, 0, 1)
    return np.asarray(covered.reshape(size, FINE, size, FINE).mean((1, 3)))


def drawing(digit: int) -> Image.Image:
    """Dark ink on a white 280 x 280 canvas."""
    ink = strokes(digit, 280, pen=22, seed=digit)
    return Image.fromarray(np.rint(255 - 235 * ink).astype(np.uint8))


def photo() -> Image.Image:
    """A 4 in blue pen, off-centre on yellowish paper, lit from the upper left, with a camera's noise; 1200 x 900."""
    height, width, size = 900, 1200, 460
    rng = np.random.default_rng(4)
    ink = np.zeros((height, width, 1))
    ink[310 : 310 + size, 600 : 600 + size, 0] = strokes(4, size, pen=30, seed=14)
    fibres = gaussian_filter(rng.normal(0, 1, (height, width, 1)), (2, 2, 0)) * 0.02
    paper = np.array([0.97, 0.94, 0.84]) * (1 + fibres)
    picture = paper * (1 - 0.92 * ink) + np.array([0.13, 0.2, 0.58]) * 0.92 * ink
    y, x = np.mgrid[0:height, 0:width]
    light = 1.0 - 0.42 * (0.7 * x / width + 0.3 * y / height) ** 1.3
    picture = gaussian_filter(picture * light[..., None], (1.2, 1.2, 0)) + rng.normal(0, 0.012, (height, width, 1))
    return Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))


def main() -> None:
    folder = Path(__file__).parent
    for digit in DIGITS:
        drawing(digit).save(folder / f"{digit}.png", optimize=True)
    photo().save(folder / "photo.jpg", quality=70, optimize=True)


if __name__ == "__main__":
    main()
