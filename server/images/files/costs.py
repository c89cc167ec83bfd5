"""What decoding a picture takes, told before anything is decoded: memory, and time as pixels x passes. Bounds both, for
every format.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from server.errors import ImageTooLarge
from server.images.files.blocks import count_scans, jpeg_head

MAX_PIXELS = 50_000_000  # of a sent picture; a telephone's largest mode
MAX_SIDE = 65_535  # pixels; a JPEG's largest
LEAST_PASSES, MOST_PASSES = 30, 500  # over a picture that are always made, and that never are more
PASSED = 1_000_000_000  # pixels x passes of one picture beyond the least, some seconds
MOST_WORK = 2 * LEAST_PASSES * MAX_PIXELS  # pixels x passes of all pictures of a request
MOST_HELD = 400_000_000  # bytes beside the decoded pixels

# One scan of a Huffman-coded JPEG is a pass, 1 to 3 ns a pixel. In such passes:
ARITHMETIC_PASSES = 10  # a scan in arithmetic coding
LOSSLESS_PASSES = 10  # a PNG, WebP, GIF or plain BMP
RUN_LENGTH_PASSES = 200  # a BMP in run-length coding, which Pillow decodes in Python; more where there are more runs
MOST_RUN_BYTES = 4  # for a pixel, beside
HEAD_BYTES = 2048  # of header and colours

BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # of a decoded pixel by Pillow's mode; 4 of all others
WEBP_BYTES = 12  # of a pixel in the decoder: two canvases, and the copy that it gives
COEFFICIENT_BYTES = 2  # of a JPEG in several scans, which are all kept until the last one


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a picture, how often decoding goes over it, and the bytes that it needs beside the decoded pixels."""

    width: int
    height: int
    passes: int = LOSSLESS_PASSES
    held: int = 0

    @property
    def work(self) -> int:
        """Pixels x passes."""
        return self.width * self.height * self.passes

    def check(self) -> None:
        """Raises ImageTooLarge."""
        pixels = self.width * self.height
        if pixels > MAX_PIXELS or max(self.width, self.height) > MAX_SIDE:
            raise ImageTooLarge(
                f"the picture has {self.width} x {self.height} pixels; at most {MAX_PIXELS:,} are read, {MAX_SIDE:,} a "
                "side. Send a smaller copy: 1000 pixels a side are plenty."
            )
        if self.held > MOST_HELD:
            raise ImageTooLarge(
                f"decoding {self.width} x {self.height} pixels of this format takes {self.held // 10**6} MB; at most "
                f"{MOST_HELD // 10**6} are held. Send a smaller copy, or save it as a JPEG or PNG."
            )
        most = _most_passes(pixels)
        if self.passes > most:
            raise ImageTooLarge(
                f"decoding this file takes more than {most} passes over {self.width} x {self.height} pixels (the scans "
                "of a JPEG, or a BMP's run lengths); at most so many are made. Save it again, as a baseline JPEG or a "
                "PNG, or send a smaller copy."
            )


def check_total(costs: Iterable[Cost]) -> None:
    """Raises ImageTooLarge where the pictures of one request are too much work together."""
    total = sum(cost.work for cost in costs)
    if total > MOST_WORK:
        raise ImageTooLarge(
            f"decoding the pictures takes {total:,} pixels x passes; at most {MOST_WORK:,} are made for one request, "
            f"such as {MOST_WORK // LOSSLESS_PASSES // 10**6} megapixels of PNG. Send them in several requests, or "
            "smaller copies."
        )


def cost_of(image: ImageFile, body: bytes) -> Cost:
    """What it takes to decode an opened picture. Raises ImageTooLarge where its blocks alone are too many."""
    width, height = image.size
    if isinstance(image, JpegImageFile):
        return _jpeg_cost(image, body)
    if isinstance(image, WebPImageFile):
        return Cost(width, height, held=WEBP_BYTES * width * height)
    if isinstance(image, BmpImageFile) and image.tile[0].codec_name == "bmp_rle":
        runs = (len(body) - HEAD_BYTES) / (MOST_RUN_BYTES * max(1, width * height))
        return Cost(width, height, int(RUN_LENGTH_PASSES * max(1, runs)), held=2 * width * height)
    return Cost(width, height)


def decoded_bytes(image: ImageFile) -> int:
    """Of the pixels, as they will be."""
    return image.width * image.height * BYTES.get(image.mode, 4)


def _jpeg_cost(image: JpegImageFile, body: bytes) -> Cost:
    width, height = image.size
    head = jpeg_head(body)
    if head is None:
        return Cost(width, height, 1)
    times = ARITHMETIC_PASSES if head.is_arithmetic else 1
    passes = times * count_scans(body, head, max(LEAST_PASSES, _most_passes(width * height) // times))
    held = 0
    if head.is_multiscan:
        finest = max(across for _, across, _, _ in image.layer) * max(down for _, _, down, _ in image.layer)
        samples = sum(across * down for _, across, down, _ in image.layer) / max(1, finest)
        held = int(COEFFICIENT_BYTES * width * height * samples)
    return Cost(width, height, passes, held)


def _most_passes(pixels: int) -> int:
    return max(LEAST_PASSES, min(MOST_PASSES, PASSED // max(1, pixels)))
