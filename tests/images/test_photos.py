"""MNIST digits made into what people send, a pen on paper seen by a telephone: they must become those digits again."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFilter

from benchmarks.store import shipped
from server.images import decode
from server.models.card import read_card
from server.models.litert import predictor
from server.types import Array, Digit, ImageSpec
from tests.support.mnist import mnist_test

SPEC = ImageSpec(28, 28)
PENS = ((25, 25, 30), (30, 45, 120), (70, 70, 75), (90, 25, 30))  # black, blue, pencil, dark red
EACH = 20  # photos of each digit


def photo(image: Array, rng: np.random.Generator) -> bytes:
    """A digit (28, 28) uint8 enlarged and drawn anywhere on unevenly lit, noisy paper of 1200 x 900, as JPEG."""
    side = int(rng.integers(280, 700))  # the digit itself is 20 / 28 of it
    large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    ink = Image.new("L", (1200, 900), 0)
    ink.paste(large, (int(rng.integers(20, 1180 - side)), int(rng.integers(20, 880 - side))))
    cover = np.asarray(ink.filter(ImageFilter.GaussianBlur(1.2)))[..., None] / 255
    paper = np.array([250, 248, 240]) / 255 * rng.uniform(0.85, 1)
    pen = np.array(PENS[rng.integers(len(PENS))]) / 255
    y, x = np.mgrid[0:900, 0:1200, 0:1][:2]
    light = 1 - rng.uniform(0, 0.3) * x / 1200 - rng.uniform(0, 0.3) * y / 900
    seen = ((1 - cover) * paper + cover * pen) * light + rng.normal(0, 0.02, cover.shape)
    buffer = BytesIO()
    Image.fromarray(np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photographed() -> list[tuple[Array, int, Digit]]:
    """20 test images of each digit, their labels, and what is made of their photos."""
    images, labels = mnist_test()
    rng = np.random.default_rng(2)
    chosen = [int(i) for label in range(10) for i in rng.choice(np.flatnonzero(labels == label), EACH, replace=False)]
    return [(images[i], int(labels[i]), decode(photo(images[i], rng), SPEC)) for i in chosen]


def test_photos_become_what_they_were(photographed: list[tuple[Array, int, Digit]]) -> None:
    """The same picture again, its ink 20 pixels long and centred by mass, as MNIST is."""
    alike, off_centre, longest, grid = [], [], [], np.arange(28)
    for image, _, digit in photographed:
        pixels = digit.pixels
        alike.append(np.corrcoef(pixels.ravel(), image.ravel())[0, 1])
        mass = pixels.sum()
        off_centre.append(max(abs(pixels.sum(1) @ grid / mass - 14), abs(pixels.sum(0) @ grid / mass - 14)))
        rows, columns = np.nonzero(pixels > 0.1)
        longest.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert np.median(alike) >= 0.97
    assert np.mean(np.array(off_centre) <= 0.6) >= 0.99
    assert np.mean((np.array(longest) >= 19) & (np.array(longest) <= 21)) >= 0.98


@pytest.mark.parametrize(("name", "enough"), [("cnn", 19), ("mlp", 18), ("lstm", 18)])
def test_photos_are_read_right(photographed: list[tuple[Array, int, Digit]], name: str, enough: int) -> None:
    """Of each digit's 20 photos; a rotated pipeline would fail at once."""
    model = predictor(shipped(name), read_card(shipped(name)))
    read = model.forward(np.stack([digit.pixels for _, _, digit in photographed])).argmax(axis=1)
    labels = np.array([label for _, label, _ in photographed])
    right = {label: int((read[labels == label] == label).sum()) for label in range(10)}
    assert min(right.values()) >= enough, right
