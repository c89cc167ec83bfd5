"""Paper that has something on it already: boxes to be filled in, squares, rules, and red pens beside print."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import lay, light, photograph
from benchmarks.pictures.ink import drawn_by
from benchmarks.pictures.paper import PENS, place, placed
from benchmarks.pictures.view import View

SQUARE = 5.0  # millimetres
BLUES = ((30, 45, 120), (38, 60, 150), (25, 40, 100))
PEN = ((25, 25, 30), *BLUES)
REDS = ((200, 20, 30), (220, 40, 50), (170, 20, 40))
FRAMES = ((20, 20, 20), (90, 90, 90), (200, 90, 60), (60, 120, 190), (60, 150, 90))
GRIDS = ((150, 150, 155), (175, 180, 188), (150, 185, 215), (165, 200, 225))
WORDS = (
    "the",
    "and",
    "of",
    "numbers",
    "answer",
    "page",
    "name",
    "class",
    "sum",
    "write",
    "below",
    "each",
    "line",
    "date",
)


def form_box(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """In a box to be filled in, thin or thick, dark or coloured; some digits touch or cross it."""
    view = _near(rng, 25, 60)
    digit = drawn_by(image, rng, 0.04, 0.12)
    scene = grounds.paper(view, rng)
    high = view.height * view.pixel * rng.uniform(0.45, 0.85)
    wide = min(high * rng.uniform(0.7, 1.3), view.width * view.pixel * 0.85)
    thick = rng.choice([rng.uniform(0.15, 0.4), rng.uniform(0.5, 1.2)])  # millimetres
    outside = view.box(-wide / 2, -high / 2, wide / 2, high / 2)
    frame = np.clip(0.5 - (np.abs(outside) - thick / 2) / view.pixel, 0, 1) * min(1, thick / view.pixel)
    scene = lay(scene, frame * rng.uniform(0.7, 1), grounds.colour(FRAMES, rng))
    height = min(high * rng.uniform(0.5, 0.85), 0.85 * wide / max(digit.ratio, 0.3))
    room = np.maximum(np.array([wide - height * digit.ratio, high - height]) / 2 - thick, 0)
    crossing = rng.random() < 0.25
    at = rng.uniform(-1, 1, 2) * (0.8 * room + (0.12 * height if crossing else 0))
    scene = lay(scene, view.ink(digit, (at[0], at[1]), height, rng.normal(0, 0.05)), grounds.colour(PENS, rng))
    return photograph(scene * light(scene.shape[:2], rng, 0.25), rng)


def squared_paper(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Squares of 5 mm, grey or pale blue; a pen's digit two to six of them tall."""
    view = _near(rng, 45, 130)
    scene = _squared(view, grounds.colour(GRIDS, rng), rng)
    return _filled(scene, view, image, grounds.colour(PEN, rng), rng, (2, 6), SQUARE)


def blue_on_squared(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Blue ink on squares of nearly its own hue, only paler."""
    view = _near(rng, 45, 110)
    ink = grounds.colour(BLUES, rng)
    pale = 1 - (1 - ink) * rng.uniform(0.35, 0.6) + rng.uniform(-0.03, 0.03, 3)
    return _filled(_squared(view, pale, rng), view, image, ink, rng, (2, 6), SQUARE)


def ruled_paper(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """Rules of 7 to 9 mm, often a margin's red line; a digit of one to four lines' height."""
    view, period = _near(rng, 50, 140), rng.uniform(7, 9)
    scene = grounds.paper(view, rng)
    rules = view.lines(period, rng.uniform(0.15, 0.4), rng.uniform(0, period))
    scene = lay(scene, rng.uniform(0.6, 1) * rules, grounds.colour(GRIDS, rng))
    if rng.random() < 0.4:
        margin = view.at(view.width * rng.choice([0.08, 0.92]), view.height / 2)[0]
        scene = lay(scene, view.lines(1000, 0.35, float(margin), across=True), np.array([0.85, 0.45, 0.45]))
    return _filled(scene, view, image, grounds.colour(PEN, rng), rng, (1.2, 4), period)


def red_ink(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """A teacher's red pen, half of them on a page with pale print above and below."""
    view = _near(rng, 60, 130)
    scene, digit = grounds.paper(view, rng), drawn_by(image, rng, 0.035, 0.1)
    height, at = place(view, digit, rng, (0.25, 0.5), spread=0.6)
    if rng.random() < 0.5:
        scene = lay(scene, rng.uniform(0.25, 0.5) * _print(view, at[1], height, rng), 0.1)
    scene = lay(scene, view.ink(digit, at, height, rng.normal(0, 0.05)), grounds.colour(REDS, rng))
    return photograph(scene * light(scene.shape[:2], rng), rng)


def _near(rng: np.random.Generator, least: float, most: float) -> View:
    """A telephone near a page: so many millimetres in the photo's longer side."""
    width, height = ((1000, 750), (750, 1000), (1200, 900), (800, 800))[rng.integers(4)]
    lean = (float(rng.normal(0, 0.03)), float(rng.normal(0, 0.04)))
    return View(width, height, rng.uniform(least, most) / max(width, height), turn=rng.normal(0, 0.05), lean=lean)


def _squared(view: View, colour: Array, rng: np.random.Generator) -> Array:
    thick, strength = rng.uniform(0.15, 0.3), rng.uniform(0.7, 1)
    both = [view.lines(SQUARE, thick, rng.uniform(0, SQUARE), across=across) for across in (False, True)]
    return lay(grounds.paper(view, rng), strength * np.maximum(*both), colour)


def _filled(
    scene: Array,
    view: View,
    image: Array,
    ink: Array,
    rng: np.random.Generator,
    heights: tuple[float, float],
    unit: float,
) -> bytes:
    """The photo of the paper with a digit `heights` units tall, of 0.5 to 1.2 mm of ink or a felt pen's."""
    high = view.height * view.pixel
    tall = min(unit * rng.uniform(*heights), 0.75 * high)
    pen = rng.uniform(0.5, 1.2) / tall
    digit = drawn_by(image, rng, max(0.03, pen), max(0.04, min(0.13, 1.5 * pen)))
    cover = placed(view, digit, rng, (tall / high, tall / high))
    scene = lay(scene, cover * rng.uniform(0.85, 1), ink)
    return photograph(scene * light(scene.shape[:2], rng), rng)


def _print(view: View, middle: float, height: float, rng: np.random.Generator) -> Array:
    """The share of each pixel under print: lines of words that leave the digit's height free."""
    size, page = rng.uniform(2.6, 3.6), Image.new("L", (view.width, view.height))  # millimetres
    font, pen = ImageFont.load_default(size / view.pixel), ImageDraw.Draw(page)
    for top in np.arange(2.0, view.height * view.pixel, 1.8 * size):
        if abs(float(view.at(view.width / 2, top / view.pixel)[1]) - middle) > 0.75 * height + size:
            pen.text((3 / view.pixel, top / view.pixel), " ".join(rng.choice(WORDS, 30)), 255, font)
    return np.asarray(page, np.float32) / 255
