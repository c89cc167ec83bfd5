"""Bytes of a file -> an upright, opaque picture of 8 bits, decoded no larger than needed. Guards size and memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor

import cv2
import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from server.errors import DamagedImage, ImageTooLarge, ServiceError, UnsupportedImage
from server.images.formats import reader_of
from server.types import Array

MAX_PIXELS = 50_000_000  # of a sent picture; a telephone's largest mode
SIGHT_SIDE = 280  # pixels on the longer side that finding a digit needs; a JPEG is decoded at the smallest fraction
# that keeps them
WORK_SIDE = 1024  # pixels that suffice to look at it closely, and to show the picture

START_OF_SCAN = b"\xff\xda"  # of a JPEG; never within a scan, where a zero follows every \xff
LEAST_SCANS, MOST_SCANS = 30, 500  # that are always read, and that never are more
SCANNED = 1_000_000_000  # pixels of all scans together, some seconds

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


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class UprightPicture:
    """Upright pixels, (h, w) uint8 of grey, (h, w, 3) of RGB or (h, w, 4) of opaque RGBA; their point (x, y) lies at
    (left + factor x, top + factor y) of the sent picture, which is upright width x height. `drafted`: it could be
    decoded finer."""

    pixels: Array
    factor: int
    left: int
    top: int
    width: int
    height: int
    steps: tuple[str, ...]
    drafted: bool

    def in_sent(self, box: Box) -> Box:
        """A box of this image, in the sent picture."""
        x0, y0, x1, y1 = (self.factor * edge for edge in box)
        return self.left + x0, self.top + y0, self.left + x1, self.top + y1

    def crop(self, box: Box) -> tuple[Array, int, int]:
        """The pixels that hold a box of the sent picture, and where their corner lies there, left and top."""
        x0, y0 = (floor((edge - corner) / self.factor) for edge, corner in ((box[0], self.left), (box[1], self.top)))
        x1, y1 = (ceil((edge - corner) / self.factor) for edge, corner in ((box[2], self.left), (box[3], self.top)))
        x0, y0 = max(0, x0), max(0, y0)
        return self.pixels[y0 : max(0, y1), x0 : max(0, x1)], self.left + self.factor * x0, self.top + self.factor * y0


@contextmanager
def opened(body: bytes) -> Iterator[ImageFile]:
    """The picture in the bytes of a file, to be decoded within the block. Raises EmptyBody, UnsupportedImage,
    DamagedImage, ImageTooLarge, also for what Pillow raises in the block."""
    reader = reader_of(body)
    try:
        # The format's own class: Image.open would first try it against a limit of its own, and warn.
        image = reader(BytesIO(_with_a_third_colour(body) if reader is BmpImageFile else body))
        _check_size(image)
        if isinstance(image, JpegImageFile):
            _check_scans(body, image)
        yield image
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"the picture has too many pixels; at most {MAX_PIXELS:,} are read. Send a smaller copy."
        ) from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise DamagedImage(
            f"the {reader.format} picture cannot be decoded to its end; it is cut short or damaged. Expected a whole "
            "file: save it again, or check that the upload was complete and binary."
        ) from error


def _with_a_third_colour(body: bytes) -> bytes:
    """A BMP of 8 bits whose palette is black and white: Pillow takes it for one of 1 bit, unless it has a third colour,
    which no pixel needs to use."""
    if body[28:30] == b"\x08\0" and body[46:50] == b"\2\0\0\0" and int.from_bytes(body[14:18], "little") >= 40:
        return body[:46] + b"\3" + body[47:]
    return body


def read(body: bytes, fine: bool = False) -> UprightPicture:
    """Decode at no more than the size needed, upright and opaque; `fine`: for more than finding a digit. Raises
    EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge."""
    with opened(body) as image:
        width, height = image.size
        factor = _draft(image, WORK_SIDE if fine else SIGHT_SIDE)
        drafted = factor > 1 and not fine
        image.load()
        _check_size(image)  # a GIF's first frame may be larger than it announced
        if factor == 1:
            width, height = image.size
        orientation = _orientation(image)
        small, more = _eight_bit(image)
        factor *= more
    steps: tuple[str, ...] = ("reduced",) if factor > 1 else ()
    left = top = 0
    if orientation in TURNS:
        small = small.transpose(TURNS[orientation])
        steps += ("upright",)
        width, height = (height, width) if orientation >= 5 else (width, height)
        # The reduced last row or column is not full; turned round it becomes the first.
        left = width - factor * small.width if orientation in (2, 3, 6, 7) else 0
        top = height - factor * small.height if orientation in (3, 4, 7, 8) else 0
    pixels, flattened = _opaque(small)
    return UprightPicture(pixels, factor, left, top, width, height, steps + flattened, drafted)


def announced_pixels(body: bytes) -> int:
    """How many pixels the file says it has; nothing is decoded. Raises EmptyBody, UnsupportedImage, DamagedImage.

    A GIF or WebP of several frames is refused: the first need not be the one that counts.
    """
    reader = reader_of(body)
    try:
        image = reader(BytesIO(body))
        has_more = isinstance(image, GifImageFile | WebPImageFile) and image.is_animated
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise DamagedImage(
            f"the {reader.format} picture is cut short or damaged; expected a whole file: save it again"
        ) from error
    if has_more:
        raise UnsupportedImage(
            f"this {reader.format} has several frames; expected one: save the frame that counts, or post the file to "
            "/v1/predict, which reads the first"
        )
    return image.width * image.height


def _check_size(image: ImageFile) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageTooLarge(
            f"the picture has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read. Send a smaller "
            "copy: 1000 pixels a side are plenty."
        )


def _check_scans(body: bytes, image: ImageFile) -> None:
    """A progressive JPEG is decoded once for each of its scans, of which programs write up to a dozen."""
    scans, most = body.count(START_OF_SCAN), max(LEAST_SCANS, min(MOST_SCANS, SCANNED // (image.width * image.height)))
    if scans > most:
        raise ImageTooLarge(
            f"the JPEG has {scans} scans of {image.width} x {image.height} pixels; at most {most} of these are read. "
            "Save it again, as a baseline JPEG or with the usual dozen scans, or send a smaller copy."
        )


def _draft(image: ImageFile, side: int) -> int:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 where that keeps `side` pixels; the factor."""
    longest = max(image.size)
    if not isinstance(image, JpegImageFile) or longest < 2 * side:
        return 1
    wanted = (max(1, image.width * side // longest), max(1, image.height * side // longest))
    width = image.width
    drafted = image.draft(None, wanted)
    return 1 if drafted is None else round(width / drafted[1][2])


def _orientation(image: ImageFile) -> int:
    """EXIF orientation; 1 where there is none or it cannot be read, for the pixels may be sound all the same."""
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


def _opaque(image: Image.Image) -> tuple[Array, tuple[str, ...]]:
    """The pixels; of RGBA with transparent ones, what is seen of it on paper: white, or black where the rare opaque
    part is light ink (or the common one a dark page)."""
    pixels = np.asarray(image)
    if image.mode != "RGBA":
        return pixels, ()
    alpha = cv2.extractChannel(pixels, 3)
    if alpha.min() == 255:
        return pixels, ()
    tone = cv2.cvtColor(pixels, cv2.COLOR_RGBA2GRAY)
    weight = float(alpha.sum(dtype=np.float64))
    mean = float((tone.astype(np.float32) * alpha).sum(dtype=np.float64)) / weight if weight else 0.0
    is_ink = float((alpha > 127).mean()) < 0.5
    canvas = Image.new("RGB", image.size, "black" if (mean > 127) == is_ink else "white")
    canvas.paste(image, mask=image.getchannel("A"))
    return np.asarray(canvas), ("flattened",)
