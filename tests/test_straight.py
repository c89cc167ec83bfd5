"""The straight way for a PNG that is a model's image already gives what the long way gives, or leaves it to it."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from server.errors import PictureError
from server.images import decode
from server.images.reading import read
from server.images.straight import straight
from server.types import Array, ImageSpec

SPEC = ImageSpec(28, 20)
NOISE = np.random.default_rng(0).integers(0, 256, (28, 20), np.uint8)
SMOOTH = np.add.outer(np.arange(28) * 3, np.arange(20) * 5).astype(np.uint8)


def png(image: Any, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(image: Array, kind: int) -> bytes:
    """The PNG whose rows all have the filter `kind`, written by hand: Pillow chooses one for each row."""
    above, lines = np.zeros(image.shape[1], int), []
    for row in image.astype(int):
        left, corner = np.concatenate([[0], row[:-1]]), np.concatenate([[0], above[:-1]])
        guess = left + above - corner
        near = [abs(guess - one) for one in (left, above, corner)]
        paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], above, corner))
        predicted = (np.zeros_like(row), left, above, (left + above) // 2, paeth)[kind]
        lines.append(bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes())
        above = row
    return made(zlib.compress(b"".join(lines)), image.shape)


def made(data: bytes, shape: tuple[int, ...], *more: bytes) -> bytes:
    header = struct.pack(">II5B", shape[1], shape[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("image", [NOISE, SMOOTH], ids=["noise", "smooth"])
@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(image: Array, kind: int) -> None:
    found = straight(filtered(image, kind), SPEC)
    assert found is not None
    assert np.array_equal(found, image)


@pytest.mark.parametrize("image", [NOISE, SMOOTH], ids=["noise", "smooth"])
def test_what_pillow_writes_goes_straight(image: Array) -> None:
    for level in (0, 1, 9):
        assert np.array_equal(straight(png(Image.fromarray(image), compress_level=level), SPEC), image)  # type: ignore[arg-type]


@pytest.mark.parametrize("paper", [0, 255], ids=["as MNIST has it", "dark on light"])
@pytest.mark.parametrize("left", [8, 3])
def test_the_digit_is_that_of_the_long_way(paper: int, left: int) -> None:
    grey = np.full((28, 20), paper, np.uint8)
    grey[5:23, left : left + 4] = abs(paper - 230)
    short, long = decode(png(Image.fromarray(grey)), SPEC), decode(png(Image.fromarray(grey).convert("RGB")), SPEC)
    assert straight(png(Image.fromarray(grey)), SPEC) is not None
    assert np.array_equal(short.pixels, long.pixels) and short.pixels.dtype == long.pixels.dtype
    assert np.array_equal(short.placement.picture, long.placement.picture)
    for name in ("transform", "width", "height", "steps", "warnings"):
        assert getattr(short.placement, name) == getattr(long.placement, name)


def test_anything_else_is_left_to_the_long_way() -> None:
    image = Image.fromarray(NOISE)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in NOISE))
    others = (
        png(image.convert("RGB")), png(image.convert("RGBA")), png(image.convert("P")), png(image.convert("1")),
        png(image.convert("I;16")), png(image.resize((28, 28))), png(image.resize((28, 20))),
        png(image, transparency=3), made(data, NOISE.shape, chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0")),
        made(data[:-40], NOISE.shape), made(b"", NOISE.shape), made(data, NOISE.shape) + b"more", b"", b"\x89PNG\r\n",
    )  # fmt: skip
    assert straight(made(data, NOISE.shape), SPEC) is not None
    assert [number for number, body in enumerate(others) if straight(body, SPEC) is not None] == []


def test_damage_is_never_taken_for_a_picture() -> None:
    """Every byte changed, and every end cut off: what goes straight is what the long way reads."""
    whole = png(Image.fromarray(SMOOTH))
    damaged = [whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in range(len(whole))]
    damaged += [whole[:end] for end in range(len(whole))]
    # and damage within data whose sum is right
    rows = zlib.compress(b"".join(b"\1" + row.tobytes() for row in SMOOTH))
    damaged += [made(rows[:place] + b"\xaa" + rows[place + 1 :], SMOOTH.shape) for place in range(len(rows))]
    for body in damaged:
        if (found := straight(body, SPEC)) is not None:
            try:
                expected = np.asarray(read(body).image)
            except PictureError:
                pytest.fail(f"the long way refuses {body.hex()}")
            assert np.array_equal(found, expected)
