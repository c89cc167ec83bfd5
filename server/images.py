"""Bytes of a picture, or a table of numbers -> the digit as the model takes it, and where it lies in what was sent.

Recognises the format by the bytes, guards size and memory, decodes, turns upright, puts transparent ink on paper and
makes grey; `normalise` does the rest. The only place where pictures are decoded. Must not know HTTP or models.
"""

from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from server.errors import DamagedImage, EmptyBody, ImageTooLarge, InvalidPixels, ServiceError, UnsupportedImage
from server.normalise import is_normalised, normalise, resample
from server.types import Array, Digit, ImageSpec, Placement

MAX_PIXELS = 50_000_000  # of a sent picture; a telephone's largest mode
THUMBNAIL = 512  # pixels on the longer side of Placement.picture
WORK_SIDE = 1024  # pixels; larger pictures are read at the smallest whole fraction that keeps this

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIENTATION_TAG = 0x0112
TURNS = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Nobody asks for the resolution, and damaged metadata would warn."""


READERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", _Jpeg),
    (b"GIF87a", GifImageFile),
    (b"GIF89a", GifImageFile),
    (b"BM", BmpImageFile),
)
LIKENESSES = (  # how bytes or texts begin that are no picture for us, in lower case, and what they are
    (b"ii*\0", "a TIFF picture"),
    (b"mm\0*", "a TIFF picture"),
    (b"%pdf", "a PDF document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL picture"),
    (b"\x93numpy", "a NumPy array"),
    (b"pk\3\4", "a ZIP archive"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document or SVG drawing"),
    (b"data:image", "a data: URL; send the bytes that it encodes"),
    (b"ivborw0kggo", "a PNG in base64; send the decoded bytes"),
    (b"/9j/", "a JPEG in base64; send the decoded bytes"),
    (b"{", "JSON; send it with Content-Type: application/json"),
    (b"[", "JSON; send it with Content-Type: application/json"),
    (b"--", "a multipart form; send it with its Content-Type and boundary"),
)


@dataclass(frozen=True)
class _Picture:
    """Upright L or RGB image; its point (x, y) lies at (left + factor x, top + factor y) of the sent width x height."""

    image: Image.Image
    factor: int
    left: int
    top: int
    width: int
    height: int
    steps: tuple[str, ...]


def decode(body: bytes, spec: ImageSpec, preprocess: Literal["auto", "none"] = "auto") -> Digit:
    """The digit in an encoded picture. "none" only makes it grey and resizes the whole picture.

    Raises EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge, and BlankImage when "auto" finds nothing.
    """
    picture = _read(body)
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
    array = (np.array(values, np.float32) / np.float32(top)).reshape(spec.height, spec.width)
    seen = np.repeat(np.rint(array * 255).astype(np.uint8)[..., None], 3, axis=2)
    return Digit(array, Placement(IDENTITY, spec.width, spec.height, seen))


def _reader(body: bytes) -> type[ImageFile]:
    """Pillow's reader for the format that the bytes announce. Raises EmptyBody, UnsupportedImage."""
    if not body:
        raise EmptyBody(
            "the body is empty; expected a picture. Send its bytes, for example with curl --data-binary @digit.png."
        )
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return WebPImageFile
    for magic, reader in READERS:
        if body.startswith(magic):
            return reader
    raise UnsupportedImage(
        f"this is {_likeness(body)}. Expected PNG, JPEG, WebP, BMP or GIF: save or export it as one of these."
    )


def _likeness(body: bytes) -> str:
    """What bytes that are none of our formats look like, in words."""
    if body[4:8] == b"ftyp":
        brands = body[8 : min(len(body), int.from_bytes(body[:4], "big"), 64)]
        if b"avi" in brands:
            return "an AVIF picture"
        if any(brand in brands for brand in (b"hei", b"hev", b"mif1", b"msf1")):
            return "a HEIC photo; on an iPhone choose Settings > Camera > Formats > Most Compatible to take JPEG"
        return "a video"
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in LIKENESSES:
        if start.startswith(beginning):
            return name
    return f"no picture known here (it begins with the bytes {body[:8].hex(' ')})"


