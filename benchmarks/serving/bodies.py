"""What people post: the pictures that `make bench-serve` asks about, each as the bytes of a file."""

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.case import Array

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
LARGE = (4000, 3000)  # pixels
NOISE = 4.0  # levels of 255, standard deviation: a telephone's sensor indoors
QUALITY = 90  # of a telephone's JPEG

NAMES = {
    "png": "28 x 28 PNG",
    "drawing": "280 x 280 drawing",
    "photo": "1200 x 900 photo",
    "large": "12-megapixel photo",
}
"""By the names that `--bodies` takes: what they are called in tables."""

TELEPHONE = "large"


@dataclass(frozen=True)
class Body:
    """A file as it is posted."""

    name: str
    content: bytes
    kind: str  # its Content-Type

    @property
    def reported(self) -> str:
        return NAMES[self.name]

    @property
    def connections(self) -> tuple[int, ...]:
        """How many ask at once, in one load after the other. Thirty-two photos of a telephone at once take two cores
        longer than a load lasts, so that hardly one would be answered in it."""
        return (1, 8) if self.name == TELEPHONE else (1, 8, 32)

    @property
    def seconds(self) -> int:
        """That a load of it has to last at least, so that every client gets some answers."""
        return 4 if self.name == TELEPHONE else 1


def bodies(digit: Array, names: Collection[str] = tuple(NAMES)) -> list[Body]:
    """Those of `names`, in the order of NAMES. `digit` (28, 28) in [0, 1] is what the small PNG shows."""
    make = {"png": lambda: small(digit), "drawing": drawing, "photo": photo, "large": large}
    return [make[name]() for name in NAMES if name in names]


def small(digit: Array) -> Body:
    """A digit as MNIST has it, as a client of the model sends it: grey, white on black."""
    return _png("png", Image.fromarray(np.round(digit * 255).astype(np.uint8)), optimize=True)


def drawing() -> Body:
    """As a page sends what was drawn on its canvas, by toBlob: RGBA, dark on opaque white."""
    with Image.open(EXAMPLES / "7.png") as image:
        return _png("drawing", image.convert("RGBA"))


def photo() -> Body:
    return Body("photo", (EXAMPLES / "photo.jpg").read_bytes(), "image/jpeg")


def large() -> Body:
    """The photo as a telephone would have taken it: of twelve megapixels, each with the noise of a sensor. Always the
    same bytes."""
    with Image.open(EXAMPLES / "photo.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(0).standard_normal(pixels.shape, np.float32) * np.float32(NOISE)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return Body("large", file.getvalue(), "image/jpeg")


def _png(name: str, image: Image.Image, optimize: bool = False) -> Body:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=optimize)
    return Body(name, file.getvalue(), "image/png")
