"""Bytes of a picture, or a table of numbers -> the digit as the model takes it, and where it lies in what was sent.

formats.py recognises, reading.py decodes, ink.py finds the strokes, normalise.py makes of them what MNIST is;
straight.py is the short way for what is that already, plain.py makes of a picture no more than grey pixels, and
numbers.py takes tables of numbers. The only place where pictures are decoded. Must not know HTTP or models.
"""

from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from server.images.normalise import is_normalised, normalise
from server.images.numbers import IDENTITY
from server.images.numbers import from_array as from_array
from server.images.numbers import from_pixels as from_pixels
from server.images.numbers import looks_blank as looks_blank
from server.images.plain import plain_pixels as plain_pixels
from server.images.reading import UprightPicture, read, upright
from server.images.reading import announced_pixels as announced_pixels
from server.images.resampling import resample
from server.images.straight import straight
from server.types import Array, Digit, ImageSpec, Placement

THUMBNAIL = 512  # pixels on the longer side of Placement.picture


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
    picture = read(body) if plain is None else upright(plain)
    luma = np.asarray(picture.image.convert("L"))  # (h, w) uint8
    f, steps = picture.factor, picture.steps
    warnings: tuple[str, ...] = ()
    if luma.shape == (spec.height, spec.width) and (preprocess == "none" or is_normalised(luma, spec)):
        pixels, transform = luma / np.float32(255), IDENTITY
    elif preprocess == "none":
        pixels, transform = _whole(luma, picture, spec)
    else:
        grey, chosen = _contrasting(picture.image, luma)
        result = normalise(grey, spec)
        scale = f * result.scale
        pixels, warnings = result.pixels, result.warnings
        transform = (scale, 0.0, picture.left + f * result.left, 0.0, scale, picture.top + f * result.top)
        steps = steps + chosen + result.steps
    return Digit(
        pixels, Placement(transform, picture.width, picture.height, _thumbnail(picture.image), steps, warnings)
    )


def _as_it_is(luma: Array, spec: ImageSpec) -> Digit:
    """Of luma (H, W) uint8 that needs nothing done."""
    seen = luma[..., None].repeat(3, axis=2)
    return Digit(luma / np.float32(255), Placement(IDENTITY, spec.width, spec.height, seen))


def _contrasting(image: Image.Image, luma: Array) -> tuple[Array, tuple[str, ...]]:
    """The luma, unless ink and paper are equally light: then the colour channel that tells them apart best."""
    if image.mode == "L":
        return luma, ()
    small = image.reduce(max(1, max(image.size) // 200))
    detail = np.asarray(small, np.float32) - np.asarray(small.filter(ImageFilter.BoxBlur(10)), np.float32)
    detail = detail.reshape(-1, 3)  # against the surroundings, for uneven light is no contrast
    tones = np.column_stack([detail @ np.array([0.299, 0.587, 0.114], np.float32), detail])  # luma, R, G, B
    contrasts = np.percentile(np.abs(tones), 99.8, axis=0)
    best = int(np.argmax(contrasts))
    if contrasts[best] <= 2 * contrasts[0]:
        return luma, ()
    return np.asarray(image.getchannel(best - 1)), ("colour separated",)


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


def _thumbnail(image: Image.Image) -> Array:
    """(h, w, 3) uint8, at most THUMBNAIL on the longer side, never larger than the image."""
    longest = max(image.size)
    if longest > THUMBNAIL:
        size = (max(1, image.width * THUMBNAIL // longest), max(1, image.height * THUMBNAIL // longest))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
