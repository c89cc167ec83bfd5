"""Pictures as the signature `serving_bytes` decodes them: TensorFlow's own graph is the oracle, format by format."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from server.errors import BadRequest, DamagedImage, EmptyBody, ImageTooLarge, OutOfTime, PictureError, UnsupportedImage
from server.images import plain_pixels
from server.images.decoding import opened
from server.images.files.in_flight import CAPACITY, IN_FLIGHT
from server.inference.tensors import MOST_PIXELS, predict_bytes
from server.models.versions import LoadedVersion
from server.protocols import RequestContext
from server.types import Array, ImageSpec
from tests.explainers.test_memory import CLEAR, MIB, resident
from tests.support.models.fakes import Linear
from tests.support.models.nets import digits, net
from tests.support.models.stores import card_28, draw_seven, encoded
from tests.support.processes.servers import ROOT
from training.store.signatures import signatures

Bodies = list[bytes]
ROUNDING = 1e-5  # TensorFlow computes the weights of its resize in float32
SPECS = (ImageSpec(28, 28), ImageSpec(20, 32))
SHAPES = ((1, 1), (1, 40), (9, 17), (28, 28), (27, 29), (20, 32), (40, 13), (56, 64), (150, 211), (300, 28))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's colour types: grey, RGB, palette, grey with alpha, RGBA
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


@cache
def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def graph(spec: ImageSpec) -> Callable[[Bodies], Array]:
    """The signature `serving_bytes`, exported and loaded again, of a net whose logits are its pixels: (n, H, W)."""
    images = keras.Input((spec.height, spec.width))
    model = keras.Model(images, {"logits": keras.layers.Flatten()(images)})
    with TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=signatures(model, 1.0))
        loaded = tf.saved_model.load(folder)

    def pixels(bodies: Bodies) -> Array:
        found = loaded.signatures["serving_bytes"](image_bytes=tf.constant(bodies))["logits"].numpy()
        return np.asarray(found).reshape(-1, spec.height, spec.width)

    return pixels


def ours(bodies: Bodies, spec: ImageSpec = SPECS[0]) -> Array:
    return np.stack([plain_pixels(body, spec) for body in bodies])


def apart(bodies: Bodies, spec: ImageSpec = SPECS[0]) -> float:
    """The largest difference of any pixel to the graph's."""
    return float(np.abs(ours(bodies, spec) - graph(spec)(bodies)).max())


def levels(shape: tuple[int, ...], top: int = 256) -> Array:
    return np.random.default_rng(shape).integers(0, top, shape)


def picture(shape: tuple[int, int], mode: str) -> Image.Image:
    """Noise, in which no mistake about a pixel is lost."""
    if mode == "P":
        return picture(shape, "RGB").quantize(100)
    values = levels((*shape, len(Image.new(mode, (1, 1)).getbands())))
    return Image.frombytes(mode, shape[::-1], values.astype(np.uint8).tobytes())


def packed(row: Array, bits: int) -> bytes:
    if bits >= 8:
        return row.astype(f">u{bits // 8}").tobytes()
    return np.packbits(row.reshape(-1, 1) >> np.arange(bits)[::-1] & 1).tobytes()


