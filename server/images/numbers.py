"""A table of numbers, as JSON has it -> the digit as the model takes it: which scale it is on, and what is no picture.

Numbers are taken where they are and as they are: 0 is paper, the end of the scale is ink, nothing is cropped, centred
or inverted. Must not know HTTP or models.
"""

from functools import partial
from itertools import chain
from math import floor
from typing import Any

import numpy as np

from server.errors import BlankImage, InvalidPixels
from server.types import Array, Digit, ImageSpec, Placement

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
MIN_CONTRAST = 30 / 255  # between ink and paper, as a share of the scale
DEEPEST = 6  # lists in lists that are looked into; a batch of one picture with one channel has 4
LOOKED_AT = 1000  # rows of what is no picture, to say what is wrong with it
LOW = 16  # whole numbers up to here are rather on another scale than a faint picture
MOST = 0.6  # of the numbers, so that noise, half of which is high, is not called inverted
KINDS: dict[type, str] = {bool: "booleans", str: "texts", type(None): "null", dict: "objects", list: "lists"}


def from_pixels(pixels: object, spec: ImageSpec) -> Digit:
    """The digit in nested lists: H rows of W, or H * W in one row, also with a list around it or around each number.

    Where nothing is above 1 the scale is 0..1 (booleans too: true is ink); else all are whole, and it is 0..255. Never
    normalised; the steps tell the scale and the warnings what is doubtful.

    Raises:
        InvalidPixels: another shape, what is no number, or a number that is on neither scale.
        BlankImage: the numbers differ by less than MIN_CONTRAST of the scale; of those that may be on a scale below
            LOW, only where they are all the same.
    """
    wanted = f"expected {spec.height} rows of {spec.width} numbers, all whole and 0..255 or all 0..1"
    shape = _shape(pixels)
    if not isinstance(pixels, list) or not _is_one_picture(shape, spec):
        raise InvalidPixels(f"{_shape_got(pixels, shape)}; {wanted}. {_shape_cure(shape, spec)}")
    values = _values(pixels, shape, spec, wanted)
    top, steps, warnings = _scale(values, spec, wanted)
    if shape != (spec.height, spec.width):
        steps = (f"{' x '.join(map(str, shape))} numbers read as {spec.height} x {spec.width}", *steps)
    image = (values.astype(np.float32) / np.float32(top)).reshape(spec.height, spec.width)
    if _looks_inverted(image):
        warnings += (
            "looks-inverted: most numbers are high, also at the edge, but 0 is paper and the numbers are taken as they "
            f"are; if the digit is dark on light, send {top} - x for each number x",
        )
    return _digit(image, steps, warnings)


def from_array(pixels: Array) -> Digit:
    """The digit that a model's own image (H, W), float32 in [0, 1], is; a warning says so where it looks blank."""
    words = f"looks-blank: no two numbers differ by {MIN_CONTRAST:.0%}, so that there is nothing to read or explain"
    return _digit(pixels, (), (words,) if looks_blank(pixels[None])[0] else ())


def looks_blank(images: Array) -> Array:
    """Which of the images (n, H, W), float32 in [0, 1], have no ink that stands out: (n,) bool."""
    spread = images.max(axis=(1, 2)) - images.min(axis=(1, 2))
    return np.asarray(spread < MIN_CONTRAST)


def _digit(pixels: Array, steps: tuple[str, ...], warnings: tuple[str, ...]) -> Digit:
    height, width = pixels.shape
    return Digit(pixels, Placement(IDENTITY, width, height, partial(_seen, pixels), steps, warnings))


def _seen(pixels: Array) -> Array:
    """pixels (H, W) in [0, 1] as a picture (H, W, 3) uint8."""
    return np.asarray(np.rint(pixels * 255).astype(np.uint8)[..., None].repeat(3, axis=2))


def _shape(pixels: object) -> tuple[int, ...]:
    """How the first list, the first in it and so on are nested: () for what is no list."""
    shape: tuple[int, ...] = ()
    while isinstance(pixels, list) and len(shape) < DEEPEST:
        shape += (len(pixels),)
        pixels = pixels[0] if pixels else None
    return shape


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _is_one_picture(shape: tuple[int, ...], spec: ImageSpec) -> bool:
    sizes = (spec.height, spec.width), (spec.height * spec.width,)
    return _without_ones(shape) in map(_without_ones, sizes)


