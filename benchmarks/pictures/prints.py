"""Digits that no hand wrote: a stamp's and a printer's."""

import numpy as np
from PIL import ImageFilter

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import jpeg, lay, light, photograph, picture
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.ink import printed as in_print
from benchmarks.pictures.paper import placed, table
from benchmarks.pictures.view import View

PADS = ((160, 24, 40), (40, 50, 140), (96, 40, 130), (30, 30, 36), (20, 100, 70))


def stamped(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A rubber stamp: too little ink here, edges that did not print there."""
    view = table(rng, 1000, 800)
    cover = placed(view, drawn_by(image, rng, 0.09, 0.17), rng, (0.2, 0.55), soft=2)
    size = view.pixel * view.height / 100  # a hundredth of the picture, in millimetres
    fine, coarse = view.uneven((1.2 * size, 1.2 * size), rng), view.uneven((12 * size, 12 * size), rng)
    dense = np.clip(rng.uniform(0.75, 0.95) + 0.14 * coarse + 0.12 * fine, 0.15, 1)
    broken = np.clip((cover - 0.5) * 4 + 0.8 + 0.5 * fine + rng.uniform(0, 0.3) * coarse + 0.6, 0, 1)
    pressed = cover * dense * np.where(cover < 0.98, broken, 1) * (view.uneven((3 * size, 3 * size), rng) > -1.9)
    scene = lay(grounds.paper(view, rng), pressed, grounds.colour(PADS, rng))
    return photograph(scene * light(scene.shape[:2], rng), rng)


def printed(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A printer's digit, photographed or scanned; the label decides what is printed, the image is not used."""
    digit = in_print(label, rng)
    if rng.random() < 0.5:
        view = table(rng, 1000, 800)
        cover = placed(view, digit, rng, (0.1, 0.5))
        scene = lay(grounds.paper(view, rng), cover, rng.uniform(0.05, 0.25))
        return photograph(scene * light(scene.shape[:2], rng), rng)
    view = View(int(rng.integers(200, 800)), int(rng.integers(250, 800)), turn=rng.normal(0, 0.008))
    cover = placed(view, digit, rng, (0.25, 0.7))
    scene = lay(np.full((*cover.shape, 1), rng.uniform(0.92, 1), np.float32), cover, rng.uniform(0.02, 0.2))
    scene = scene + rng.normal(0, 0.01, scene.shape)
    return jpeg(picture(scene[..., 0]).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1))), rng)
