"""Grey picture of a digit -> the digit as in MNIST: light ink on black, 20 of 28 pixels long, centred by mass.

Coordinates count from pixels' edges: centres are at (column + 0.5, row + 0.5). Must not know file formats, colours or
HTTP.
"""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from scipy import ndimage

from server.errors import BlankImage
from server.images.ink import Found, find_strokes, has_light_ink, stroke_width
from server.images.resampling import resample, shrunk
from server.types import Array, ImageSpec

WORK_SIDE = 600  # pixels; the filters below look at no more than this on the longer side
FINE_SIDE = 120  # pixels; a digit found smaller than this is looked at again in the finer picture
INNER_SHARE = 20 / 28  # longest side of the digit in the model's image: MNIST's
STROKES = (1.1, 4.0)  # stroke widths in model pixels that MNIST knows well; beyond them strokes are corrected ...
STROKE_GOALS = (1.7, 3.4)  # ... to these
CORRECTION_SIDE = 200  # pixels; the size at which strokes are corrected
ONE_AT_A_TIME = Lock()  # hundreds of short steps: threads that take turns in them are slower together than in a row


@dataclass(frozen=True)
class Normalised:
    """pixels (H, W) float32; model point (x, y) lies at (left + scale x, top + scale y) of the grey picture."""

    pixels: Array
    scale: float
    left: float
    top: float
    steps: tuple[str, ...]
    warnings: tuple[str, ...]


def is_normalised(grey: Array, spec: ImageSpec) -> bool:
    """Whether grey (h, w) uint8 already is like MNIST: the size, a dark border, light ink in the usual amount."""
    if grey.shape != (spec.height, spec.width):
        return False
    total = int(np.add.reduce(grey, axis=None))
    border = total - int(np.add.reduce(grey[1:-1, 1:-1], axis=None))
    dark = border <= 0.05 * 255 * 2 * (spec.height + spec.width - 2)
    return dark and 0.02 <= total / grey.size / 255 <= 0.36 and int(np.maximum.reduce(grey, axis=None)) >= 180


def normalise(grey: Array, spec: ImageSpec) -> Normalised:
    """Normalise grey (h, w) uint8, upright, either polarity. Raises BlankImage when there is nothing like a digit."""
    with ONE_AT_A_TIME:
        return _normalised(grey, spec)


def _normalised(grey: Array, spec: ImageSpec) -> Normalised:
    coarse, factor = shrunk(grey, WORK_SIDE)
    coarse /= 255
    light_ink = has_light_ink(coarse)
    found = find_strokes(coarse, light_ink)
    found = replace(found, left=found.left * factor, top=found.top * factor, factor=factor)
    if factor > 1 and max(found.strokes.shape) < FINE_SIDE:
        found = _find_again(grey, found, light_ink)
    return _fit(found, spec)


def _find_again(grey: Array, found: Found, light_ink: bool) -> Found:
    """The same digit in the finer picture, with paper around it to compare with."""
    height, width = (side * found.factor for side in found.strokes.shape)
    margin = 0.4 * max(height, width)
    top, left = max(0, int(found.top - margin)), max(0, int(found.left - margin))
    crop = grey[top : int(found.top + height + margin), left : int(found.left + width + margin)]
    fine, factor = shrunk(crop, WORK_SIDE)
    try:
        finer = find_strokes(fine / 255, light_ink)
    except BlankImage:
        return found
    left_edge, top_edge = left + factor * finer.left, top + factor * finer.top
    return replace(found, strokes=finer.strokes, left=left_edge, top=top_edge, factor=factor)


def _fit(found: Found, spec: ImageSpec) -> Normalised:
    """Found of MNIST's width, the longest side INNER_SHARE of the image, the centre of mass on its middle pixel."""
    inner = round(INNER_SHARE * min(spec.height, spec.width))
    found = _with_usual_strokes(found, inner)
    top, left, bottom, right = _extent(found.strokes)
    scale = max(bottom - top, right - left) / inner
    mass = found.strokes.sum(dtype=np.float64)
    row = float(found.strokes.sum(1) @ (np.arange(found.strokes.shape[0]) + 0.5) / mass)
    column = float(found.strokes.sum(0) @ (np.arange(found.strokes.shape[1]) + 0.5) / mass)
    # Whole pixels, as MNIST shifts: the digit's outer edges stay on the grid and crisp.
    shift_y = round(spec.height // 2 + 0.5 - (row - top) / scale)
    shift_x = round(spec.width // 2 + 0.5 - (column - left) / scale)
    shift_y = max(0, min(shift_y, spec.height - round((bottom - top) / scale)))
    shift_x = max(0, min(shift_x, spec.width - round((right - left) / scale)))
    left, top = left - shift_x * scale, top - shift_y * scale
    pixels = resample(found.strokes, left, top, scale, (spec.height, spec.width))
    pixels = np.clip(pixels / max(float(pixels.max()), 1e-6), 0, 1)
    steps = (*found.steps, "cropped", "centred")
    f = found.factor
    return Normalised(pixels, scale * f, found.left + left * f, found.top + top * f, steps, found.warnings)


def _extent(strokes: Array) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of strokes (h, w); a partly covered outermost row or column counts by its cover."""
    edges = []
    for cover in (strokes.max(1), strokes.max(0)):
        inside = np.flatnonzero(cover >= 0.5 * cover.max())
        first, last = int(inside[0]), int(inside[-1])
        before = float(cover[first - 1]) if first else 0.0
        after = float(cover[last + 1]) if last + 1 < cover.size else 0.0
        edges.append((first - before, last + 1 + after))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def _with_usual_strokes(found: Found, inner: int) -> Found:
    """Hairlines thickened and markers thinned by an offset of their outline, in a picture large enough for it."""
    top, left, bottom, right = _extent(found.strokes)
    longest = max(bottom - top, right - left)
    width = stroke_width(found.strokes) * inner / longest
    goal = STROKE_GOALS[0] if width < STROKES[0] else STROKE_GOALS[1]
    if STROKES[0] <= width <= STROKES[1]:
        return found
    step = longest / CORRECTION_SIDE
    margin = round(0.1 * CORRECTION_SIDE)
    left, top = left - margin * step, top - margin * step
    shape = tuple(int(np.ceil(side / step)) + margin for side in (bottom - top, right - left))
    strokes = resample(found.strokes, left, top, step, (shape[0], shape[1]))
    inside = strokes >= 0.5 * min(1.0, float(strokes.max()))
    # Signed distance to the outline: below 0 inside. Offsetting it moves the outline by less than a pixel if need be.
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    core = float(distance.min())  # dots of a raster are far narrower than their mean width: a quarter must stay
    offset = max((goal - width) / 2 * CORRECTION_SIDE / inner, 0.75 * core)
    strokes = np.asarray(np.clip(0.5 + offset - distance, 0, 1), np.float32)
    left, top = found.left + left * found.factor, found.top + top * found.factor
    steps = (*found.steps, "thickened" if goal > width else "thinned")
    return replace(found, strokes=strokes, left=left, top=top, factor=found.factor * step, steps=steps)
