"""Strokes of a digit -> the digit as in MNIST: light ink on black, 20 of 28 pixels long, centred by mass.

Coordinates count from pixels' edges: centres are at (column + 0.5, row + 0.5). Must not know file formats, colours or
HTTP.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from server.images.resampling import resample
from server.images.strokes import Strokes
from server.types import Array, ImageSpec

INNER_SHARE = 20 / 28  # longest side of the digit in the model's image: MNIST's
EXTENT = 0.3  # of the darkest stroke: fainter rows and columns are no part of the digit
STROKES = (1.1, 4.0)  # stroke widths in model pixels that MNIST knows well; beyond them strokes are corrected ...
STROKE_GOALS = (1.7, 3.4)  # ... to these
CORRECTION_SIDE = 120  # pixels; the size at which strokes are corrected


@dataclass(frozen=True)
class Normalised:
    """pixels (H, W) float32; model point (x, y) lies at (left + scale x, top + scale y) of the window that
    the strokes are from."""

    pixels: Array
    scale: float
    left: float
    top: float
    steps: tuple[str, ...]


def is_normalised(grey: Array, spec: ImageSpec) -> bool:
    """Whether grey (h, w) uint8 already is like MNIST: the size, a dark border, light ink in the usual amount."""
    if grey.shape != (spec.height, spec.width):
        return False
    total = int(np.add.reduce(grey, axis=None))
    border = total - int(np.add.reduce(grey[1:-1, 1:-1], axis=None))
    dark = border <= 0.05 * 255 * 2 * (spec.height + spec.width - 2)
    return dark and 0.02 <= total / grey.size / 255 <= 0.36 and int(np.maximum.reduce(grey, axis=None)) >= 180


def normalise(found: Strokes, spec: ImageSpec) -> Normalised:
    """Strokes of MNIST's width, the longest side INNER_SHARE of the image, the centre of mass on its middle pixel."""
    inner = round(INNER_SHARE * min(spec.height, spec.width))
    found, (top, left, bottom, right), steps = _with_usual_strokes(found, _extent(found.strokes), inner)
    scale = max(bottom - top, right - left) / inner
    moments = cv2.moments(found.strokes)
    row, column = (moments[name] / moments["m00"] + 0.5 for name in ("m01", "m10"))
    # Whole pixels, as MNIST shifts: the digit's outer edges stay on the grid and crisp.
    shift_y = round(spec.height // 2 + 0.5 - (row - top) / scale)
    shift_x = round(spec.width // 2 + 0.5 - (column - left) / scale)
    shift_y = max(0, min(shift_y, spec.height - round((bottom - top) / scale)))
    shift_x = max(0, min(shift_x, spec.width - round((right - left) / scale)))
    left, top = left - shift_x * scale, top - shift_y * scale
    pixels = resample(found.strokes, left, top, scale, (spec.height, spec.width))
    pixels /= max(float(pixels.max()), 1e-6)  # none is below 0
    f = found.factor
    return Normalised(pixels, scale * f, found.left + left * f, found.top + top * f, (*steps, "cropped", "centred"))


def _extent(strokes: Array) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of strokes (h, w); a partly covered outermost row or column counts by its cover."""
    edges = []
    for cover in (strokes.max(1), cv2.reduce(strokes, 0, cv2.REDUCE_MAX)[0]):
        inside = (cover >= EXTENT * cover.max()).nonzero()[0]
        first, last = int(inside[0]), int(inside[-1])
        before = float(cover[first - 1]) if first else 0.0
        after = float(cover[last + 1]) if last + 1 < cover.size else 0.0
        edges.append((first + 1 - float(cover[first]) - before, last + float(cover[last]) + after))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def stroke_width(strokes: Array) -> float:
    """Mean width of strokes (h, w) in pixels: twice the area over the perimeter (the total variation of soft edges)."""
    padded = cv2.copyMakeBorder(strokes, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    down, across = (cv2.Sobel(padded, cv2.CV_32F, *way, ksize=1, scale=0.5) for way in ((0, 1), (1, 0)))
    return 2 * cv2.sumElems(strokes)[0] / max(cv2.sumElems(cv2.magnitude(down, across))[0], 1e-6)


def _with_usual_strokes(
    found: Strokes, extent: tuple[float, float, float, float], inner: int
) -> tuple[Strokes, tuple[float, float, float, float], tuple[str, ...]]:
    """Hairlines thickened and markers thinned by an offset of their outline, in a picture large enough for it; the
    extent of what comes out, and what was done."""
    top, left, bottom, right = extent
    longest = max(bottom - top, right - left)
    width = stroke_width(found.strokes) * inner / longest
    goal = STROKE_GOALS[0] if width < STROKES[0] else STROKE_GOALS[1]
    if STROKES[0] <= width <= STROKES[1]:
        return found, extent, ()
    step = longest / CORRECTION_SIDE
    margin = round(0.1 * CORRECTION_SIDE)
    left, top = left - margin * step, top - margin * step
    shape = tuple(int(np.ceil(side / step)) + margin for side in (bottom - top, right - left))
    strokes = resample(found.strokes, left, top, step, (shape[0], shape[1]))
    inside = (strokes >= 0.5 * min(1.0, float(strokes.max()))).astype(np.uint8)
    # Signed distance to the outline: below 0 inside. Offsetting it moves the outline by less than a pixel if need be.
    distance = _distance(1 - inside) - _distance(inside)
    core = float(distance.min())  # dots of a raster are far narrower than their mean width: a quarter must stay
    offset = max((goal - width) / 2 * CORRECTION_SIDE / inner, 0.75 * core)
    strokes = np.asarray(np.clip(0.5 + offset - distance, 0, 1), np.float32)
    left, top = found.left + left * found.factor, found.top + top * found.factor
    done = Strokes(strokes, left, top, found.factor * step)
    return done, _extent(strokes), ("thickened" if goal > width else "thinned",)


def _distance(mask: Array) -> Array:
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
