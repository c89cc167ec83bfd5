"""Bytes of a file -> an upright, opaque picture of 8 bits, decoded no larger than needed. Guards size and memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor
from traceback import clear_frames

import cv2
import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from server.errors import DamagedImage, ImageTooLarge, PictureError, ServiceError, UnsupportedImage
from server.images.files.blocks import essential_png, first_frame, jpeg_head
from server.images.files.costs import MAX_PIXELS, Cost, check_total, cost_of, decoded_bytes
from server.images.files.formats import reader_of
from server.images.files.in_flight import IN_FLIGHT
from server.types import Array

SIGHT_SIDE = 280  # pixels on the longer side that finding a digit needs; a JPEG is decoded at the smallest fraction
# that keeps them
WORK_SIDE = 1024  # pixels that suffice to look at it closely, and to show the picture

BAND = 2_750_000  # pixels of the largest part that is converted at once, where this leaves any rows

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
    decoded finer. `exact` (h, w) float32 in [0, 1] are the same pixels of a small grey picture of 16 bits, which may be
    a model's own."""

    pixels: Array
    factor: int
    left: int
    top: int
    width: int
    height: int
    steps: tuple[str, ...]
    drafted: bool
    exact: Array | None = None

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
def opened(body: bytes) -> Iterator[tuple[ImageFile, Cost]]:
    """The picture in the bytes of a file, to be decoded within the block, and what that takes. Raises EmptyBody,
    UnsupportedImage, DamagedImage, ImageTooLarge, also for what Pillow raises in the block."""
    reader = reader_of(body)
    try:
        # The format's own class: Image.open would first try it against a limit of its own, and warn.
        image = reader(BytesIO(_essential(reader, body)))
        cost = cost_of(image, body)
        cost.check()
        yield image, cost
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


@contextmanager
def in_turn(image: ImageFile, size: int) -> Iterator[None]:
    """The block decodes the picture, which takes `size` bytes, when it is its turn, and lets go of it in the end; here
    that is done where it fails. Raises Busy."""
    with IN_FLIGHT.taken(size):
        try:
            yield
        except Exception as error:
            image.close()
            clear_frames(error.__traceback__)  # the decoder lies there, with all that it has
            raise


def _essential(reader: type[ImageFile], body: bytes) -> bytes:
    """What Pillow is to read of the file. Raises ImageTooLarge where even that would take long."""
    if issubclass(reader, JpegImageFile):
        jpeg_head(body)
    if reader is PngImageFile:
        return essential_png(body)
    if reader is BmpImageFile:
        return _with_a_third_colour(body)
    if reader is GifImageFile and (frame := first_frame(body)):
        Cost(frame.width, frame.height).check()
        return frame.body
    return body


def _with_a_third_colour(body: bytes) -> bytes:
    """A BMP of 8 bits whose palette is black and white: Pillow takes it for one of 1 bit, unless it has a third colour,
    which no pixel needs to use."""
    if body[28:30] == b"\x08\0" and body[46:50] == b"\2\0\0\0" and int.from_bytes(body[14:18], "little") >= 40:
        return body[:46] + b"\3" + body[47:]
    return body


def read(body: bytes, fine: bool = False) -> UprightPicture:
    """Decode at no more than the size needed, upright and opaque; `fine`: for more than finding a digit. Raises
    EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge."""
    with opened(body) as (image, cost):
        width, height = image.size
        factor = _draft(image, WORK_SIDE if fine else SIGHT_SIDE)
        drafted = factor > 1 and not fine
        with in_turn(image, cost.held + decoded_bytes(image)):
            image.load()
            orientation = _orientation(image)
            exact = _exact(image, orientation)
            small, more = _eight_bit(image)
            if small is not image:
                image.close()
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
    return UprightPicture(pixels, factor, left, top, width, height, steps + flattened, drafted, exact)


def announced_cost(body: bytes) -> Cost:
    """What it takes to decode the file; nothing is decoded. Raises EmptyBody, UnsupportedImage, DamagedImage,
    ImageTooLarge.

    A GIF or WebP of several frames is refused: the first need not be the one that counts.
    """
    with opened(body) as (image, cost):
        frame = first_frame(body) if isinstance(image, GifImageFile) else image
        if not isinstance(image, PngImageFile) and getattr(frame, "is_animated", False):
            raise UnsupportedImage(
                f"this {image.format} has several frames; expected one: save the frame that counts, or post the file "
                "to /v1/predict, which reads the first"
            )
        return cost


def check_work(bodies: Iterable[bytes]) -> None:
    """Raises ImageTooLarge where the files of one request are too much work together. Those that cannot be read take
    none."""
    costs = []
    for body in bodies:
        with suppress(PictureError), opened(body) as (_, cost):
            costs.append(cost)
    check_total(costs)


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
    rows = factor * max(1, min(64, BAND // (factor * image.width)))
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_eight_bit_of(band, mode).reduce(factor), (0, top // factor))
    return small, factor


def _exact(image: ImageFile, orientation: int) -> Array | None:
    if not image.mode.startswith("I") or max(image.size) > SIGHT_SIDE:
        return None
    upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    return np.asarray(upright, np.float32) / np.float32(65535)


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
