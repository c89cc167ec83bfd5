"""What people draw that is no sign: shapes, blobs, scribbles, crosses, parts of digits and several digits at once."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from training.data import INK, SIDE, Array
from training.synthetic.digits import VARIANTS
from training.synthetic.draws import Draws
from training.synthetic.strokes import Glyph, Hand, arc, centred, evenly, line, through

FINE = 4  # pixels of a filled shape for one of the image, per side

Shape = Callable[[Draws], Glyph]


def rectangle(d: Draws) -> Glyph:
    width = d(1.05, 1.9)
    return [line((0, 0), (width, 0), (width, 1), (0, 1), (0, 0))]


def polygon(d: Draws) -> Glyph:
    corners = d.one_of((3, 3, 5))
    turn = d.rng.uniform(0, 2 * math.pi) + np.linspace(0, 2 * math.pi, corners + 1)
    return [np.stack([np.cos(turn), np.sin(turn)], axis=1) / 2]


def diamond(d: Draws) -> Glyph:
    return [line((0, 0.5), (0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)), line((0, 0.5), (1, 0.5))]


def crossed_circle(d: Draws) -> Glyph:
    turn = d(0, math.pi / 2)
    x, y = math.cos(turn) / 2, math.sin(turn) / 2
    return [arc((0, 0), (0.5, 0.5), -90, 360), line((-x, -y), (x, y)), line((y, -x), (-y, x))]


def target(d: Draws) -> Glyph:
    inner = d(0.15, 0.3)
    return [arc((0, 0), (0.5, 0.5), -90, 365), arc((0, 0), (inner, inner), 0, 365)]


def spiral(d: Draws) -> Glyph:
    turn = np.linspace(0, 2 * math.pi * d(2, 3.2), 60) * d.one_of((-1, 1)) + d.rng.uniform(0, 6)
    size = np.linspace(0.03, 0.5, 60)
    return [np.stack([size * np.cos(turn), size * np.sin(turn)], axis=1)]


def grid(d: Draws) -> Glyph:
    lines = int(d(2, 5)) + 1
    places = [i / (lines - 1) for i in range(lines)]
    return [line((x, 0), (x, 1)) for x in places] + [line((0, y), (1, y)) for y in places]


def cube(d: Draws) -> Glyph:
    a = d(0.25, 0.4)
    face = line((0, a), (0, 1), (1 - a, 1), (1 - a, a), (0, a), (a, 0), (1, 0), (1, 1 - a), (1 - a, 1))
    return [face, line((1, 0), (1 - a, a))]


def stairs(d: Draws) -> Glyph:
    steps = int(d(3, 5))
    corners = [(x / steps, y / steps) for x in range(steps + 1) for y in (x, x + 1) if y <= steps]
    return [line(*[(x, 1 - y) for x, y in corners])]


SHAPES: dict[str, Shape] = {
    "rectangle": rectangle,
    "polygon": polygon,
    "diamond": diamond,
    "crossed circle": crossed_circle,
    "target": target,
    "spiral": spiral,
    "grid": grid,
    "cube": cube,
    "stairs": stairs,
}
HELD_OUT_SHAPES = ("diamond", "spiral", "cube")


def blob(d: Draws) -> Array:
    """A closed random curve, filled: its outline is a circle that waves in three frequencies."""
    turn = np.linspace(0, 2 * math.pi, 60)
    waves = sum(d.rng.normal(0, 0.3 / k) * np.sin(k * turn + d.rng.uniform(0, 6)) for k in (2, 3, 5))
    return filled(np.stack([np.cos(turn), np.sin(turn) * d(0.6, 1.0)], axis=1) * np.exp(waves)[:, None], d)


def solid(d: Draws) -> Array:
    """A filled polygon."""
    return filled(d.one_of((rectangle, polygon))(d)[0], d)


def dot(d: Draws) -> Array:
    """A disc, down to specks of three pixels."""
    return filled(arc((0, 0), (1, d(0.7, 1.0)), 0, 360), d, d(3, INK))


def filled(outline: Array, d: Draws, side: float = INK) -> Array:
    """The inside of an outline (k, 2), whose longest side becomes `side` pixels."""
    turn = d(-0.3, 0.3)
    points = outline @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) * (side / float((high - low).max())) + SIDE / 2
    fine = Image.new("L", (SIDE * FINE, SIDE * FINE))
    ImageDraw.Draw(fine).polygon([(float(x), float(y)) for x, y in points * FINE], fill=int(d(150, 256)))
    return centred(np.asarray(fine.reduce(FINE), np.float32) / 255)


def tangle(d: Draws) -> Glyph:
    return [through(*d.rng.random((int(d(10, 16)), 2)).tolist())]


def zigzag(d: Draws) -> Glyph:
    """Turns by turns on two sides, along any direction."""
    count, turn = int(d(6, 12)), d(0, math.pi)
    points = np.stack([np.linspace(0, 1, count), np.arange(count) % 2 * d(0.4, 0.9)], axis=1)
    points += d.rng.normal(0, 0.05, points.shape)
    points @= np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return [through(*points.tolist()) if d.chance(0.5) else points]


def strokes_at_random(d: Draws) -> Glyph:
    return [d.rng.random((2, 2)) for _ in range(int(d(4, 8)))]


SCRIBBLES: dict[str, Shape] = {"tangle": tangle, "zigzag": zigzag, "strokes": strokes_at_random}


def cross(d: Draws) -> Glyph:
    """Two straight strokes of about one length that cross near their middles, at 60 to 120 degrees."""
    first, between = d.rng.uniform(0, math.pi), math.radians(d(60, 120))
    strokes = []
    for turn in (first, first + between):
        x, y = math.cos(turn) * d(0.38, 0.5), math.sin(turn) * d(0.38, 0.5)
        shift = d(-0.12, 0.12)
        strokes.append(line((x * (shift - 1), y * (shift - 1)), (x * (shift + 1), y * (shift + 1))))
    return strokes


PARTS = {  # what is left of these variants on this side of a cut is no digit, nor a stroke that could be a 1
    "top": ("0 round", "5 in one"),
    "bottom": ("0 round", "2 straight", "2 angular", "3 round", "5 in one"),
}


def part(d: Draws, side: str, hand: Hand) -> Glyph:
    """Some 40 % of a digit."""
    strokes = VARIANTS[d.one_of(PARTS[side])](d, hand)
    outwards = 1 if side == "top" else -1
    places = np.concatenate(strokes)[:, 1] * outwards
    cut = places.min() + np.ptp(places) * (d(0.3, 0.38) if side == "top" else d(0.36, 0.46))
    kept = []
    for stroke in (evenly(path, 0.01)[0] for path in strokes):
        inside = stroke[:, 1] * outwards < cut
        runs = np.split(np.arange(len(stroke)), np.flatnonzero(np.diff(inside)) + 1)
        kept += [stroke[run] for run in runs if inside[run[0]] and len(run) > 3]
    return kept


def level(d: Draws, hand: Hand) -> Glyph:
    """A stroke within 20 degrees of level."""
    return [line((0, 0), hand.aimed(1.0, d(-20, 20)))]


def bow(d: Draws, hand: Hand) -> Glyph:
    """An arch, open above or below."""
    return [arc((0, 0), (0.5, d(0.2, 0.6)), d.one_of((0.0, 180.0)), d(150, 200))]


def pair(d: Draws, hand: Hand, overlaid: bool) -> Glyph:
    """Two digits side by side, or one over the other."""
    names = [name for name in VARIANTS if not (overlaid and name.startswith("1"))]
    first = d.one_of(names)
    left, right = VARIANTS[first](d, hand), VARIANTS[d.one_of([name for name in names if name[0] != first[0]])](d, hand)
    if overlaid:
        shift = d(0.35, 0.6) * np.array([d.one_of((-1, 1)), d.rng.uniform(-1, 1)])
        return [*left, *(stroke + shift for stroke in right)]
    gap = max(float(s[:, 0].max()) for s in left) - min(float(s[:, 0].min()) for s in right) + d(0.08, 0.35)
    return [*left, *(stroke + np.array([gap, 0]) for stroke in right)]