def _read(body: bytes) -> _Picture:
    """Decode at no more than the size needed, upright and opaque. Raises as `decode`."""
    reader = _reader(body)
    try:
        # The format's own class: Image.open would first try it against a limit of its own, and warn.
        image = reader(BytesIO(body))
        _check_size(image)
        width, height = image.size
        factor = _draft(image)
        image.load()
        _check_size(image)  # a GIF's first frame may be larger than it announced
        if factor == 1:
            width, height = image.size
        orientation = _orientation(image)
        small, more = _eight_bit(image)
        factor *= more
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"the picture has too many pixels; at most {MAX_PIXELS:,} are read. Send a smaller copy."
        ) from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise DamagedImage(
            f"the {reader.format} picture can not be decoded to its end; it is cut short or damaged. Expected a whole "
            "file: save it again, or check that the upload was complete and binary."
        ) from error
    steps: tuple[str, ...] = ("reduced",) if factor > 1 else ()
    small, flattened = _flat(small)
    left = top = 0
    if orientation in TURNS:
        small = small.transpose(TURNS[orientation])
        steps += ("upright",)
        width, height = (height, width) if orientation >= 5 else (width, height)
        # The reduced last row or column is not full; turned round it becomes the first.
        left = width - factor * small.width if orientation in (2, 3, 6, 7) else 0
        top = height - factor * small.height if orientation in (3, 4, 7, 8) else 0
    return _Picture(small, factor, left, top, width, height, steps + flattened)


def _check_size(image: ImageFile) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageTooLarge(
            f"the picture has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read. Send a smaller "
            "copy: 1000 pixels a side are plenty."
        )


def _draft(image: ImageFile) -> int:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 where that keeps WORK_SIDE; the factor."""
    longest = max(image.size)
    if not isinstance(image, JpegImageFile) or longest < 2 * WORK_SIDE:
        return 1
    wanted = (max(1, image.width * WORK_SIDE // longest), max(1, image.height * WORK_SIDE // longest))
    width = image.width
    drafted = image.draft(None, wanted)
    return 1 if drafted is None else round(width / drafted[1][2])


def _orientation(image: ImageFile) -> int:
    """EXIF orientation; 1 where there is none or it can not be read, for the pixels may be sound all the same."""
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _eight_bit(image: ImageFile) -> tuple[Image.Image, int]:
    """The loaded image as L, RGB or RGBA, reduced by a whole factor; in bands, so that no full-size copy is made."""
    wide = image.mode.startswith("I")
    grey = wide or image.mode in ("1", "L")
    mode = "RGBA" if image.has_transparency_data and not wide else "L" if grey else "RGB"
    factor = max(1, max(image.size) // WORK_SIDE)
    if factor == 1:
        return _eight_bit_of(image, mode), 1
    small = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    rows = 64 * factor
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_eight_bit_of(band, mode).reduce(factor), (0, top // factor))
    return small, factor


def _eight_bit_of(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip at 255
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


def _flat(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """RGBA on paper: white, or black where the rare opaque part is light ink (or the common one a dark page)."""
    if image.mode != "RGBA":
        return image, ()
    alpha = np.asarray(image.getchannel("A"))
    if alpha.min() == 255:
        return image.convert("RGB"), ()
    tone = np.asarray(image.convert("RGB").convert("L"))
    weight = float(alpha.sum(dtype=np.float64))
    mean = float((tone.astype(np.float32) * alpha).sum(dtype=np.float64)) / weight if weight else 0.0
    is_ink = float((alpha > 127).mean()) < 0.5
    paper = "black" if (mean > 127) == is_ink else "white"
    canvas = Image.new("RGB", image.size, paper)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas, ("flattened",)


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
    luma: Array, picture: _Picture, spec: ImageSpec
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
