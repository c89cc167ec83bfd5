"""A white sheet on something else: whole in the photo, or cut by its edges."""

from collections.abc import Callable

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures import grounds
from benchmarks.pictures.camera import lay, light, photograph
from benchmarks.pictures.ink import Strokes, drawn_by
from benchmarks.pictures.paper import PENS
from benchmarks.pictures.view import View

TURN = 15  # degrees, of the sheet
UPRIGHT = 12  # degrees, of the digit: who turns a sheet further turns the telephone with it
FILLS = (0.1, 0.9)  # of the photo
SHAPES = (1.0, 1.0, 1.414, 1 / 1.414, 1.55, 0.65)  # width by height: notes, A4 and its halves, cards
PHOTOS = ((4, 3), (3, 4), (16, 9), (9, 16), (1, 1))
WIDE = 250.0  # millimetres that a photo's longer side sees
Backdrop = Callable[[View, np.random.Generator], Array]
Box = tuple[float, float, float, float]  # left, top, right, bottom in millimetres, (0, 0) in the sheet's middle


def sheet_dark(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """On a dark table."""
    return _whole(image, grounds.dark, rng)


def sheet_pattern(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """On checked or striped cloth."""
    return _whole(image, grounds.cloth, rng)


def sheet_texture(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """On wood, marble or carpet."""
    return _whole(image, _textures(rng), rng)


def sheet_cut(image: Array, label: int, rng: np.random.Generator) -> bytes:
    """On any of them, and one or two edges of the photo cut the sheet off, not its digit."""
    ground = (grounds.dark, grounds.cloth, _textures(rng))[rng.integers(3)]
    while True:
        view, sheet = _framed(rng)
        left, top, right, bottom = sheet
        push = rng.uniform(0.1, 0.4, 2) * (right - left, bottom - top) * rng.choice([-1, 1], 2)
        push = push * ((1, 0), (0, 1), (1, 1))[rng.integers(3)]
        long = (view.width * view.pixel / 2 - right, view.height * view.pixel / 2 - bottom)
        middle = np.sign(push) * -np.maximum(np.array(long), 0) - push
        view = View(view.width, view.height, view.pixel, (float(middle[0]), float(middle[1])), view.turn, view.lean)
        shown = _shown(view, sheet)
        cut = sum(not _in(view, *view.seen(*corner)) for corner in _corners(sheet))
        if shown is not None and 1 <= cut <= 3:
            return _photo(image, view, sheet, shown, ground, rng)


def _textures(rng: np.random.Generator) -> Backdrop:
    return (grounds.wood, grounds.marble, grounds.carpet)[rng.integers(3)]


def _whole(image: Array, ground: Backdrop, rng: np.random.Generator) -> bytes:
    while True:
        view, sheet = _framed(rng)
        width, height = view.width * view.pixel, view.height * view.pixel
        room = np.maximum(np.array([width - (sheet[2] - sheet[0]), height - (sheet[3] - sheet[1])]) / 2, 0)
        middle = rng.uniform(-1, 1, 2) * room * rng.uniform(0, 1)
        view = View(view.width, view.height, view.pixel, (float(middle[0]), float(middle[1])), view.turn, view.lean)
        if all(_in(view, *view.seen(*corner)) for corner in _corners(sheet)):
            return _photo(image, view, sheet, sheet, ground, rng)


def _framed(rng: np.random.Generator) -> tuple[View, Box]:
    """A photo of 1000 to 1600 pixels and a sheet that fills some of it."""
    across, down = PHOTOS[rng.integers(len(PHOTOS))]
    long = rng.integers(1000, 1601)
    width, height = (round(long * side / max(across, down)) for side in (across, down))
    turn = float(np.radians(np.clip(rng.normal(0, 6), -TURN, TURN)))
    lean = (float(rng.normal(0, 0.04)), float(rng.normal(0, 0.06)))
    view = View(width, height, WIDE / long, turn=turn, lean=lean)
    fills = rng.uniform(*FILLS)
    shape = across / down * rng.uniform(0.9, 1.1) if fills > 0.5 else SHAPES[rng.integers(len(SHAPES))]
    tall = np.sqrt(fills * width * height / shape) * view.pixel
    return view, (-tall * shape / 2, -tall / 2, tall * shape / 2, tall / 2)


def _photo(image: Array, view: View, sheet: Box, shown: Box, ground: Backdrop, rng: np.random.Generator) -> bytes:
    """The sheet on its ground, with a digit where it is shown."""
    outside = view.box(*sheet)
    shadow = rng.uniform(0.1, 0.45) * np.exp(-np.maximum(outside, 0) / rng.uniform(0.8, 4))
    scene = ground(view, rng) * (1 - shadow)[..., None]
    scene = lay(scene, np.clip(0.5 - outside / view.pixel, 0, 1), grounds.paper(view, rng))
    scene = lay(scene, _ink(image, view, shown, rng), grounds.colour(PENS, rng))
    return photograph(scene * light(scene.shape[:2], rng), rng)


def _ink(image: Array, view: View, shown: Box, rng: np.random.Generator) -> Array:
    """A digit of a quarter to two thirds of the paper that is shown, and of a tenth of the photo at least."""
    digit = drawn_by(image, rng, 0.035)
    wide, tall = shown[2] - shown[0], shown[3] - shown[1]
    most = min(0.75 * tall, 0.75 * wide / max(digit.ratio, 0.3))
    least = 0.1 * view.height * view.pixel
    height = float(np.clip(rng.uniform(0.25, 0.65) * tall, least, max(least, most)))
    return view.ink(digit, _at(digit, height, shown, rng), height, _turn(view, rng))


def _at(digit: Strokes, height: float, shown: Box, rng: np.random.Generator) -> tuple[float, float]:
    margin = 0.1 * height
    x_room = max(0.0, (shown[2] - shown[0] - height * digit.ratio) / 2 - margin)
    y_room = max(0.0, (shown[3] - shown[1] - height) / 2 - margin)
    x, y = np.clip(rng.normal(0, 0.4, 2), -1, 1) * (x_room, y_room)
    return float((shown[0] + shown[2]) / 2 + x), float((shown[1] + shown[3]) / 2 + y)


def _turn(view: View, rng: np.random.Generator) -> float:
    """How far the digit is turned on its sheet: hardly, but no digit lies further than UPRIGHT in the photo."""
    most = np.radians(UPRIGHT)
    return float(np.clip(view.turn + rng.normal(0, 0.03), -most, most)) - view.turn


def _shown(view: View, sheet: Box) -> Box | None:
    """An upright box of the sheet that is in the photo whole, or None where too little of it is."""
    edges = [view.at(column, row) for column in (0, view.width) for row in (0, view.height)]
    xs, ys = sorted(float(x) for x, _ in edges), sorted(float(y) for _, y in edges)
    shown = max(sheet[0], xs[1]), max(sheet[1], ys[1]), min(sheet[2], xs[2]), min(sheet[3], ys[2])
    enough = 0.25 * min(view.width, view.height) * view.pixel
    return shown if shown[2] - shown[0] > enough and shown[3] - shown[1] > enough else None


def _corners(sheet: Box) -> list[tuple[float, float]]:
    return [(x, y) for x in (sheet[0], sheet[2]) for y in (sheet[1], sheet[3])]


def _in(view: View, column: float, row: float) -> bool:
    return 4 <= column < view.width - 4 and 4 <= row < view.height - 4
