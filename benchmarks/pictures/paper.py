"""Paper that fills the photo or the scanner's glass."""

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import jpeg, lay, light, photograph, picture
from benchmarks.pictures.ink import Strokes, drawn_by
from benchmarks.pictures.view import View

PENS = ((25, 25, 30), (30, 45, 120), (38, 60, 150), (70, 70, 75), (90, 25, 30), (20, 80, 60))
SKINS = ((224, 172, 140), (198, 134, 100), (141, 85, 56), (90, 56, 40), (60, 40, 32))
SHADOWS = (0.45, 0.75)  # of the light
PENCIL = (0.12, 0.25)  # contrast of its lines to the paper


def photo(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A pen's digit anywhere on unevenly lit paper, 1200 x 900 or upright."""
    view = table(rng, 1200, 900)
    scene = written(grounds.paper(view, rng), view, drawn_by(image, rng), rng)
    return photograph(scene * light(scene.shape[:2], rng), rng)


def large_photo(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """The same as a telephone of today keeps it, 12 megapixels."""
    view = table(rng, 4000, 3000)
    scene = written(grounds.paper(view, rng), view, drawn_by(image, rng), rng)
    return photograph(scene * light(scene.shape[:2], rng), rng, blur=(1.0, 2.5))


def faint_pencil(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A hard pencil: 12 to 25 % darker than the paper, which has noise of 2 %."""
    view = table(rng, 1080, 900)
    digit = drawn_by(image, rng, 0.03, 0.09)
    cover = placed(view, digit, rng, (0.25, 0.6))
    grain = np.clip(0.8 + 0.25 * view.uneven((0.5, 0.5), rng), 0.3, 1)  # the paper's tooth takes the lead unevenly
    ground = grounds.paper(view, rng)
    scene = ground * (1 - rng.uniform(*PENCIL) * cover * grain / grain.mean())[..., None]
    return photograph(scene * light(scene.shape[:2], rng, 0.25), rng, noise=(0.02, 0.02))


def shadow_edge(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """The edge of a shadow - a hand's, the telephone's - runs across the digit."""
    view = table(rng, 1200, 900)
    digit = drawn_by(image, rng)
    height, at = place(view, digit, rng, (0.2, 0.5))
    scene = lay(grounds.paper(view, rng), view.ink(digit, at, height), grounds.colour(PENS, rng))
    angle, x, y = rng.uniform(0, 2 * np.pi), *view.points
    offset = rng.uniform(-0.3, 0.3) * height * min(1, digit.ratio + 0.3)  # from the digit's middle
    far = np.cos(angle) * (x - at[0]) + np.sin(angle) * (y - at[1]) - offset
    far = far + rng.uniform(0, 4) * view.uneven((60, 60), rng)  # hands and sleeves have no straight edges
    soft = rng.choice([0.5, rng.uniform(1, 8)])  # millimetres
    dimmed = 1 - (1 - rng.uniform(*SHADOWS)) * np.clip(0.5 + far / soft, 0, 1)
    return photograph(scene * dimmed[..., None] * light(scene.shape[:2], rng, 0.2), rng)


def finger(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A finger or thumb holds the paper, or lies before the lens, at one edge of the photo."""
    view = table(rng, 1200, 900)
    digit = drawn_by(image, rng)
    height, at = place(view, digit, rng, (0.15, 0.4), spread=0.5)
    scene = lay(grounds.paper(view, rng), view.ink(digit, at, height), grounds.colour(PENS, rng))
    scene = scene * light(scene.shape[:2], rng)
    return photograph(_fingered(scene, view, rng), rng)


def dust(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Crumbs, hairs and spots beside the digit and on it, of half a millimetre to two."""
    view = table(rng, 1200, 900)
    digit = drawn_by(image, rng, 0.05)
    scene = written(grounds.paper(view, rng), view, digit, rng, (0.2, 0.5))
    for _ in range(rng.integers(4, 30)):
        _spot(scene, rng.uniform(0.25, 1.0) / view.pixel, rng.uniform(0.2, 0.5) / view.pixel, rng)
    return photograph(scene * light(scene.shape[:2], rng), rng)


def _spot(scene: Array, long: float, short: float, rng: np.random.Generator) -> None:
    """Draws a dark ellipse somewhere into the scene; its half axes are in pixels."""
    reach, angle = int(max(long, short)) + 2, rng.uniform(0, np.pi)
    row, column = (int(rng.integers(reach, side - reach)) for side in scene.shape[:2])
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, beside = np.cos(angle) * right + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * right
    cover = np.clip((1 - np.hypot(along / long, beside / short)) * short + 0.5, 0, 1)
    there = slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1)
    scene[there] = lay(scene[there], rng.uniform(0.4, 0.95) * cover, rng.uniform(0.1, 0.6))


def lined_scan(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A sheet from a scanner, in grey: faint rules, and what is written on the back shines through, mirrored."""
    width, height = int(rng.integers(600, 1200)), int(rng.integers(700, 1300))
    view = View(width, height, 25.4 / rng.choice([150, 200]), turn=rng.normal(0, 0.01))
    digit = drawn_by(image, rng, 0.03, 0.1)
    ghost = view.ink(Strokes(digit.distance[:, ::-1], digit.per_height, (digit.middle[0], _mirrored(digit)),
                             digit.ratio), *place(view, digit, rng, (0.15, 0.5))[::-1], soft=4)  # fmt: skip
    scene = np.full((height, width, 1), rng.uniform(0.9, 0.98), np.float32)
    scene = lay(scene, rng.uniform(0.03, 0.09) * ghost, 0.4)
    scene = lay(scene, rng.uniform(0.1, 0.3) * view.lines(rng.uniform(7, 9), 0.2, rng.uniform(0, 7)), 0.4)
    scene = written(scene, view, digit, rng, (0.15, 0.5), colour=rng.uniform(0.1, 0.35))
    scene = scene + rng.normal(0, rng.uniform(0.004, 0.012), scene.shape)
    return jpeg(picture(scene[..., 0]), rng)


def written(
    scene: Array,
    view: View,
    digit: Strokes,
    rng: np.random.Generator,
    heights: tuple[float, float] = (0.1, 0.5),
    colour: Array | float | None = None,
) -> Array:
    """The scene with the digit on it, `heights` of the picture's height tall, by a pen that does not cover quite."""
    cover = placed(view, digit, rng, heights) * rng.uniform(0.88, 1)
    return lay(scene, cover, grounds.colour(PENS, rng) if colour is None else colour)


def _mirrored(digit: Strokes) -> float:
    return digit.distance.shape[1] - 1 - digit.middle[1]


def table(rng: np.random.Generator, long: int, short: int) -> View:
    """A telephone over a page: lying or upright, 80 to 200 mm of it, not quite straight above."""
    width, height = (long, short) if rng.random() < 0.6 else (short, long)
    lean = (float(rng.normal(0, 0.03)), float(rng.normal(0, 0.05)))
    return View(width, height, rng.uniform(80, 200) / long, turn=rng.normal(0, 0.06), lean=lean)


def place(
    view: View, digit: Strokes, rng: np.random.Generator, heights: tuple[float, float], spread: float = 1.0
) -> tuple[float, tuple[float, float]]:
    """A height in millimetres and a point so that the whole digit is in the picture; `spread` is the share of the room
    that is used."""
    tall = min(view.height * rng.uniform(*heights), 0.8 * view.width / max(digit.ratio, 0.3))
    room = np.array([view.width - 1.15 * tall * digit.ratio, view.height - 1.15 * tall]) - 0.05 * view.height
    column, row = (np.array([view.width, view.height]) + np.maximum(room, 0) * rng.uniform(-spread, spread, 2)) / 2
    x, y = view.at(column, row)
    return tall * view.pixel, (float(x), float(y))


def placed(
    view: View, digit: Strokes, rng: np.random.Generator, heights: tuple[float, float], soft: float = 1.0
) -> Array:
    """The share (h, w) of each pixel under a digit somewhere in the picture, hardly turned."""
    height, at = place(view, digit, rng, heights)
    return view.ink(digit, at, height, float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)), soft)


def _fingered(scene: Array, view: View, rng: np.random.Generator) -> Array:
    """With a finger that comes in over one edge by a twelfth to a sixth of the picture's shorter side."""
    height, width = scene.shape[:2]
    short = min(height, width)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    half, deep = rng.uniform(0.07, 0.14) * short, rng.uniform(0.08, 0.17) * short
    where = rng.integers(4)
    along, into = [(columns, height - 1 - rows), (rows, columns), (columns, rows), (rows, width - 1 - columns)][where]
    at = rng.uniform(0.15, 0.85) * (width if where in (0, 2) else height)
    slant = rng.uniform(-0.5, 0.5)
    beside = np.abs(along - at - slant * into)
    round_end = np.where(into > deep - half, np.hypot(beside, into - (deep - half)), beside)
    soft = rng.choice([2.0, rng.uniform(8, 25)])  # pixels; near the lens it is out of focus
    cover = np.clip(0.5 + (half - round_end) / soft, 0, 1)
    shaded = 0.6 + 0.4 * np.sqrt(np.clip(1 - (round_end / half) ** 2, 0, 1))  # round, so darker to its sides
    shadow = np.clip(0.5 + (half * 1.15 - round_end) / (soft + 30), 0, 1) * rng.uniform(0, 0.4)
    skin = grounds.colour(SKINS, rng) * rng.uniform(0.6, 0.95)
    return lay(scene * (1 - shadow)[..., None], cover, skin * shaded[..., None])
