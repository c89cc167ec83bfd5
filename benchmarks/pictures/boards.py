"""White- and blackboards."""

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import lay, light, photograph
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.paper import placed
from benchmarks.pictures.view import View

MARKERS = ((30, 30, 34), (24, 50, 150), (180, 30, 40), (20, 110, 60))
BOARDS = ((40, 62, 52), (34, 48, 44), (36, 36, 38), (50, 54, 58), (28, 56, 44))
CHALKS = ((235, 235, 228), (235, 235, 228), (240, 220, 140), (235, 180, 180))


def whiteboard(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A marker on a light grey glossy board in which lamps and windows are mirrored."""
    view = _frame(rng)
    scene = np.full((view.height, view.width, 3), rng.uniform(0.72, 0.88), np.float32) * rng.uniform(0.97, 1, 3)
    wiped = rng.uniform(0.01, 0.05) * np.clip(view.uneven((160, 40), rng, rng.uniform(-0.5, 0.5)), 0, 2)
    scene = lay(scene, wiped, grounds.colour(MARKERS, rng))  # what is left of earlier writing
    dry = np.clip(0.95 + 0.08 * view.uneven((20, 4), rng, rng.uniform(0, np.pi)), 0.6, 1)
    cover = placed(view, drawn_by(image, rng, 0.04, 0.1), rng, (0.15, 0.55))
    scene = lay(scene, cover * dry, grounds.colour(MARKERS, rng)) * light(scene.shape[:2], rng, 0.3)
    return photograph(_glared(scene, rng).astype(np.float32), rng)


def blackboard(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Chalk, with gaps where the board is smooth, on a ground that was wiped and not washed."""
    view = _frame(rng)
    smears = 0.05 * view.uneven((220, 30), rng, rng.uniform(-0.6, 0.6)) + 0.02 * view.uneven((60, 60), rng)
    smears = rng.uniform(0.5, 1.3) * np.clip(smears + 0.04, 0, 1) + 0.015 * view.uneven((1.5, 1.5), rng)
    scene = grounds.colour(BOARDS, rng) + smears[..., None]
    cover = placed(view, drawn_by(image, rng, 0.05, 0.12), rng, (0.15, 0.55), soft=3)
    rough = 0.65 * view.uneven((2.2, 2.2), rng) + 0.5 * view.uneven((9, 5), rng, rng.uniform(0, np.pi))
    chalk = cover * np.clip(rng.uniform(0.7, 1) + rng.uniform(0.25, 0.5) * rough, 0, 1)
    dusty = rng.uniform(0.02, 0.08) * np.clip(view.uneven((12, 12), rng), 0, 1) * (cover > 0)
    scene = lay(scene, np.clip(chalk + dusty, 0, 1), grounds.colour(CHALKS, rng))
    return photograph(scene * light(scene.shape[:2], rng, 0.4), rng)


def _frame(rng: np.random.Generator) -> View:
    """300 to 900 millimetres of a board, rarely seen from straight before it."""
    width, height = ((1280, 960), (1200, 900), (960, 1280), (1600, 900))[rng.integers(4)]
    lean = (float(rng.normal(0, 0.1)), float(rng.normal(0, 0.05)))
    return View(width, height, rng.uniform(300, 900) / width, turn=rng.normal(0, 0.04), lean=lean)


def _glared(scene: Array, rng: np.random.Generator) -> Array:
    """One to three mirrored lamps, round or long; they lighten the ground and what is written on it."""
    height, width = scene.shape[:2]
    rows, columns = np.ogrid[0:height, 0:width]
    for _ in range(rng.integers(1, 4)):
        angle, x, y = rng.uniform(-0.4, 0.4), rng.uniform(0, width), rng.uniform(0, height)
        long, short = rng.uniform(0.05, 0.3) * width, rng.uniform(0.04, 0.12) * width
        along = np.cos(angle) * (columns - x) + np.sin(angle) * (rows - y)
        beside = np.cos(angle) * (rows - y) - np.sin(angle) * (columns - x)
        far = (along / long) ** 2 + (beside / short) ** 2
        scene = lay(scene, rng.uniform(0.3, 0.75) * np.exp(-far), 1.05)
    return scene
