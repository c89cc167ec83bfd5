"""Pictures of digits, drawn here, in every format and state that people send; real ones where INKLING_MNIST says."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from server.errors import (
    BlankImage,
    DamagedImage,
    EmptyBody,
    ImageTooLarge,
    PictureError,
    ServiceError,
    UnsupportedImage,
)
from server.images import THUMBNAIL, announced_cost, decode
from server.images.files.costs import MAX_PIXELS
from server.types import Digit, ImageSpec

Array = npt.NDArray[Any]
SPEC = ImageSpec(28, 28)
FIVE = [
    [(0.36, 0.12), (0.31, 0.46), (0.5, 0.4), (0.7, 0.5), (0.72, 0.68), (0.6, 0.87), (0.4, 0.92), (0.25, 0.84)],
    [(0.36, 0.12), (0.74, 0.09)],
]
SEVEN = [[(0.2, 0.12), (0.78, 0.1), (0.55, 0.5), (0.45, 0.92)]]


def draw(
    size: int = 280,
    pen: int = 24,
    strokes: Any = FIVE,
    canvas: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
) -> Image.Image:
    """L: black strokes, size x size, at a place of a white canvas."""
    fine = Image.new("L", (4 * size, 4 * size), 255)
    pencil = ImageDraw.Draw(fine)
    for stroke in strokes:
        points = [(4 * size * x, 4 * size * y) for x, y in stroke]
        pencil.line(points, fill=0, width=4 * pen)
        for x, y in points:
            pencil.ellipse((x - 2 * pen, y - 2 * pen, x + 2 * pen, y + 2 * pen), fill=0)
    paper = Image.new("L", canvas or (size, size), 255)
    paper.paste(fine.reduce(4), at)
    return paper


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(image: Image.Image, kind: str = "PNG", **options: Any) -> Digit:
    return decode(encode(image, kind, **options), SPEC)


def alike(one: Array, other: Array) -> float:
    """Correlation of two images."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def transparent(ink: int) -> Image.Image:
    """RGBA: ink of one tone on transparent paper whose hidden colour is the same."""
    cover = Image.eval(draw(), lambda value: 255 - value)
    tone = Image.new("L", cover.size, ink)
    return Image.merge("RGBA", (tone, tone, tone, cover))


def palette() -> Image.Image:
    """P: index 0 is transparent black, index 1 opaque black."""
    image = draw().point(lambda value: 1 if value < 128 else 0).convert("L")
    indexed = Image.frombytes("P", image.size, image.tobytes())
    indexed.putpalette([0, 0, 0, 0, 0, 0])
    indexed.info["transparency"] = 0
    return indexed


def two_colours(first: int) -> bytes:
    """A BMP of 8 bits with a palette of black and white, `first` before the other."""
    ink = np.asarray(draw()) < 128
    rows = b"".join((row if first else ~row).astype(np.uint8).tobytes() for row in ink[::-1])
    size, start = len(rows), 14 + 40 + 8
    head = b"BM" + struct.pack("<IHHI", start + size, 0, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, ink.shape[1], ink.shape[0], 1, 8, 0, size, 0, 0, 2, 0)
    return head + bytes([first] * 3 + [0] + [255 - first] * 3 + [0]) + rows


def sixteen() -> Image.Image:
    return Image.fromarray(np.asarray(draw()).astype(np.uint16) * 257)


def dark_sixteen() -> Image.Image:
    """16 bits, all of it above 255: clipping instead of scaling makes it blank."""
    return Image.fromarray((np.asarray(draw()).astype(np.uint16) + 256) * 100)


REFERENCE = read(draw())


