"""What lies under a digit or under its sheet: paper, table tops, cloth. All are scenes (h, w, 3) float32."""

import math

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures.camera import lay
from benchmarks.pictures.view import View

PAPERS = ((250, 248, 240), (246, 246, 248), (235, 232, 222), (228, 228, 226), (250, 244, 215))  # also recycled, cream
DARK = ((38, 36, 36), (52, 38, 30), (28, 34, 48), (30, 46, 38), (70, 62, 58), (60, 30, 32))
CLOTHS = ((178, 34, 40), (40, 80, 150), (45, 110, 70), (60, 60, 66), (200, 120, 40))
WOODS = ((150, 104, 66), (190, 146, 100), (104, 66, 42), (210, 178, 136), (74, 50, 36))
MARBLES = ((226, 224, 220), (200, 196, 190), (66, 74, 70), (52, 50, 54), (180, 160, 140))
CARPETS = ((96, 92, 90), (132, 110, 88), (60, 72, 96), (120, 52, 48), (150, 144, 130))


def colour(choices: tuple[tuple[int, int, int], ...], rng: np.random.Generator, spread: float = 0.03) -> Array:
    """One of them (3,), a little lighter or darker."""
    chosen = np.array(choices[rng.integers(len(choices))], np.float32) / 255
    return np.clip(chosen + np.float32(rng.uniform(-spread, spread)), 0, 1)


def paper(view: View, rng: np.random.Generator) -> Array:
    """White or nearly white paper with its fibres, some of it wavy or once folded."""
    relief = 0.004 * view.uneven((1.2, 1.2), rng) + rng.uniform(0, 0.012) * view.uneven((45, 45), rng)
    if rng.random() < 0.25:
        relief = relief + _fold(view, rng)
    return colour(PAPERS, rng) + relief[..., None]


def _fold(view: View, rng: np.random.Generator) -> Array:
    """One side of a fold lies darker, the fold itself is a line."""
    x, y = view.points
    angle = float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.03)
    at_x, at_y = view.at(rng.uniform(0.1, 0.9) * view.width, rng.uniform(0.1, 0.9) * view.height)
    far = math.cos(angle) * (x - at_x) + math.sin(angle) * (y - at_y)
    side = rng.uniform(0.01, 0.05) * np.clip(0.5 + far / 2, 0, 1)
    return -side - rng.uniform(0.02, 0.08) * np.exp(-((far / 0.4) ** 2))


def dark(view: View, rng: np.random.Generator) -> Array:
    """A dark table, a desk pad, a book's cover."""
    return colour(DARK, rng) + (0.012 * view.uneven((60, 60), rng) + 0.01 * view.uneven((0.8, 0.8), rng))[..., None]


def cloth(view: View, rng: np.random.Generator) -> Array:
    """A checked or striped table cloth, with its weave."""
    turn = rng.uniform(-0.6, 0.6)
    turned = View(view.width, view.height, view.pixel, view.middle, view.turn + turn, view.lean)
    period = rng.uniform(8, 40)  # millimetres
    dyed = turned.lines(period, period * rng.uniform(0.35, 0.6)) * rng.uniform(0.5, 1)
    if rng.random() < 0.6:
        across = turned.lines(period, period * rng.uniform(0.35, 0.6), across=True) * dyed.max()
        dyed = (dyed + across) / 2
    ground = lay(np.full((*dyed.shape, 3), rng.uniform(0.75, 0.92), np.float32), dyed, colour(CLOTHS, rng))
    weave = 0.03 * turned.uneven((3, 0.7), rng) + 0.03 * turned.uneven((0.7, 3), rng)
    return ground * (1 + weave + 0.04 * turned.uneven((70, 70), rng))[..., None]


def wood(view: View, rng: np.random.Generator) -> Array:
    """Boards with their grain."""
    turn, board = float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.15), rng.uniform(70, 180)
    turned = View(view.width, view.height, view.pixel, view.middle, view.turn + turn, view.lean)
    rings = turned.points[1] / rng.uniform(6, 16) + rng.uniform(0.5, 1.5) * turned.uneven((160, 40), rng)
    grain = rng.uniform(0.03, 0.09) * np.sin(2 * np.pi * rings) + 0.05 * turned.uneven((40, 0.9), rng)
    ground = colour(WOODS, rng) * (1 + grain + 0.05 * turned.uneven((200, 30), rng))[..., None]
    return lay(ground, 0.7 * turned.lines(board, rng.uniform(0.6, 2), rng.uniform(0, board)), 0.1)


def marble(view: View, rng: np.random.Generator) -> Array:
    """Polished stone with veins, in light or dark."""
    base, turn = colour(MARBLES, rng), rng.uniform(0, np.pi)
    veins = np.zeros((view.height, view.width), np.float32)
    for size, width, strength in ((90, 0.08, 0.5), (40, 0.07, 0.3), (18, 0.08, 0.15)):
        bent = view.uneven((size * 2, size), rng, turn) + 0.3 * view.uneven((size / 5, size / 6), rng)
        veins += strength * np.exp(-np.abs(bent) / width)
    clouds = 0.05 * view.uneven((60, 60), rng) + 0.02 * view.uneven((5, 5), rng)
    vein = 0.45 if base.mean() > 0.45 else 0.75
    return lay(base * (1 + clouds)[..., None], np.clip(veins, 0, 1), np.float32(vein))


def carpet(view: View, rng: np.random.Generator) -> Array:
    """Yarn of changing colours."""
    yarn = rng.uniform(0.1, 0.22) * view.uneven((2.2, 1.6), rng) + 0.1 * view.uneven((0.9, 0.9), rng)
    worn = 0.06 * view.uneven((50, 50), rng)
    hues = np.stack([0.04 * view.uneven((3, 3), rng) for _ in range(3)], axis=-1)
    return np.clip(colour(CARPETS, rng) * (1 + yarn + worn)[..., None] + hues, 0, 1)
