"""From a scene to a file, as telephones, scanners and programs make them. Brightness is as files keep it, 0 to 1."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.case import Array

Range = tuple[float, float]
BLUR = (0.5, 1.3)  # pixels; a steady hand and a fair focus
NOISE = (0.006, 0.022)  # standard deviation, from daylight to a lamp in the evening
QUALITY = (70, 91)  # of JPEG: from messengers to cameras
TINT = 0.05  # how far the white balance is off to yellow or blue, at most
GREEN = 0.012  # and to green or purple


def lay(scene: Array, cover: Array, colour: Array | float) -> Array:
    """`scene` (h, w, 3) where `cover` (h, w) is 0, `colour` (3,) or (h, w, 3) where it is 1."""
    return scene + cover[..., None] * (colour - scene)


def light(shape: tuple[int, int], rng: np.random.Generator, depth: float = 0.35) -> Array:
    """Uneven light (h, w, 1) float32: falling off to one side by up to `depth`, and a little to the corners."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, depth)
    across = np.cos(angle) * columns + np.sin(angle) * rows[:, None]
    corners = rng.uniform(0, 0.12) * (columns**2 + rows[:, None] ** 2) / 2
    return (1 - fall * (across + 1.42) / 2.84 - corners)[..., None].astype(np.float32)


def photograph(
    scene: Array, rng: np.random.Generator, blur: Range = BLUR, noise: Range = NOISE, quality: Range = QUALITY
) -> bytes:
    """The JPEG that a telephone makes of a scene (h, w, 3): its optics, its sensor, and often its sharpening."""
    warm, green = rng.uniform(-TINT, TINT), rng.uniform(-GREEN, GREEN)
    tint = np.array([1 + warm, 1 + green, 1 - warm], np.float32)
    image = picture(scene * tint).filter(ImageFilter.GaussianBlur(rng.uniform(*blur)))
    grain = rng.standard_normal(scene.shape, np.float32) * (255 * rng.uniform(*noise))
    image = Image.fromarray(np.clip(np.asarray(image) + grain + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(1, 2), int(rng.integers(40, 110)), 2))
    return jpeg(image, rng, quality)


def jpeg(image: Image.Image, rng: np.random.Generator, quality: Range = QUALITY) -> bytes:
    """Compressed as much as one of the programs does."""
    return _file(image, "JPEG", quality=int(rng.integers(*quality)))


def png(image: Image.Image) -> bytes:
    return _file(image, "PNG")


def picture(scene: Array) -> Image.Image:
    """A scene (h, w, 3) or (h, w, 4), or (h, w) in grey."""
    return Image.fromarray(np.rint(255 * np.clip(scene, 0, 1)).astype(np.uint8))


def _file(image: Image.Image, form: str, **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