def test_the_reference_is_a_digit_as_mnist_has_it() -> None:
    pixels = REFERENCE.pixels
    assert pixels.dtype == np.float32 and pixels.shape == (28, 28)
    assert pixels.max() == 1 and pixels.min() == 0
    rows, columns = np.nonzero(pixels > 0.1)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    grid = np.arange(28)
    assert abs(pixels.sum(1) @ grid / pixels.sum() - 14) <= 0.5
    assert abs(pixels.sum(0) @ grid / pixels.sum() - 14) <= 0.5
    assert ((pixels > 0.05) & (pixels < 0.95)).sum() > 30  # grey is kept
    assert REFERENCE.placement.steps == ("inverted", "cropped", "centred")


def test_a_detached_bar_belongs_to_its_digit() -> None:
    loose = [FIVE[0], [(0.47, 0.12), (0.78, 0.09)]]
    digit = read(draw(strokes=loose, pen=16))
    assert digit.placement.warnings == ()
    assert alike(digit.pixels, read(draw(strokes=FIVE, pen=16)).pixels) > 0.85


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: encode(draw(), "PNG"), id="png"),
        pytest.param(lambda: encode(draw(), "JPEG", quality=60), id="jpeg"),
        pytest.param(lambda: encode(draw(), "JPEG", progressive=True), id="jpeg-progressive"),
        pytest.param(lambda: encode(draw(), "WEBP", quality=60), id="webp"),
        pytest.param(lambda: encode(draw(), "WEBP", lossless=True), id="webp-lossless"),
        pytest.param(lambda: encode(draw(), "BMP"), id="bmp"),
        pytest.param(lambda: encode(draw(), "GIF"), id="gif"),
        pytest.param(
            lambda: encode(draw(), "GIF", save_all=True, append_images=[draw(strokes=SEVEN)] * 2), id="gif-animated"
        ),
        pytest.param(lambda: encode(draw().convert("1", dither=Image.Dither.NONE)), id="1"),
        pytest.param(lambda: encode(draw().convert("1", dither=Image.Dither.NONE), "BMP"), id="1-bmp"),
        pytest.param(lambda: two_colours(0), id="8-bit-bmp-black-white"),
        pytest.param(lambda: two_colours(255), id="8-bit-bmp-white-black"),
        pytest.param(lambda: encode(draw().convert("LA")), id="LA"),
        pytest.param(lambda: encode(draw().convert("RGB").quantize(16)), id="P"),
        pytest.param(lambda: encode(palette(), transparency=0), id="P-transparent"),
        pytest.param(lambda: encode(draw().convert("RGB")), id="RGB"),
        pytest.param(lambda: encode(draw().convert("RGBA")), id="RGBA-opaque"),
        pytest.param(lambda: encode(transparent(0)), id="RGBA-dark-ink"),
        pytest.param(lambda: encode(transparent(255)), id="RGBA-light-ink"),
        pytest.param(lambda: encode(transparent(255), "WEBP"), id="webp-light-ink"),
        pytest.param(lambda: encode(sixteen()), id="I;16"),
        pytest.param(lambda: encode(dark_sixteen()), id="I;16-high"),
        pytest.param(lambda: encode(draw().convert("RGB").convert("CMYK"), "JPEG"), id="CMYK"),
        pytest.param(lambda: encode(Image.eval(draw(), lambda value: 255 - value)), id="inverted"),
        pytest.param(lambda: encode(draw(size=1400, pen=120)), id="large"),
        pytest.param(lambda: encode(draw(size=2800, pen=240).convert("RGB"), "JPEG"), id="large-jpeg"),
        pytest.param(lambda: encode(draw(size=70, pen=6)), id="small"),
        pytest.param(lambda: encode(draw(canvas=(1000, 700), at=(600, 40))), id="off-centre"),
        pytest.param(lambda: encode(draw(size=180, pen=15, canvas=(3000, 2000), at=(2700, 60))), id="tiny-in-large"),
    ],
)
def test_any_format_gives_the_same_digit(body: Callable[[], bytes]) -> None:
    digit = decode(body(), SPEC)
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95
    assert digit.placement.warnings == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_orientation_is_undone(orientation: int, stored: Image.Transpose | None, kind: str) -> None:
    upright = draw(canvas=(400, 300), at=(30, 10))
    image = upright if stored is None else upright.transpose(stored)
    digit = read(image.convert("RGB"), kind, exif=exif(orientation))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95
    assert (digit.placement.width, digit.placement.height) == (400, 300)
    assert digit.placement.picture.shape == (300, 400, 3)
    assert alike(digit.placement.picture[..., 0], np.asarray(upright)) > 0.95
    assert ("upright" in digit.placement.steps) == (orientation != 1)


