"""Fifteen ways in which pictures of digits get worse, in the manner of MNIST-C, all drawn by our own code.

Mu & Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision (2019), arXiv:1906.02337, has shot and impulse noise,
glass and motion blur, brightness, fog, stripe, spatter, dotted line, zigzag and edges. Its shear, scale, rotation and
shift are left out, because training augments with them; Gaussian noise, zoom blur, JPEG and waves stand in their place.
None is in training.augment or training.synthetic.finish. Each is a function of an image (H, W) in [0, 1], 1 = ink, and
a generator, and gives an image of that form that people still read.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from training.data import Array

SCALE = 4  # lines are drawn on a canvas so many times as large

Corruption = Callable[[Array, np.random.Generator], Array]


def gaussian_noise(image: Array, random: np.random.Generator) -> Array:
    return image + random.normal(0, 0.15, image.shape)


def shot_noise(image: Array, random: np.random.Generator) -> Array:
    """As few photons give: Poisson counts, 5 for full ink."""
    return np.asarray(random.poisson(5 * image) / 5)


def impulse_noise(image: Array, random: np.random.Generator) -> Array:
    """A tenth of the pixels is paper or full ink."""
    hit = random.random(image.shape) < 0.1
    return np.where(hit, random.integers(0, 2, image.shape), image)


def glass_blur(image: Array, random: np.random.Generator) -> Array:
    """Pixels change places with neighbours, between two slight blurs."""
    soft = ndimage.gaussian_filter(image, 0.7)
    rows, columns = np.indices(image.shape)
    for _ in range(2):
        rows = np.clip(rows + random.integers(-1, 2, image.shape), 0, image.shape[0] - 1)
        columns = np.clip(columns + random.integers(-1, 2, image.shape), 0, image.shape[1] - 1)
    return np.asarray(ndimage.gaussian_filter(soft[rows, columns], 0.7))


def motion_blur(image: Array, random: np.random.Generator) -> Array:
    """The mean over a straight way of seven pixels."""
    angle = random.uniform(0, np.pi)
    ways = [(t * np.sin(angle), t * np.cos(angle)) for t in np.linspace(-3, 3, 7)]
    return np.asarray(np.mean([ndimage.shift(image, way, order=1) for way in ways], axis=0) * 1.5)


def zoom_blur(image: Array, random: np.random.Generator) -> Array:
    """The mean over enlargements from the centre, up to a quarter."""
    centre = (np.array(image.shape) - 1) / 2
    factors = 1 / np.linspace(1, random.uniform(1.15, 1.3), 6)
    zoomed = [ndimage.affine_transform(image, np.full(2, f), centre * (1 - f), order=1) for f in factors]
    return np.asarray(np.mean(zoomed, axis=0) * 1.2)


def brightness(image: Array, random: np.random.Generator) -> Array:
    """A veil over all of it: empty paper is grey."""
    return np.asarray(image * 0.6 + random.uniform(0.2, 0.4))


def fog(image: Array, random: np.random.Generator) -> Array:
    """Clouds: noise of several sizes."""
    clouds = np.zeros(image.shape)
    for size in (2, 4, 7, 14):
        grid = random.random((size + 1, size + 1))
        clouds += (
            np.asarray(ndimage.zoom(grid, (image.shape[0] + 0.5) / (size + 1), order=1))[
                : image.shape[0], : image.shape[1]
            ]
            / size
        )
    clouds = (clouds - clouds.min()) / np.ptp(clouds)
    return np.asarray(image * 0.6 + 0.4 * clouds)


def jpeg(image: Array, random: np.random.Generator) -> Array:
    """Stored at a quality of 8 to 15 of 100."""
    stored = io.BytesIO()
    Image.fromarray((image * 255).astype(np.uint8)).save(stored, "JPEG", quality=int(random.integers(8, 16)))
    return np.asarray(Image.open(stored)) / 255


def wave(image: Array, random: np.random.Generator) -> Array:
    """Rows and columns sway, as on a page that is not flat."""
    y, x = np.indices(image.shape).astype(float)
    period, phases = random.uniform(9, 14, 2), random.uniform(0, 2 * np.pi, 2)
    places = [y + np.sin(2 * np.pi * x / period[0] + phases[0]),
              x + np.sin(2 * np.pi * y / period[1] + phases[1])]  # fmt: skip
    return np.asarray(ndimage.map_coordinates(image, places, order=1))


def spatter(image: Array, random: np.random.Generator) -> Array:
    """Drops, where a smooth noise is high."""
    level = ndimage.gaussian_filter(random.random(image.shape), 1.0)
    drops = np.clip((level - np.quantile(level, 0.93)) * 25, 0, 1)
    return np.asarray(np.maximum(image, drops * random.uniform(0.5, 0.9)))


def stripe(image: Array, random: np.random.Generator) -> Array:
    """A band across the middle is inverted."""
    struck = image.copy()
    at, width = int(random.integers(9, 15)), int(random.integers(4, 6))
    band = np.s_[:, at : at + width] if random.random() < 0.5 else np.s_[at : at + width]
    struck[band] = 1 - struck[band]
    return struck


def dotted_line(image: Array, random: np.random.Generator) -> Array:
    """Through the picture from edge to edge."""
    start, end = _edge_points(image.shape, random)
    places = start + np.linspace(0, 1, 40)[:, None] * (end - start)
    return _drawn(image, [places[i : i + 2] for i in range(0, 40, 4)], 1.3)


def zigzag(image: Array, random: np.random.Generator) -> Array:
    """A zigzag through the picture from edge to edge."""
    start, end = _edge_points(image.shape, random)
    across = np.array([end[1] - start[1], start[0] - end[0]]) / np.linalg.norm(end - start)
    places = start + np.linspace(0, 1, 11)[:, None] * (end - start)
    places[1::2] += across * 1.5
    places[2:-1:2] -= across * 1.5
    return _drawn(image, [places], 1.0)


def edges(image: Array, random: np.random.Generator) -> Array:
    """Only the outlines are left."""
    soft = ndimage.gaussian_filter(image, 0.7)
    slope = np.hypot(ndimage.sobel(soft, 0), ndimage.sobel(soft, 1))
    return np.asarray(np.clip((slope / slope.max() - 0.25) * 3, 0, 1))


def _edge_points(shape: tuple[int, ...], random: np.random.Generator) -> tuple[Array, Array]:
    """Two points (x, y) on opposite sides."""
    high, wide = shape[0] - 1.0, shape[1] - 1.0
    first, second = random.uniform(0.15, 0.85, 2)
    if random.random() < 0.5:
        return np.array([0.0, first * high]), np.array([wide, second * high])
    return np.array([first * wide, 0.0]), np.array([second * wide, high])


def _drawn(image: Array, lines: list[Array], width: float) -> Array:
    """The image with lines of points (x, y) upon it, as wide as `width` pixels."""
    canvas = Image.new("L", (image.shape[1] * SCALE, image.shape[0] * SCALE))
    pen = ImageDraw.Draw(canvas)
    for points in lines:
        pen.line(
            [tuple(point) for point in (points + 0.5) * SCALE], fill=255, width=round(width * SCALE), joint="curve"
        )
    ink = np.asarray(canvas.resize((image.shape[1], image.shape[0]), Image.Resampling.BOX)) / 255
    return np.maximum(image, ink)


CORRUPTIONS: dict[str, Corruption] = {
    one.__name__: one
    for one in (
        gaussian_noise, shot_noise, impulse_noise, glass_blur, motion_blur, zoom_blur, brightness, fog, jpeg, wave,
        spatter, stripe, dotted_line, zigzag, edges,
    )
}  # fmt: skip


def corrupted(images: Array, name: str, seed: int = 0) -> Array:
    """Images (n, H, W) float32 in [0, 1] after one of CORRUPTIONS; number i follows from (seed, i) alone."""
    corrupt = CORRUPTIONS[name]
    done = [corrupt(image, np.random.default_rng((seed, i))) for i, image in enumerate(images)]
    return np.clip(done, 0, 1).astype(np.float32)
