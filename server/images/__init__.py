"""Bytes of a picture, or a table of numbers -> the digit as the model takes it, and where it lies in what was sent.

A pipeline: formats.py recognises, reading.py decodes no more than is needed, colour.py makes it grey, paper.py finds the
page, ink.py what stands out of it, digits.py the strokes that form a digit, finding.py the best of several views, and
normalise.py makes of it what MNIST is. Read finding.py first. straight.py is the short way for what is that already;
plain.py makes of a picture no more than grey pixels. The only place where pictures are decoded. Must not know HTTP or
models.
"""

from functools import partial
from itertools import chain
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from server.errors import BlankImage, InvalidPixels
from server.images.colour import Channel, best_channel
from server.images.finding import Sighting, find
from server.images.normalise import is_normalised, normalise
from server.images.plain import plain_pixels as plain_pixels
from server.images.reading import UprightPicture, read, upright
from server.images.reading import announced_pixels as announced_pixels
from server.images.resampling import resample
from server.images.straight import straight
from server.types import Array, Digit, ImageSpec, Placement

cv2.setNumThreads(1)  # steps of a tenth of a millisecond gain nothing from more; requests have a thread each

THUMBNAIL = 512  # pixels on the longer side of Placement.picture
FINE_SIDE = 60  # pixels; a digit found smaller than this is looked at again in a finer picture
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def decode(body: bytes, spec: ImageSpec, preprocess: Literal["auto", "none"] = "auto") -> Digit:
    """The digit in an encoded picture. "none", and "auto" for a model that takes whole pictures, only makes it grey and
    resizes it.

    Raises EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge, and BlankImage when "auto" finds nothing.
    """
    if spec.preprocessing == "resize":
        preprocess = "none"
    plain = straight(body, spec)
    if plain is not None and (preprocess == "none" or is_normalised(plain, spec)):
        return _as_it_is(plain, spec)
    picture = upright(plain) if plain is not None else read(body, fine=preprocess == "none")
    if preprocess == "none" or (picture.image.height, picture.image.width) == (spec.height, spec.width):
        luma = Channel(None).of(picture.image)
        if luma.shape == (spec.height, spec.width) and (preprocess == "none" or is_normalised(luma, spec)):
            placed = Placement(IDENTITY, picture.width, picture.height, partial(_thumbnail, body), picture.steps)
            return Digit(luma / np.float32(255), placed)
        if preprocess == "none":
            pixels, transform = _whole(luma, picture, spec)
            return Digit(
                pixels, Placement(transform, picture.width, picture.height, partial(_thumbnail, body), picture.steps)
            )
    return _found(body, picture, spec)


def _found(body: bytes, picture: UprightPicture, spec: ImageSpec) -> Digit:
    """The main digit of a picture. Raises BlankImage."""
    channel = best_channel(picture.image)
    sighting = find(channel.of(picture.image))
    origin = (picture.left, picture.top)
    factor = picture.factor
    if sighting.longest < FINE_SIDE:
        closer = _closer(body, picture, channel, sighting)
        if closer is not None:
            sighting, origin, factor = closer
    result = normalise(sighting, spec)
    scale = factor * result.scale
    transform = (scale, 0.0, origin[0] + factor * result.left, 0.0, scale, origin[1] + factor * result.top)
    steps = picture.steps + channel.steps + result.steps
    placed = Placement(transform, picture.width, picture.height, partial(_thumbnail, body), steps, result.warnings)
    return Digit(result.pixels, placed)