def test_unreadable_exif_does_not_cost_the_picture() -> None:
    digit = read(draw(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x00broken")
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95


def lit(image: Image.Image, darkest: float) -> Image.Image:
    """Light falling off from the upper left to `darkest`, with a camera's noise."""
    array = np.asarray(image).astype(np.float64) / 255
    height, width = array.shape
    y, x = np.mgrid[0:height, 0:width]
    light = 0.9 - (0.9 - darkest) * (x / width + y / height) / 2
    noise = np.random.default_rng(0).normal(0, 0.015, array.shape)
    return Image.fromarray(np.rint(255 * np.clip((0.15 + 0.85 * array) * light + noise, 0, 1)).astype(np.uint8))


def test_uneven_light_is_evened() -> None:
    digit = read(lit(draw(canvas=(800, 600), at=(450, 250)), 0.25), "JPEG")
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95
    assert "light evened" in digit.placement.steps


def test_ruled_lines_are_removed() -> None:
    paper = draw(canvas=(800, 600), at=(300, 150))
    pencil = ImageDraw.Draw(paper)
    for y in range(30, 600, 60):
        pencil.line([(0, y), (800, y + 12)], fill=110, width=3)
    paper = Image.fromarray(np.minimum(np.asarray(paper), np.asarray(draw(canvas=(800, 600), at=(300, 150)))))
    digit = read(paper)
    assert "lines removed" in digit.placement.steps
    assert alike(digit.pixels, REFERENCE.pixels) > 0.93


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((255, 225, 0), (255, 255, 255)),
        ((30, 40, 200), (250, 240, 180)),
        ((200, 40, 40), (60, 110, 50)),
    ],  # the last ones are equally light
)
def test_coloured_ink_keeps_its_contrast(ink: tuple[int, int, int], paper: tuple[int, int, int]) -> None:
    cover = Image.eval(draw(), lambda value: 255 - value)
    image = Image.composite(Image.new("RGB", cover.size, ink), Image.new("RGB", cover.size, paper), cover)
    assert alike(read(image).pixels, REFERENCE.pixels) > 0.95


def test_a_hairline_is_thickened_and_a_marker_thinned() -> None:
    thin, thick = read(draw(size=1200, pen=2)), read(draw(size=300, pen=80, canvas=(340, 340), at=(20, 0)))
    assert "thickened" in thin.placement.steps and "thinned" in thick.placement.steps
    usual = REFERENCE.pixels.sum()
    assert 0.55 * usual < thin.pixels.sum() < usual < thick.pixels.sum() < 2.5 * usual


