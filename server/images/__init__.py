"""Bytes of a picture, or a table of numbers -> the digit as the model takes it, and where it lies in what was sent.

A pipeline: files/ recognises the file and bounds what it costs, decoding.py decodes no more than is needed, colour.py
makes it grey, paper.py finds the page, ink.py what stands out of it, digits.py the strokes that form a digit,
finding.py tries the views of a picture one after the other, strokes.py draws what was found from the finest picture,
and normalise.py makes of it what MNIST is. Read `decode` below, then finding.py. plain.py makes of a picture no more
than grey pixels; numbers.py takes tables of numbers. The only place where pictures are decoded. Must not know HTTP or
models.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from server.errors import BlankImage
from server.images.colour import LUMINANCE, Channel, best_channel
from server.images.decoding import UprightPicture, read
from server.images.decoding import announced_cost as announced_cost
from server.images.decoding import check_work as check_work
from server.images.files.costs import check_total as check_total
from server.images.finding import GOOD, Sighting, find
from server.images.normalise import is_normalised, normalise
from server.images.numbers import IDENTITY
from server.images.numbers import from_array as from_array
from server.images.numbers import from_pixels as from_pixels
from server.images.numbers import looks_blank as looks_blank
from server.images.plain import plain_pixels as plain_pixels
from server.images.resampling import resample, shrunk
from server.images.strokes import Strokes, Window, strokes_in, strokes_on_page
from server.types import Array, Digit, ImageSpec, Placement

cv2.setNumThreads(1)  # steps of a tenth of a millisecond gain nothing from more; requests have a thread each

THUMBNAIL = 512  # pixels on the longer side of Placement.picture
ENOUGH = 60  # pixels on the longer side, at least, from which a digit is brought to the model's size ...
LEAST_PEN = 4  # ... and of the width of its strokes: thinner ones would grow pale
FINE_SIDE = 50  # pixels; a digit smaller than this is taken from a finer picture


def decode(body: bytes, spec: ImageSpec, preprocess: Literal["auto", "none"] = "auto") -> Digit:
    """The digit in an encoded picture. "none", and "auto" for a model that takes whole pictures, only makes it grey and
    resizes it.

    Raises EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge, and BlankImage when "auto" finds nothing.
    """
    only_resize = preprocess == "none" or spec.preprocessing == "resize"
    picture = read(body, fine=only_resize)
    if only_resize or picture.pixels.shape[:2] == (spec.height, spec.width):
        luma = LUMINANCE.of(picture.pixels)
        if only_resize or is_normalised(luma, spec):
            return _whole(body, luma, picture, spec)
    return _main_digit(body, picture, spec)


def _main_digit(body: bytes, picture: UprightPicture, spec: ImageSpec) -> Digit:
    """Raises BlankImage."""
    picture, channel, sighting = _seen(body, picture)
    strokes, left, top, pixel = _strokes(body, picture, channel, sighting)
    found = normalise(strokes, spec)
    transform = (pixel * found.scale, 0.0, left + pixel * found.left, 0.0, pixel * found.scale, top + pixel * found.top)
    steps = picture.steps + channel.steps + sighting.steps + found.steps
    draw = _drawer(body, picture)
    return Digit(found.pixels, Placement(transform, picture.width, picture.height, draw, steps, sighting.warnings))


def _strokes(
    body: bytes, picture: UprightPicture, channel: Channel, sighting: Sighting
) -> tuple[Strokes, float, float, float]:
    """The strokes of a digit; the left and top of what they were cut from, in the sent picture; and how many of the
    sent picture's pixels are as wide as one of its."""
    page = picture.factor * sighting.factor  # pixels of the sent picture for one of the page
    if sighting.found.longest >= ENOUGH and sighting.found.pen >= LEAST_PEN:
        return strokes_on_page(sighting), picture.left, picture.top, page
    box = picture.in_sent(sighting.box)
    is_small = max(box[2] - box[0], box[3] - box[1]) < FINE_SIDE * picture.factor
    fine = read(body, fine=True) if is_small and picture.drafted else picture
    part, left, top = fine.crop(box)
    times = max(1, min(max(part.shape) // ENOUGH, int(sighting.found.pen * page / fine.factor / LEAST_PEN)))
    pixel = fine.factor * times
    corner = ((left - picture.left) / page, (top - picture.top) / page)
    window = Window(channel.of(shrunk(part, times)), *corner, pixel / page)
    return strokes_in(window, sighting), left, top, pixel


def _seen(body: bytes, picture: UprightPicture) -> tuple[UprightPicture, Channel, Sighting]:
    """The main digit, and the picture in which it is clear: a finer one than that which was decoded first, if need be.
    Raises BlankImage."""
    channel = best_channel(picture.pixels)
    try:
        sighting = find(picture.pixels, channel)
        if sighting.quality >= GOOD or not picture.drafted:
            return picture, channel, sighting
    except BlankImage:
        if not picture.drafted:
            raise
        sighting = None
    fine = read(body, fine=True)
    try:
        closer = find(fine.pixels, channel)
    except BlankImage:
        if sighting is None:
            raise
        return picture, channel, sighting
    return (picture, channel, sighting) if sighting and sighting.quality >= closer.quality else (fine, channel, closer)


def _whole(body: bytes, luma: Array, picture: UprightPicture, spec: ImageSpec) -> Digit:
    """All of the picture at the model's size."""
    draw = _drawer(body, picture)
    grey = luma / np.float32(255) if picture.exact is None else picture.exact
    if luma.shape == (spec.height, spec.width):
        return Digit(grey, Placement(IDENTITY, picture.width, picture.height, draw, picture.steps))
    scale = (picture.width / spec.width, picture.height / spec.height)
    f = picture.factor
    padded = np.pad(grey, 1, mode="edge")  # linear interpolation looks half a pixel beyond the edge
    start = (1 - picture.left / f, 1 - picture.top / f)
    pixels = resample(padded, *start, (scale[0] / f, scale[1] / f), (spec.height, spec.width))
    transform = (scale[0], 0.0, 0.0, 0.0, scale[1], 0.0)
    return Digit(np.clip(pixels, 0, 1), Placement(transform, picture.width, picture.height, draw, picture.steps))


def _drawer(body: bytes, picture: UprightPicture) -> Callable[[], Array]:
    """What makes the picture that people see, which only explanations need; from a finer one than a draft."""
    return partial(_thumbnail, body if picture.drafted else picture.pixels)


def _thumbnail(picture: bytes | Array) -> Array:
    """(h, w, 3) uint8, at most THUMBNAIL on the longer side, never enlarged."""
    image = Image.fromarray(read(picture, fine=True).pixels if isinstance(picture, bytes) else picture)
    longest = max(image.size)
    if longest > THUMBNAIL:
        size = (max(1, image.width * THUMBNAIL // longest), max(1, image.height * THUMBNAIL // longest))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
