"""Pictures with more than one digit, which no net that reads one can read: for the warning that says so."""

from collections.abc import Sequence

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import lay, light, photograph
from benchmarks.pictures.ink import strokes
from benchmarks.pictures.paper import PENS, table


def several(images: Sequence[Array], rng: np.random.Generator) -> bytes:
    """Two or three digits of MNIST (28, 28) written side by side with one pen, as a photo of 1200 x 900 or upright."""
    view, width = table(rng, 1200, 900), float(rng.uniform(0.04, 0.12))
    digits = [strokes(image, width) for image in images]
    gaps = rng.uniform(0.2, 0.6, len(digits) - 1)  # of their height
    wide = sum(digit.ratio for digit in digits) + float(gaps.sum())
    height = min(0.4 * view.height, 0.85 * view.width / wide) * rng.uniform(0.5, 1) * view.pixel
    room = np.maximum(np.array([view.width * view.pixel - wide * height, view.height * view.pixel - height]), 0) / 2
    left, y = rng.uniform(-0.8, 0.8, 2) * room - (wide * height / 2, 0)
    scene, ink = grounds.paper(view, rng), grounds.colour(PENS, rng)
    for digit, gap in zip(digits, [*gaps, 0], strict=True):
        at = (float(left + digit.ratio * height / 2), float(y + rng.normal(0, 0.04) * height))
        scene = lay(scene, view.ink(digit, at, height * rng.uniform(0.92, 1.08), rng.normal(0, 0.05)), ink)
        left += (digit.ratio + gap) * height
    return photograph(scene * light(scene.shape[:2], rng), rng)