def dotted(image: Image.Image, size: int) -> Image.Image:
    """As a raster prints it: every other square of so many pixels is paper."""
    pixels = np.array(image.convert("L"))
    rows, columns = np.indices(pixels.shape) // size
    return Image.fromarray(np.where((rows + columns) % 2, pixels, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_raster_of_dots_is_read(size: int) -> None:
    """Its mean width is that of a marker, and each dot far narrower."""
    assert alike(read(dotted(draw(), size)).pixels, read(draw()).pixels) > 0.8


@pytest.mark.parametrize("side", [5, 6, 8])
def test_thinning_leaves_something_of_a_few_dots(side: int) -> None:
    pixels = np.full((64, 64), 255, np.uint8)
    pixels[30 : 30 + side, 30 : 30 + side] = 255 * (np.indices((side, side)).sum(axis=0) % 2)
    found = read(Image.fromarray(pixels))
    assert "thinned" in found.placement.steps and found.pixels.max() == 1 and found.pixels.sum() > 10


def test_two_digits_give_one_and_a_warning() -> None:
    paper = draw(canvas=(600, 300))
    paper.paste(draw(strokes=SEVEN), (310, 0))
    digit = read(paper)
    (warning,) = digit.placement.warnings
    assert warning.startswith("multiple-objects: 2 ")
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95


def test_specks_are_dropped() -> None:
    paper = draw(canvas=(600, 400), at=(100, 50))
    for x, y in np.random.default_rng(1).integers(0, 390, (40, 2)).tolist():
        paper.putpixel((x, y), 0)
    assert alike(read(paper).pixels, REFERENCE.pixels) > 0.93


def mnist_like() -> Array:
    return np.asarray(np.rint(REFERENCE.pixels * 255), np.uint8)


def test_a_picture_like_mnist_passes_untouched() -> None:
    image = mnist_like()
    for mode in ("L", "RGB"):
        digit = read(Image.fromarray(image).convert(mode))
        assert np.array_equal(digit.pixels, image / np.float32(255))
        assert digit.placement.steps == () and digit.placement.transform == (1, 0, 0, 0, 1, 0)
        assert np.array_equal(digit.placement.picture[..., 2], image)


def test_a_small_picture_unlike_mnist_is_normalised() -> None:
    digit = read(Image.fromarray(255 - mnist_like()))
    assert digit.placement.steps[0] == "inverted"
    assert alike(digit.pixels, REFERENCE.pixels) > 0.97


def test_preprocess_none_only_resizes() -> None:
    gradient = Image.fromarray(np.tile(np.linspace(0, 255, 560), (280, 1)).astype(np.uint8))
    digit = decode(encode(gradient), SPEC, "none")
    expected = np.tile((np.arange(28) + 0.5) / 28, (28, 1))
    assert np.abs(digit.pixels - expected).max() < 0.005
    assert digit.placement.transform == (20, 0, 0, 0, 10, 0) and digit.placement.steps == ()
    blank = decode(encode(Image.new("L", (50, 50), 255)), SPEC, "none")
    assert np.abs(blank.pixels - 1).max() < 1e-6


def test_a_model_that_takes_whole_pictures_gets_them_resized() -> None:
    spec = replace(SPEC, preprocessing="resize")
    for picture in (
        draw(canvas=(400, 300)),
        Image.fromarray(255 - mnist_like()),
    ):
        whole, asked = decode(encode(picture), spec), decode(encode(picture), SPEC, "none")
        assert np.array_equal(whole.pixels, asked.pixels) and whole.placement.steps == ()
        assert not np.array_equal(whole.pixels, decode(encode(picture), SPEC).pixels)


def test_preprocess_none_antialiases_and_keeps_the_edges_when_it_enlarges() -> None:
    stripes = np.zeros((560, 560), np.uint8)
    stripes[::2] = 255
    assert np.abs(decode(encode(Image.fromarray(stripes)), SPEC, "none").pixels - 0.5).max() < 0.01
    small = decode(encode(Image.new("L", (5, 5), 51)), SPEC, "none")
    assert np.abs(small.pixels - 0.2).max() < 1e-6


def corner_of_ink(digit: Digit) -> tuple[float, float]:
    """Upper left corner of the ink (at half height), in the sent picture."""
    rows, columns = np.nonzero(digit.pixels > 0.5)
    a, b, c, d, e, f = digit.placement.transform
    x, y = columns.min(), rows.min()
    return float(a * x + b * y + c), float(d * x + e * y + f)


@pytest.mark.parametrize(
    ("size", "corner", "side", "kind", "stored", "orientation"),
    [
        ((400, 300), (60, 40), 200, "PNG", None, 1),
        ((400, 300), (60, 40), 200, "JPEG", Image.Transpose.ROTATE_90, 6),
        ((1501, 1203), (700, 500), 400, "PNG", None, 1),
        ((2503, 1999), (1400, 900), 600, "PNG", Image.Transpose.ROTATE_180, 3),
        ((4003, 3001), (1800, 700), 1100, "JPEG", None, 1),
        ((4003, 3001), (1800, 700), 1100, "JPEG", Image.Transpose.ROTATE_180, 3),
        ((4003, 3001), (1800, 700), 1100, "JPEG", Image.Transpose.ROTATE_90, 6),
        ((3001, 4003), (800, 1700), 1100, "JPEG", Image.Transpose.ROTATE_270, 8),
        ((4003, 3001), (3000, 2000), 120, "JPEG", None, 1),
    ],
)
def test_the_transform_leads_back_to_the_ink(
    size: tuple[int, int],
    corner: tuple[int, int],
    side: int,
    kind: str,
    stored: Image.Transpose | None,
    orientation: int,
) -> None:
    """An L of straight edges: its upper left and lower right corners are known to the pixel."""
    paper = Image.new("RGB", size, "white")
    pencil = ImageDraw.Draw(paper)
    x, y = corner
    pencil.rectangle((x, y, x + side // 8 - 1, y + side - 1), fill="black")
    pencil.rectangle((x, y + side - side // 8, x + side * 3 // 4 - 1, y + side - 1), fill="black")
    digit = read(paper if stored is None else paper.transpose(stored), kind, exif=exif(orientation))
    placement = digit.placement
    assert (placement.width, placement.height) == size
    scale = placement.transform[0]
    assert placement.transform[4] == scale and placement.transform[1] == placement.transform[3] == 0
    assert scale == pytest.approx(side / 20, rel=0.02)
    found = corner_of_ink(digit)
    tolerance = 0.1 * scale + 1  # a tenth of a model pixel, and the sent picture's own grid
    assert found == pytest.approx(corner, abs=tolerance)


def test_the_thumbnail_is_small_upright_and_never_enlarged() -> None:
    assert read(draw(size=1400, pen=100)).placement.picture.shape == (THUMBNAIL, THUMBNAIL, 3)
    assert read(draw(size=100, pen=9)).placement.picture.shape == (100, 100, 3)


def scanned(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    body = encode(draw(size=side, pen=side // 12), "JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    return body[:last] + (scans - body.count(b"\xff\xda") + 1) * body[last:-2] + body[-2:]


@pytest.mark.parametrize(("side", "scans", "most"), [(280, 600, 500), (5000, 60, 40)])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(side: int, scans: int, most: int) -> None:
    with pytest.raises(ImageTooLarge, match=f"more than {most} passes over {side} x {side}"):
        decode(scanned(side, scans), SPEC)


@pytest.mark.parametrize(("side", "scans"), [(280, 400), (2000, 30)])
def test_a_jpeg_of_some_scans_is_read(side: int, scans: int) -> None:
    assert alike(decode(scanned(side, scans), SPEC).pixels, REFERENCE.pixels) > 0.95


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_truncated_picture_is_a_callers_mistake(kind: str) -> None:
    body = encode(draw(size=90, pen=8).convert("RGB"), kind)
    refused = 0
    for end in range(0, len(body) * 9 // 10, 10 if len(body) < 10_000 else 301):
        try:
            decode(body[:end], SPEC)
        except PictureError:
            refused += 1
    assert refused > 10 or kind == "GIF"
    with pytest.raises(DamagedImage):
        decode(body[: len(body) // 2], SPEC)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_damaged_picture_never_raises_anything_else(kind: str) -> None:
    body = encode(draw(size=60, pen=6).convert("RGB"), kind, **({"exif": exif(6)} if kind == "JPEG" else {}))
    rng = np.random.default_rng(5)
    for _ in range(150):
        damaged = bytearray(body)
        for place in rng.integers(2, len(body), 3):
            damaged[place] = rng.integers(256)
        with suppress(ServiceError):
            decode(bytes(damaged), SPEC)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gif_header(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, width, height, 0)
        + b"\x08\x01\x00\x00;"
    )


def gif(*sizes: tuple[int, int], times: int = 1) -> bytes:
    """Frames of these widths and heights, the last one so many times, in a file that announces the first one's; each
    has a table of colours and an extension before it."""
    frames = b""
    for width, height in sizes:
        saved = encode(Image.new("P", (width, height)), "GIF")
        colours = 3 * (2 << (saved[10] & 7))
        frame = bytearray(saved[13 + colours : -1])
        frame[9] |= 0x80 | (saved[10] & 7)
        last = b"!\xf9\x04\0\0\0\0\0" + frame[:10] + saved[13 : 13 + colours] + frame[10:]
        frames += last
    return b"GIF89a" + struct.pack("<HHBBB", *sizes[0], 0, 0, 0) + frames + last * (times - 1) + b";"


@pytest.mark.parametrize(
    ("body", "pixels"),
    [
        (png_header(300, 200), 60_000),
        (encode(Image.new("L", (300, 200)), "JPEG"), 60_000),
        (encode(Image.new("L", (300, 200)), "GIF"), 60_000),
        (gif((30, 20)), 600),
    ],
    ids=["png", "jpeg", "gif", "frame"],
)
def test_pixels_are_counted_without_decoding(body: bytes, pixels: int) -> None:
    cost = announced_cost(body)
    assert cost.width * cost.height == pixels


@pytest.mark.parametrize(
    "body",
    [
        gif((30, 20), (30, 20)),
        gif((30, 20), (4000, 5000))[:-20],
        gif((30, 20), (2000, 2000), times=1000),
        encode(draw(), "GIF", save_all=True, append_images=[draw(strokes=SEVEN)] * 2),
    ],
    ids=["two", "cut off", "thousand", "pillow's"],
)
def test_a_gif_of_several_frames_is_no_picture_for_a_decoder_of_all(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedImage, match="several frames"):
            announced_cost(body)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def webp_header(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + canvas


@pytest.mark.parametrize(
    "body",
    [
        png_header(60000, 60000),
        png_header(10000, 10000),
        png_header(7072, 7072),
        gif_header(60000, 60000),
        webp_header(16000, 16000),
    ],
    ids=["png-3600M", "png-100M", "png-just-above", "gif", "webp"],
)
def test_a_bomb_is_refused_by_its_header(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge, match=f"{MAX_PIXELS:,}"):
            decode(body, SPEC)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (300, 200), 255),
        Image.new("RGB", (300, 200), "black"),
        Image.new("RGBA", (300, 200), (0, 0, 0, 0)),
        Image.new("L", (1, 1), 128),
        Image.new("L", (28, 28), 0),
        Image.new("L", (2000, 1), 200),
        Image.fromarray(np.random.default_rng(2).integers(0, 256, (300, 400)).astype(np.uint8)),
        Image.fromarray(np.random.default_rng(3).normal(220, 6, (300, 400)).astype(np.uint8)),
        lit(Image.new("L", (400, 300), 255), 0.3),
        Image.eval(draw(), lambda value: 240 + value // 20),
    ],
    ids=["white", "black", "transparent", "1px", "28px", "row", "static", "grain", "gradient", "too-faint"],
)
def test_a_blank_picture_is_said_to_be_blank(image: Image.Image) -> None:
    with pytest.raises(BlankImage):
        read(image)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC.*Most Compatible"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(40), "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"%PDF-1.7", "PDF"),
        (b'\n <svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b'{"image": 1}', "JSON"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"data:image/png;base64,iVBOR", "data: URL"),
        (b"iVBORw0KGgoAAAA", "base64"),
        (b"\x01\x02\x03", "01 02 03"),
    ],
)
def test_what_is_no_picture_is_named(body: bytes, says: str) -> None:
    with pytest.raises(UnsupportedImage, match=says):
        decode(body, SPEC)


def test_an_empty_body_is_said_to_be_empty() -> None:
    with pytest.raises(EmptyBody):
        decode(b"", SPEC)