def png(values: Array, bits: int, colour: int, *more: bytes, interlaced: bool = False) -> bytes:
    """A PNG of values (h, w, channels) written by hand: Pillow writes few of the kinds that there are."""
    parts = [values[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [values]
    rows = b"".join(b"\0" + packed(row.reshape(-1), bits) for part in parts if part.size for row in part)
    header = struct.pack(">II5B", values.shape[1], values.shape[0], bits, colour, 0, 0, interlaced)
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pngs(colour: int, bits: int, transparent: bool, shape: tuple[int, int]) -> Bodies:
    """One as it is and one interlaced, where `transparent` with a tRNS chunk."""
    values, more = levels((*shape, CHANNELS[colour]), 2**bits), []
    if colour == 3:
        more.append(chunk(b"PLTE", levels((2**bits, 3)).astype(np.uint8).tobytes()))
    if transparent:
        is_palette = colour == 3
        more.append(chunk(b"tRNS", packed(levels((2**bits,)), 8) if is_palette else packed(values[0, 0], 16)))
    return [png(values, bits, colour, *more, interlaced=interlaced) for interlaced in (False, True)]


KINDS = [
    (colour, bits, transparent)
    for colour in DEPTHS
    for bits in DEPTHS[colour]
    for transparent in ((False, True) if colour < 4 else (False,))
]


@pytest.mark.parametrize(("colour", "bits", "transparent"), KINDS)
def test_every_png_is_read_as_tensorflow_does(colour: int, bits: int, transparent: bool) -> None:
    bodies = [body for shape in SHAPES for body in pngs(colour, bits, transparent, shape)]
    for spec in SPECS:
        assert apart(bodies, spec) < ROUNDING


@pytest.mark.parametrize(("kind", "mode", "options"), [
    ("GIF", "L", {}),
    ("GIF", "P", {"interlace": 0}),
    ("GIF", "P", {"interlace": 1}),
    ("GIF", "P", {"transparency": 5}),
    ("GIF", "RGBA", {}),
    ("BMP", "L", {}),
    ("BMP", "P", {}),
    ("BMP", "RGB", {}),
    ("BMP", "RGBA", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGB", {"quality": 60}),
    ("PNG", "RGB", {"save_all": True, "append_images": [Image.new("RGB", (1, 1))]}),
])  # fmt: skip
def test_the_other_formats_are_read_as_tensorflow_does(kind: str, mode: str, options: dict[str, Any]) -> None:
    bodies = [encoded(picture(shape, mode), kind, **options) for shape in SHAPES]
    for spec in SPECS:
        assert apart(bodies, spec) < ROUNDING


def top_down() -> bytes:
    body = bytearray(encoded(picture((27, 29), "RGB"), "BMP"))
    body[22:26] = struct.pack("<i", -27)
    return bytes(body)


def test_a_bmp_from_top_to_bottom() -> None:
    assert apart([top_down()]) < ROUNDING


def gif(screen: tuple[int, int], at: tuple[int, int], transparent: int | None = None, local: bool = False) -> bytes:
    """One frame of 12 x 10 anywhere, with a palette for all frames or of its own."""
    written = encoded(picture((10, 12), "L"), "GIF", interlace=0)  # Pillow numbers the levels that there are
    data = written[written.index(b",\0\0\0\0") + 10 :]
    palette, packing = levels((256, 3)).astype(np.uint8).tobytes(), 0x87
    control = b"" if transparent is None else bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
    head = struct.pack("<HH3B", *screen, 0 if local else packing, 7, 0) + (b"" if local else palette)
    frame = b"," + struct.pack("<4HB", *at, 12, 10, packing if local else 0) + (palette if local else b"")
    return b"GIF89a" + head + control + frame + data


GIFS = {
    "filling": gif((12, 10), (0, 0)),
    "its own palette": gif((12, 10), (0, 0), local=True),
    "transparent": gif((12, 10), (0, 0), transparent=5),
    "small on a screen": gif((20, 30), (0, 0)),
    "somewhere on a screen": gif((20, 30), (5, 3)),
    "beyond itself": gif((60, 60), (40, 40)),
    "larger than its screen": gif((3, 4), (0, 0)),
    "no screen": gif((0, 0), (0, 0)),
}


@pytest.mark.parametrize("name", GIFS)
def test_a_gif_is_placed_as_tensorflow_does(name: str) -> None:
    assert apart([GIFS[name]]) < ROUNDING


JPEGS = [
    ("RGB", {"subsampling": subsampling, "progressive": progressive})
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
    for progressive in (False, True)
]
JPEGS += [
    ("L", {}), ("L", {"progressive": True}), ("RGB", {"keep_rgb": True}), ("RGB", {"restart_marker_blocks": 1}),
    ("CMYK", {}),
]  # fmt: skip


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize(("mode", "options"), JPEGS, ids=str)
def test_a_jpeg_is_read_as_a_new_graph_does(mode: str, options: dict[str, Any], quality: int) -> None:
    shapes = [shape for shape in SHAPES if np.prod(shape) < 10_000]  # Pillow cannot write more noise in many passes
    assert apart([encoded(picture(shape, mode), "JPEG", quality=quality, **options) for shape in shapes]) < ROUNDING


def without_adobe(body: bytes) -> bytes:
    start = body.index(b"\xff\xee")
    return body[:start] + body[start + 2 + int.from_bytes(body[start + 2 : start + 4]) :]


def test_inks_count_the_other_way_round_where_adobe_wrote_them() -> None:
    body = encoded(picture((40, 60), "CMYK"), "JPEG")
    assert apart([body, without_adobe(body)]) < ROUNDING
    assert np.abs(np.subtract(*ours([body, without_adobe(body)]))).max() > 0.1


def ycck(body: bytes) -> bytes:
    """The same numbers, said to be luma, chroma and black."""
    end = body.index(b"Adobe") + 11
    return body[:end] + b"\2" + body[end + 1 :]


def test_inks_as_luma_and_chroma() -> None:
    assert apart([ycck(encoded(picture((40, 60), "CMYK"), "JPEG", subsampling="4:4:4"))]) < ROUNDING


def drawings(quality: int) -> Bodies:
    """Digits as they are sent, and noise."""
    small = [Image.fromarray(np.rint(row * 255).astype(np.uint8)) for row in digits()]
    noise = [picture(shape, "RGB") for shape in ((28, 28), (40, 56), (150, 211))]
    images = [*small, *(one.resize((112, 112)) for one in small[:20]), draw_seven(), *noise]
    return [encoded(image, "JPEG", quality=quality) for image in images]


@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
def test_a_jpeg_is_what_the_graph_gives(quality: int) -> None:
    assert apart(drawings(quality)) < ROUNDING


@pytest.mark.parametrize("name", ["cnn", "lstm", "mlp"])
def test_the_shipped_versions_decode_as_told(name: str) -> None:
    bodies = [*drawings(95)[:20], GIFS["transparent"], encoded(picture((40, 60), "RGBA"))]
    serve = net(name).signatures["serving_bytes"]
    assert serve(image_bytes=tf.constant(bodies))["logits"].numpy() == pytest.approx(
        net(name).forward(ours(bodies)), abs=1e-3
    )


def test_a_grey_picture_of_the_models_size_keeps_its_levels() -> None:
    values = levels((28, 28)).astype(np.uint8)
    for mode in ("L", "RGB"):
        found = plain_pixels(encoded(Image.fromarray(values).convert(mode)), SPECS[0])
        assert found.dtype == np.float32
        assert np.array_equal(found, values / np.float32(255))


def shrunk(image: Image.Image, by: Image.Resampling = Image.Resampling.BILINEAR) -> Array:
    return np.asarray(image.convert("F").resize((28, 28), by)) / np.float32(255)


def on_paper(image: Image.Image) -> Array:
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    return shrunk(paper.convert("RGB"))


def weighted(*weights: float) -> Callable[[Image.Image], Array]:
    return lambda image: shrunk(Image.fromarray(np.asarray(image, np.float32) @ np.array(weights, np.float32)))


def drafted(image: Any) -> Array:
    image.draft("RGB", (28, 28))
    return shrunk(image)


def rounded_to_8_bits(image: Image.Image) -> Array:
    return shrunk(Image.fromarray(((np.asarray(image, np.uint32) + 128) // 257).astype(np.uint8)))


def aliased(image: Image.Image) -> Array:
    return np.asarray(tf.image.resize(np.asarray(image, np.float32)[..., None] / 255, (28, 28)))[..., 0]


def as_pillow_has_it(image: Image.Image) -> Array:
    return shrunk(image.convert("RGB"))


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
RGB, GREY, LARGE = picture((40, 60), "RGB"), picture((40, 60), "L"), picture((300, 300), "RGB")
PALETTE, INKS, DEEP = picture((40, 60), "P"), picture((40, 60), "CMYK"), pngs(0, 16, False, (40, 60))[0]
BROKEN: dict[str, tuple[Callable[[Image.Image], Array], bytes]] = {
    "alpha on paper": (on_paper, encoded(picture((40, 60), "RGBA"))),
    "a palette's alpha on paper": (on_paper, encoded(PALETTE, transparency=bytes(range(100)))),
    "levels rounded": (lambda image: shrunk(image.convert("L")), encoded(RGB)),
    "colours alike": (weighted(1 / 3, 1 / 3, 1 / 3), encoded(RGB)),
    "the weights of a screen": (weighted(0.2126, 0.7152, 0.0722), encoded(RGB)),
    "blue and red exchanged": (weighted(0.114, 0.587, 0.299), encoded(RGB)),
    "no antialiasing": (aliased, encoded(GREY)),
    "means of areas": (lambda image: shrunk(image, Image.Resampling.BOX), encoded(GREY)),
    "bicubic": (lambda image: shrunk(image, Image.Resampling.BICUBIC), encoded(picture((9, 17), "L"))),
    "reduced first": (lambda image: shrunk(image.reduce(3)), encoded(LARGE)),
    "drafted": (drafted, encoded(LARGE, "JPEG")),
    "upright": (lambda image: shrunk(ImageOps.exif_transpose(image)), encoded(GREY, "JPEG", exif=TURNED)),
    "16 bits clipped": (lambda image: shrunk(image.convert("L")), DEEP),
    "16 bits rounded": (rounded_to_8_bits, DEEP),
    "the whole screen of a GIF": (as_pillow_has_it, GIFS["somewhere on a screen"]),
    "what is transparent in a GIF": (as_pillow_has_it, GIFS["transparent"]),
    "the palette of a BMP": (as_pillow_has_it, encoded(PALETTE, "BMP")),
    "inks taken for inverted": (as_pillow_has_it, without_adobe(encoded(INKS, "JPEG"))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_another_way_to_decode_would_be_noticed(name: str) -> None:
    """And what is ours passes on the same picture."""
    broken, body = BROKEN[name]
    with Image.open(BytesIO(body)) as image:
        off = np.abs(broken(image) - graph(SPECS[0])([body])[0]).max()
    assert off > 100 * ROUNDING
    assert apart([body]) < ROUNDING


def bmp(bits: int, colours: Bodies, rows: bytes) -> bytes:
    """8 x 8 pixels, whose colours are numbers of a palette."""
    palette = b"".join(colour + b"\0" for colour in colours)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, bits, 0, len(rows), 0, 0, len(colours), 0)
    start = 54 + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def test_what_tensorflow_does_not_read_is_read_as_it_looks() -> None:
    assert plain_pixels(bmp(1, [b"\0\0\0", b"\xff\xff\xff"], 8 * b"\xff\0\0\0"), SPECS[0]) == pytest.approx(1)
    assert plain_pixels(bmp(1, [b"\xff\xff\xff", b"\0\0\0"], 8 * b"\xff\0\0\0"), SPECS[0]) == pytest.approx(0)
    blue = bmp(4, [bytes(3), b"\xff\0\0"], 8 * b"\x11\x11\x11\x11")
    assert plain_pixels(blue, SPECS[0]) == pytest.approx(0.114)
    pale = Image.new("RGBA", (8, 8), (255, 255, 255, 3))
    assert plain_pixels(encoded(pale, "WEBP", lossless=True, exact=True), SPECS[0]) == pytest.approx(1)


WHOLE = {
    kind: encoded(draw_seven(60).convert(mode), kind)
    for kind, mode in {"PNG": "RGB", "JPEG": "RGB", "GIF": "L", "BMP": "RGB", "WEBP": "RGB"}.items()
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_short_is_damaged(kind: str) -> None:
    whole = WHOLE[kind]
    for part in (0.2, 0.5, 0.9):
        with pytest.raises(DamagedImage, match=kind):
            plain_pixels(whole[: int(part * len(whole))], SPECS[0])


@pytest.mark.parametrize("kind", WHOLE)
def test_whatever_is_wrong_with_a_file_is_told(kind: str) -> None:
    """Bytes changed and ends cut off at random: a picture, or an error that is the file's."""
    rng, whole, refused = np.random.default_rng(0), WHOLE[kind], 0
    for _ in range(300):
        body = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(body), rng.integers(0, 4)):
            body[place] = rng.integers(256)
        try:
            assert np.isfinite(plain_pixels(bytes(body), SPECS[0])).all()
        except PictureError:
            refused += 1
    assert refused > 50


def test_no_picture_is_told() -> None:
    with pytest.raises(EmptyBody):
        plain_pixels(b"", SPECS[0])
    with pytest.raises(UnsupportedImage, match="PNG, JPEG"):
        plain_pixels(b"text", SPECS[0])


def version() -> LoadedVersion:
    return LoadedVersion(card_28(), Path(), twin=Linear(card_28()))


def bomb(side: int) -> bytes:
    header = struct.pack(">II5B", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def peak(work: Callable[[], object]) -> int:
    """Bytes that the process held at most beyond those before."""
    before = resident("VmRSS")
    CLEAR.write_text("5")  # forget the peak so far
    work()
    return resident("VmHWM") - before


needs_linux = pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux's account of a process's memory")


@needs_linux
def test_a_bomb_is_not_unpacked() -> None:
    def refused() -> None:
        with pytest.raises(ImageTooLarge, match="60000 x 60000"):
            plain_pixels(bomb(60_000), SPECS[0])
        with pytest.raises(BadRequest, match=f"{5000 * 5000} pixels.*{MOST_PIXELS}"):
            predict_bytes(version(), [bomb(5000)])

    assert peak(refused) < 8 * MIB


SIDE = 1900  # four of these have as many pixels as one request may have
MOST = 12 * SIDE * SIDE  # bytes; one of them takes 8 a pixel while it is decoded


@needs_linux
def test_large_pictures_do_not_pile_up() -> None:
    bodies = 4 * [encoded(Image.new("RGB", (SIDE, SIDE), "white"))]
    assert peak(lambda: predict_bytes(version(), bodies)) < MOST


@needs_linux
def test_pictures_that_pile_up_would_be_noticed() -> None:
    bodies, kept = 4 * [encoded(Image.new("RGB", (SIDE, SIDE), "white"))], []

    def keeping() -> None:
        for body in bodies:
            with opened(body) as (image, _):
                kept.append((image, image.convert("F")))

    assert peak(keeping) > MOST


def test_the_rows_are_those_of_the_pictures() -> None:
    bodies = [encoded(draw_seven(side)) for side in (28, 40, 99)]
    found = predict_bytes(version(), bodies)
    assert found["logits"] == pytest.approx(Linear(card_28()).forward(ours(bodies)), rel=1e-6)
    assert found["probabilities"].sum(axis=1) == pytest.approx(np.ones(3))


def test_the_deadline_holds_between_pictures() -> None:
    seconds = count()
    context = RequestContext(1.5, 1.5, now=lambda: float(next(seconds)))
    with pytest.raises(OutOfTime, match="2 of 4 pictures"):
        predict_bytes(version(), 4 * [WHOLE["PNG"]], context)


def test_large_pictures_wait_for_each_other_and_small_ones_do_not() -> None:
    large = encoded(Image.new("RGB", (1001, 1001)))
    waiting = Thread(target=plain_pixels, args=[large, SPECS[0]])
    with IN_FLIGHT.taken(CAPACITY):
        waiting.start()
        assert plain_pixels(WHOLE["PNG"], SPECS[0]).shape == (28, 28)
        for _ in range(10):  # long enough to see it end if it did not wait
            tf.io.decode_image(large)
        assert waiting.is_alive()
    waiting.join()


def test_the_example_is_what_a_graph_makes_of_it() -> None:
    assert apart([(ROOT / "examples" / "photo.jpg").read_bytes()]) < ROUNDING