def _shape_got(pixels: object, shape: tuple[int, ...]) -> str:
    """What was sent in place of one picture."""
    if not isinstance(pixels, list):
        return f"pixels is {_named(pixels)}"
    if not pixels:
        return "pixels is an empty list"
    sizes = [len(row) if isinstance(row, list) else None for row in pixels[:LOOKED_AT]]
    other = next((number for number, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        return f"row 0 of pixels is {_row(pixels[0])} and row {other} is {_row(pixels[other])}"
    if len(shape) == 1:
        return f"pixels is one row of {shape[0]}"
    return f"pixels is {shape[0]} rows of {shape[1]}" if len(shape) == 2 else f"pixels is {' x '.join(map(str, shape))}"


def _shape_cure(shape: tuple[int, ...], spec: ImageSpec) -> str:
    """How a picture comes to have the model's size."""
    height, width = spec.height, spec.width
    bare = _without_ones(shape)
    if bare in ((8, 8), (64,)):
        return (
            f"8 x 8 are scikit-learn's digits: enlarge them to {height} x {width} and divide them by 16, or send a "
            "picture file."
        )
    if len(bare) == 3 and {bare[0], bare[-1]} & {2, 3, 4}:
        return "Send one grey number for each pixel, or a picture file, which may have colours."
    if bare[1:] in ((height, width), (height * width,)):
        return "Send one picture at a time."
    return f"Resize it to {height} x {width}, or send a picture file, which may have any size."


def _named(value: object) -> str:
    """A value as JSON calls it."""
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return "a number"
    names: dict[type, str] = {str: "a text", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _row(value: object) -> str:
    return f"a list of {len(value)} entries" if isinstance(value, list) else _named(value)


def _values(pixels: list[Any], shape: tuple[int, ...], spec: ImageSpec, wanted: str) -> Array:
    """The numbers (H * W,) float64, in their order."""
    values = pixels
    for size in shape[1:]:
        for number, row in enumerate(values):
            if not isinstance(row, list) or len(row) != size:
                what = "row" if len(values) == spec.height else "entry"
                raise InvalidPixels(
                    f"{what} {number} of pixels is {_row(row)} and {what} 0 is {_row(values[0])}; {wanted}. Give every "
                    f"{what} the same length."
                )
        values = list(chain.from_iterable(values))
    kinds = set(map(type, values))
    if not (kinds <= {int, float} or kinds == {bool}):
        names = ", ".join(sorted(KINDS.get(kind, kind.__name__) for kind in kinds - {int, float}))
        beside = " beside numbers" if kinds & {int, float} else ""
        raise InvalidPixels(f"pixels holds {names}{beside}; {wanted}. Send plain numbers, one for each pixel.")
    try:
        return np.array(values, np.float64)
    except OverflowError as error:
        index = next(index for index, value in enumerate(values) if abs(value) > 255)
        raise _off_scale(index, values[index], spec, wanted, "Scale them to 0..255; 0 is paper.") from error


def _off_scale(index: int, value: float, spec: ImageSpec, wanted: str, cure: str) -> InvalidPixels:
    shown = str(value) if len(str(value)) <= 24 else f"{str(value)[:20]}..."
    row, column = divmod(index, spec.width)
    return InvalidPixels(f"row {row}, column {column} of pixels is {shown}; {wanted}. {cure}")


def _scale(values: Array, spec: ImageSpec, wanted: str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """The end of the scale of values (H * W,) float64, and what is to be told of it.

    Raises:
        InvalidPixels, BlankImage: as from_pixels() does.
    """
    low, high = float(values.min()), float(values.max())
    if high <= 1 and low >= 0:
        top = 1
    elif high <= 255 and low >= 0 and bool((values == np.rint(values)).all()):
        top = 255
    else:
        raise _on_no_scale(values, spec, wanted)
    steps = (f"numbers read as 0 to {top}",)
    if 1 < high <= LOW and low < high:
        words = f"unusual-scale: the highest number is {high:g} and was read as hardly any ink of 0 to 255; "
        return top, steps, (f"{words}if it is full ink (scikit-learn's digits are 0 to 16), divide all by {high:g}",)
    if high - low < MIN_CONTRAST * top:
        got = f"are all {low:g}" if low == high else f"differ by {floor(100 * (high - low) / top)}% of 0..{top}"
        raise BlankImage(
            f"the pixels look blank: they {got}; those of a digit must differ by at least {MIN_CONTRAST:.0%}. Send "
            f"paper as 0 and ink as {top}."
        )
    return top, steps, ()


def _on_no_scale(values: Array, spec: ImageSpec, wanted: str) -> InvalidPixels:
    """Why values (H * W,) float64 are neither 0..1 nor 0..255, by the first that cannot be meant so."""
    wrong = ~((values >= 0) & (values <= 255))  # NaN is neither
    if not wrong.any():
        wrong = values > 1 if values.max() < 2 else values != np.rint(values)
    index = int(np.argmax(wrong))
    value = float(values[index])
    if not np.isfinite(value):
        cure = "Send finite numbers."
    elif value < 0:
        cure = "Undo what made it negative, such as (x - mean) / deviation: 0 is paper."
    elif value > 255:
        cure = "Scale them to 0..255; 0 is paper."
    elif values.max() < 2:
        cure = "Not all are whole, so that the scale is 0..1: clip them to it."
    else:
        cure = f"The highest is {values.max():g}: round them, or divide all by 255."
    return _off_scale(index, int(value) if value.is_integer() and abs(value) < 1e15 else value, spec, wanted, cure)


def _looks_inverted(image: Array) -> bool:
    """Whether most of the image (H, W), and most of its edge, is nearer to the highest number than to the lowest."""
    high = image > (image.max() + image.min()) / 2
    if np.count_nonzero(high) <= MOST * high.size:
        return False
    return bool(np.concatenate([high[0], high[-1], high[1:-1, 0], high[1:-1, -1]]).mean() > MOST)