def _closer(
    body: bytes, picture: UprightPicture, channel: Channel, sighting: Sighting
) -> tuple[Sighting, tuple[float, float], int] | None:
    """The same digit in a finer picture, with paper around it to compare with; where that begins in the sent picture,
    and what a step in it is there. None: there is no finer one, or it shows something else."""
    if picture.factor == 1 and sighting.factor == 1:
        return None
    fine = read(body, fine=True) if picture.factor > 1 else picture
    left, top, right, bottom = sighting.surroundings(0.3)
    f = picture.factor / fine.factor
    x, y = (picture.left - fine.left) / fine.factor, (picture.top - fine.top) / fine.factor
    corners = (
        max(0, int(x + f * left)), max(0, int(y + f * top)),
        min(fine.image.width, round(x + f * right)), min(fine.image.height, round(y + f * bottom)),
    )  # fmt: skip
    try:
        closer = find(np.ascontiguousarray(channel.of(fine.image.crop(corners))))
    except BlankImage:
        return None
    if closer.light_ink != sighting.light_ink:
        return None
    origin = fine.left + fine.factor * corners[0], fine.top + fine.factor * corners[1]
    return closer.told_as(sighting), origin, fine.factor


def from_pixels(pixels: object, spec: ImageSpec) -> Digit:
    """The digit in nested lists: whole numbers are 0..255, others 0..1; never normalised. Raises InvalidPixels."""
    wanted = f"expected {spec.height} rows of {spec.width} numbers, all whole and 0..255 or all 0..1"
    if not isinstance(pixels, list) or len(pixels) != spec.height:
        got = f"{len(pixels)} rows" if isinstance(pixels, list) else f"a {type(pixels).__name__}"
        raise InvalidPixels(f"pixels is {got}; {wanted}. Send one picture as a list of rows.")
    for number, row in enumerate(pixels):
        if not isinstance(row, list) or len(row) != spec.width:
            got = f"{len(row)} entries" if isinstance(row, list) else f"a {type(row).__name__}"
            raise InvalidPixels(f"row {number} of pixels is {got}; {wanted}. Give every row the same length.")
    values = list(chain.from_iterable(pixels))
    kinds = set(map(type, values))
    if not kinds <= {int, float}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - {int, float}))
        raise InvalidPixels(f"pixels holds {names}; {wanted}. Send plain numbers, one per pixel.")
    top = 255 if kinds == {int} else 1
    for index, value in enumerate(values):
        if not 0 <= value <= top:  # also true of NaN
            got = f"row {index // spec.width}, column {index % spec.width} of pixels is {str(value)[:20]}"
            raise InvalidPixels(f"{got}; {wanted}. Scale the picture; 0 is paper and the highest value is ink.")
    return from_array((np.array(values, np.float32) / np.float32(top)).reshape(spec.height, spec.width))


def from_array(pixels: Array) -> Digit:
    """The digit that a model's own image (H, W), float32 in [0, 1], is."""
    height, width = pixels.shape
    return Digit(pixels, Placement(IDENTITY, width, height, partial(_seen, pixels)))


def _seen(pixels: Array) -> Array:
    """pixels (H, W) in [0, 1] as a picture (H, W, 3) uint8."""
    return np.rint(pixels * 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def _as_it_is(luma: Array, spec: ImageSpec) -> Digit:
    """Of luma (H, W) uint8 that needs nothing done."""
    return from_array(luma / np.float32(255))


def _whole(
    luma: Array, picture: UprightPicture, spec: ImageSpec
) -> tuple[Array, tuple[float, float, float, float, float, float]]:
    """All of the picture at the model's size, (H, W) float32, and its transform."""
    scale = (picture.width / spec.width, picture.height / spec.height)
    f = picture.factor
    padded = np.pad(luma / np.float32(255), 1, mode="edge")  # linear interpolation looks half a pixel beyond the edge
    start = (1 - picture.left / f, 1 - picture.top / f)
    pixels = resample(padded, *start, (scale[0] / f, scale[1] / f), (spec.height, spec.width))
    return np.clip(pixels, 0, 1), (scale[0], 0.0, 0.0, 0.0, scale[1], 0.0)


def _thumbnail(body: bytes) -> Array:
    """The picture (h, w, 3) uint8 as a person sees it, at most THUMBNAIL on the longer side, never enlarged; decoded
    again, for who only asks what a digit is needs none."""
    image = read(body, fine=True).image
    longest = max(image.size)
    if longest > THUMBNAIL:
        size = (max(1, image.width * THUMBNAIL // longest), max(1, image.height * THUMBNAIL // longest))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
