"""What a file's blocks may be: an honest picture is read whatever stands beside it, and what only takes time is not."""

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from server.errors import DamagedImage, ImageTooLarge, UnsupportedImage
from server.images import announced_cost, decode
from server.types import Array, ImageSpec
from tests.support.models.stores import SEVEN, draw_seven, encoded

SPEC = ImageSpec(28, 28)
MIB = 1 << 20
ALIKE = decode(SEVEN, SPEC).pixels


def pixels(body: bytes) -> Array:
    return decode(body, SPEC).pixels


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(chunks: bytes, body: bytes = SEVEN) -> bytes:
    """The PNG with these after its header."""
    return body[:33] + chunks + body[33:]


TEXT = zlib.compress(bytes(2 * MIB), 9)  # more than Pillow takes
TEXTS = {
    "zTXt": chunk(b"zTXt", b"a\0\0" + TEXT),
    "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0" + TEXT),
    "iCCP": chunk(b"iCCP", b"a\0\0" + TEXT),
    "tEXt": 70 * chunk(b"tEXt", b"a\0" + bytes(MIB)),
    "many": 2000 * chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(MIB), 9)),
    "animation": chunk(b"acTL", bytes(8)) + chunk(b"fcTL", bytes(26)),
    "unknown": chunk(b"prVt", b"anything"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_stands_beside_a_pngs_pixels_is_not_unpacked(kind: str) -> None:
    body = with_chunks(TEXTS[kind])
    tracemalloc.start()
    try:
        assert np.array_equal(pixels(body), ALIKE)
        assert tracemalloc.get_traced_memory()[1] < len(body) + 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_png_keeps_its_colours_and_its_orientation() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    turned = draw_seven().transpose(Image.Transpose.ROTATE_90)
    assert pixels(with_chunks(TEXTS["zTXt"], encoded(turned, exif=tags))) == pytest.approx(ALIKE, abs=0.05)
    palette = draw_seven().convert("RGB").quantize(8)
    for options in ({}, {"transparency": 0}):
        body = encoded(palette, **options)
        assert np.array_equal(pixels(with_chunks(TEXTS["unknown"], body)), pixels(body))


@pytest.mark.parametrize("kind", [b"PLTF", b"IDAU", b"\0\0\0\0"])
def test_a_png_whose_chunks_have_other_names_is_damaged(kind: bytes) -> None:
    body = encoded(draw_seven().convert("RGB").quantize(8))
    for known in (b"PLTE", b"IDAT"):
        with pytest.raises(DamagedImage):
            pixels(body.replace(known, kind))


EMPTY = 20_000 * chunk(b"IDAT")


@pytest.mark.parametrize("chunks", [EMPTY, 20_000 * chunk(b"tEXt", b"a\0")], ids=["data", "texts"])
def test_a_png_of_very_many_chunks_is_refused(chunks: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="more than 10,000 chunks"):
        pixels(with_chunks(chunks))


def test_what_follows_a_pictures_end_is_none_of_it() -> None:
    assert np.array_equal(pixels(SEVEN + EMPTY + SEVEN), ALIKE)
    for kind in ("JPEG", "GIF", "BMP"):
        body = encoded(draw_seven(), kind)
        assert np.array_equal(pixels(body + body), pixels(body)), kind


GIF = encoded(draw_seven(), "GIF")
TABLE = 13 + 3 * (2 << (GIF[10] & 7))  # where the blocks begin
COMMENT = b"!\xfe" + 1_000_000 * b"\1a" + b"\0"


def with_blocks(blocks: bytes) -> bytes:
    return GIF[:TABLE] + blocks + GIF[TABLE:]


def test_a_gifs_comments_are_not_kept() -> None:
    body = with_blocks(COMMENT)
    tracemalloc.start()
    try:
        assert np.array_equal(pixels(body), pixels(GIF))
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_gif_keeps_its_transparency() -> None:
    image = draw_seven().convert("RGB").quantize(8)
    body = encoded(image, "GIF", transparency=int(np.asarray(image)[0, 0]))
    start = 13 + 3 * (2 << (body[10] & 7))
    assert "flattened" in decode(body, SPEC).placement.steps
    assert np.array_equal(pixels(body[:start] + COMMENT + body[start:]), pixels(body))


@pytest.mark.parametrize("block", [b"!\1\0", b"\0"], ids=["extensions", "rubbish"])
def test_a_gif_of_very_many_blocks_is_refused(block: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="more than 10,000 blocks"):
        pixels(with_blocks(20_000 * block))
    with pytest.raises(ImageTooLarge, match="more than 10,000 blocks"):
        announced_cost(GIF[:-1] + 20_000 * block + b";")


@pytest.mark.parametrize("edge", [(5, 5, 60_000, 60_000), (60_000, 60_000, 10, 10), (0, 0, 9000, 9000)], ids=str)
def test_a_gif_whose_frame_is_larger_than_its_screen_is_too_large(edge: tuple[int, ...]) -> None:
    body = bytearray(GIF)
    place = body.index(b",", TABLE) + 1
    body[place : place + 8] = struct.pack("<4H", *edge)
    for look in (pixels, announced_cost):
        with pytest.raises(ImageTooLarge, match="pixels"):
            look(bytes(body))


@pytest.mark.parametrize("side", [9000, 12_000, 16_000])
def test_a_webp_whose_canvas_is_large_is_too_large(side: int) -> None:
    edge = (side - 1).to_bytes(3, "little")
    inner = encoded(draw_seven(), "WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + edge + edge
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += b"ANMF" + struct.pack("<I", 16 + len(inner)) + bytes(6) + 2 * (139).to_bytes(3, "little") + bytes(4) + inner
    for look in (pixels, announced_cost):
        with pytest.raises(ImageTooLarge, match="pixels"):
            look(b"RIFF" + struct.pack("<I", len(body)) + body)


def progressive(side: int = 140, scans: int = 10, **options: object) -> bytes:
    """A JPEG whose last scan comes again and again."""
    body = encoded(draw_seven(side), "JPEG", progressive=True, **options)
    last = body.rindex(b"\xff\xda")
    return body[:last] + (scans - body.count(b"\xff\xda") + 1) * body[last:-2] + body[-2:]


def segment(marker: int, data: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


SCANS = 1500 * b"\xff\xda\0\x08\1\1\0\0\x3f\0"


@pytest.mark.parametrize("is_progressive", [True, False])
def test_scans_that_are_none_of_the_picture_are_not_counted(is_progressive: bool) -> None:
    body = encoded(draw_seven(), "JPEG", progressive=is_progressive)
    preview = segment(0xE1, b"Exif\0\0" + SCANS) + segment(0xE2, b"MPF\0" + SCANS) + segment(0xFE, SCANS)
    for one in (
        body[:2] + preview + body[2:],
        body + SCANS,
        body + 60 * progressive(),
        body[:2] + b"\xff\xff" + body[2:],
    ):
        assert np.array_equal(pixels(one), pixels(body))


@pytest.mark.parametrize("before", [b"", b"\xff\xff\xff", segment(0xFE, b"\xff\xd9"), segment(0xDD, b"\0\1")])
def test_scans_are_counted_whatever_stands_between(before: bytes) -> None:
    body = progressive(scans=600)
    with pytest.raises(ImageTooLarge, match="more than 500 passes over 140 x 140"):
        pixels(body.replace(b"\xff\xda", before + b"\xff\xda"))


def test_restart_markers_end_no_scan() -> None:
    body = encoded(draw_seven(), "JPEG", progressive=True, restart_marker_blocks=1)
    assert body.count(b"\xff\xd0") > 10
    assert pixels(body) == pytest.approx(ALIKE, abs=0.1)
    with pytest.raises(ImageTooLarge, match="more than 500 passes"):
        pixels(progressive(scans=600, restart_marker_blocks=1))


@pytest.mark.parametrize(
    "one", [segment(0xE1, b"Exif\0\0"), segment(0xE0, b""), b"\0"], ids=["EXIF", "others", "rubbish"]
)
def test_a_jpeg_of_very_many_segments_is_refused(one: bytes) -> None:
    body = encoded(draw_seven(), "JPEG")
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge, match="more than 1000 segments"):
            pixels(body[:2] + segment(0xFE, b"") + 50_000 * one + body[2:])
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_exif_in_very_many_segments_is_refused() -> None:
    body = encoded(draw_seven(), "JPEG")
    for number in (50, 150):
        many = body[:2] + number * segment(0xE1, b"Exif\0\0II*\0" + bytes(1000)) + body[2:]
        if number == 50:
            assert np.array_equal(pixels(many), pixels(body))
        else:
            with pytest.raises(ImageTooLarge, match="more than 1000 segments"):
                pixels(many)


def test_a_jpeg_with_two_sizes_is_damaged() -> None:
    body = encoded(draw_seven(), "JPEG")
    start = body.index(b"\xff\xc0")
    header = body[start : start + 2 + int.from_bytes(body[start + 2 : start + 4], "big")]
    larger = header[:5] + struct.pack(">HH", 60_000, 800) + header[9:]
    for first, second in ((header, larger), (larger, header)):
        with pytest.raises((DamagedImage, ImageTooLarge)):
            pixels(body.replace(header, first + second))


def test_several_frames_are_seen_behind_many_blocks() -> None:
    first, *more = (draw_seven(side).resize((40, 40)) for side in (40, 60, 80))
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=more)
    body = file.getvalue()
    second = body.index(b"!\xf9", body.index(b"!\xf9") + 1)
    with pytest.raises(UnsupportedImage, match="several frames"):
        announced_cost(body[:second] + COMMENT + body[second:])
