"""What decoding may cost: pixels, sides, passes and memory, for every format, and for all pictures of a request."""

import struct
import zlib

import pytest
from PIL import Image

from server.errors import DamagedImage, ImageTooLarge
from server.images import announced_cost, check_work, decode
from server.images.files.costs import MAX_PIXELS, MAX_SIDE, MOST_WORK
from server.types import ImageSpec
from tests.images.files.test_blocks import chunk, progressive, segment
from tests.support.models.stores import SEVEN, draw_seven, encoded

SPEC = ImageSpec(28, 28)


def png(width: int, height: int, interlaced: int = 0) -> bytes:
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND")


def bmp(width: int, height: int, bits: int, compression: int, data: bytes) -> bytes:
    palette = bytes(range(256)) * 4 if bits == 8 else bytes(64)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + len(palette)) + head + palette + data


def jpeg(coding: int, width: int, height: int, components: int = 3, scans: int = 1, together: int = 0) -> bytes:
    """Without any data in its scans: the first is of so many components `together`, or else of all; others are of
    one."""
    frame = struct.pack(">BHHB", 8, height, width, components)
    layers = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    together = together or components
    first = bytes([together]) + b"".join(bytes([number + 1, 0]) for number in range(together)) + b"\0\0\0"
    head = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([16]) * 64) + segment(coding, frame + layers)
    return head + segment(0xDA, first) + (scans - 1) * segment(0xDA, b"\1\1\0\1\x3f\0") + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    """Lossless, in one colour."""
    return encoded(Image.new("RGB", (width, height)), "WEBP", lossless=True, quality=0, method=0)


BASELINE, PROGRESSIVE, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC2, 0xC9, 0xCA
REFUSED = {
    "a PNG of too many pixels": (png(7072, 7072), f"7072 x 7072 pixels; at most {MAX_PIXELS:,}"),
    "a row": (png(MAX_SIDE + 1, 1), f"{MAX_SIDE:,} a side"),
    "a column": (png(1, MAX_PIXELS), f"{MAX_SIDE:,} a side"),
    "a BMP of too many pixels": (bmp(8000, 8000, 8, 0, b""), "8000 x 8000 pixels"),
    "a BMP that is turned over": (bmp(8000, -8000, 8, 0, b""), "8000 x 8000 pixels"),
    "a row in run lengths": (bmp(MAX_PIXELS, 1, 8, 1, b"\1\5\0\0"), f"{MAX_SIDE:,} a side"),
    "more runs than pixels": (bmp(100, 100, 8, 1, 60_000 * b"\1\5"), "more than 500 passes over 100 x 100"),
    "run lengths": (bmp(5000, 5000, 8, 1, b"\1\5\0\0"), "more than 40 passes over 5000 x 5000"),
    "run lengths of four bits": (bmp(5000, 5000, 4, 2, b"\1\5\0\0"), "more than 40 passes over 5000 x 5000"),
    "scans": (jpeg(PROGRESSIVE, 5000, 5000, scans=41), "more than 40 passes over 5000 x 5000"),
    "scans of a small JPEG": (jpeg(PROGRESSIVE, 100, 100, scans=501), "more than 500 passes over 100 x 100"),
    "scans in arithmetic coding": (jpeg(ARITHMETIC_PROGRESSIVE, 5000, 5000, scans=5), "more than 40 passes"),
    "a WebP": (webp(6000, 6000), "takes 432 MB; at most 400"),
}


@pytest.mark.parametrize(("body", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_cost_too_much_is_refused_before_it_is_decoded(body: bytes, words: str) -> None:
    for look in (announced_cost, lambda body: decode(body, SPEC)):
        with pytest.raises(ImageTooLarge, match=words):
            look(body)


COSTS = {
    "baseline": (encoded(draw_seven(), "JPEG"), 1, 0),
    "baseline in several scans": (jpeg(BASELINE, 140, 140, scans=3, together=1), 3, 6),
    "progressive": (progressive(scans=12), 12, 2),
    "progressive in colour": (encoded(draw_seven().convert("RGB"), "JPEG", progressive=True, subsampling=0), 10, 6),
    "progressive with coarse colours": (encoded(draw_seven().convert("RGB"), "JPEG", progressive=True), 10, 3),
    "progressive inks": (encoded(draw_seven().convert("CMYK"), "JPEG", progressive=True), 18, 8),
    "arithmetic": (jpeg(ARITHMETIC, 140, 140), 10, 0),
    "PNG": (SEVEN, 10, 0),
    "run lengths": (bmp(140, 140, 8, 1, b"\0\1"), 200, 2),
    "WebP": (encoded(draw_seven(), "WEBP"), 10, 12),
}


@pytest.mark.parametrize(("body", "passes", "held"), COSTS.values(), ids=COSTS)
def test_passes_and_bytes_are_told_by_the_file(body: bytes, passes: int, held: int) -> None:
    cost = announced_cost(body)
    assert (cost.width, cost.height, cost.passes) == (140, 140, passes)
    assert cost.held / (140 * 140) == pytest.approx(held, rel=0.01)


def test_the_largest_pictures_are_not_refused() -> None:
    for body in (png(7071, 7071), png(7071, 7071, 1), png(MAX_SIDE, 700), jpeg(PROGRESSIVE, 7071, 7071, 4, 30)):
        announced_cost(body)


def test_the_work_of_all_pictures_together_is_bounded() -> None:
    large = png(5000, 5000)
    at_most = MOST_WORK // announced_cost(large).work
    check_work([large] * at_most)
    check_work([large] * at_most + [b"", b"no picture", large[:30]])  # these are not decoded
    with pytest.raises(ImageTooLarge, match=f"at most {MOST_WORK:,}"):
        check_work([large] * (at_most + 1))


@pytest.mark.parametrize(("width", "height"), [(0, 100), (100, 0), (0, 0)])
def test_a_picture_without_pixels_is_damaged(width: int, height: int) -> None:
    for body in (png(width, height), bmp(width, height, 8, 0, b""), jpeg(BASELINE, width, height)):
        with pytest.raises(DamagedImage):
            decode(body, SPEC)
