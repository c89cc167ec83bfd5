"""A digit on a screen, photographed: what the screen's pixels and the camera's make of each other."""

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures.camera import lay, light, photograph
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.paper import placed
from benchmarks.pictures.view import View


def screen_moire(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """The screen has columns of red, green and blue. Where one of its pixels is about as wide as the camera's, or half
    as wide, stripes appear; from near, the pixels themselves are seen. The picture on it is light or dark."""
    width, height = ((1200, 900), (900, 1200))[rng.integers(2)]
    pitch = float(rng.choice([rng.uniform(0.92, 1.08), rng.uniform(1.9, 2.1), rng.uniform(2.5, 7)]))  # camera's pixels
    lean = (float(rng.normal(0, 0.02)), float(rng.normal(0, 0.03)))
    view = View(width, height, 1 / pitch, turn=rng.normal(0, 0.05), lean=lean)  # a point is a pixel of the screen
    ground, ink = rng.uniform(0.85, 1), rng.uniform(0, 0.25)
    if rng.random() < 0.35:
        ground, ink = rng.uniform(0.05, 0.18), rng.uniform(0.8, 1)
    cover = placed(view, drawn_by(image, rng, 0.04, 0.13), rng, (0.15, 0.5), soft=max(1, pitch))
    scene = lay(np.full((height, width, 3), ground, np.float32), cover, ink)
    scene = scene * np.array([0.95, 0.98, 1.0], np.float32) * _grid(view, pitch, rng) + rng.uniform(0.01, 0.05)
    return photograph((scene * light(scene.shape[:2], rng, 0.2)).astype(np.float32), rng, blur=(0.4, 0.9))


def _grid(view: View, pitch: float, rng: np.random.Generator) -> Array:
    """What each of the camera's red, green and blue pixels gets of the screen's: (h, w, 3), 1 in the mean."""
    x, y = view.points
    bent = rng.uniform(-3e-8, 3e-8)  # the lens is not quite straight, so that stripes are curves
    distance = (x - x.mean()) ** 2 + (y - y.mean()) ** 2
    x, y = x * (1 + bent * distance / view.pixel**2), y * (1 + bent * distance / view.pixel**2)
    seen = min(1.0, (pitch / 2.5) ** 0.5)  # how much a lens keeps of what is that fine
    columns, rows = rng.uniform(0.15, 0.4) * seen, rng.uniform(0.08, 0.25) * seen
    third = np.arange(3, dtype=np.float32) / 3
    return (1 + columns * np.cos(2 * np.pi * (x[..., None] + third))) * (1 + rows * np.cos(2 * np.pi * y))[..., None]
