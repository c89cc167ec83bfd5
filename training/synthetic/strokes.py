"""Handwriting as parametric strokes: paths in a unit box, a hand that deforms them, a pen that inks them.

A path is an array (k, 2) of points x (right), y (down); a glyph is a list of paths. Each pixel's ink follows from its
distance to the nearest stroke, which is what endless supersampling would give for strokes that are wider than a pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.data import INK, SIDE, Array
from training.synthetic.draws import Draws

Point = tuple[float, float]
Glyph = Sequence[Array]
STEP, SPREAD = 0.5, 0.7  # pixels, and radii, between neighbouring points of a stroke: the larger; each inks a disc
THICKEST = 2.0  # pixels, radius of a felt pen
CROWDED = 4.8  # pixels, largest radius for a stroke as long as the glyph is tall; less for longer ones

_PLACES = np.arange(SIDE)
_X, _Y = (axis.ravel() - (SIDE - 1) / 2 for axis in np.meshgrid(_PLACES, _PLACES))
_PIXELS = np.stack([_X, _Y, np.ones_like(_X), -(_X**2) - _Y**2]).astype(np.float32)
_FREQUENCIES = np.array([2.5, 2.5, 4, 4, 7, 7])  # radians per height
_DAMPING = _FREQUENCIES[:, None] / 4
_STEPS = np.linspace(0, 1, 8, endpoint=False)[:, None]
_POWERS = np.concatenate([_STEPS**3, _STEPS**2, _STEPS, np.ones_like(_STEPS)], axis=1)
_CATMULL_ROM = _POWERS @ (np.array([[-1, 3, -3, 1], [2, -5, 4, -1], [-1, 0, 1, 0], [0, 2, 0, 0]]) / 2)


def line(*points: Point) -> Array:
    """A polyline; its corners stay corners, as far as the hand does not round them."""
    return np.array(points, float)


def through(*points: Point) -> Array:
    """A smooth curve through all points: a uniform Catmull-Rom spline."""
    knots = np.array(points, float)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    return np.concatenate([(_CATMULL_ROM @ windows).reshape(-1, 2), knots[-1:]])


def arc(centre: Point, radii: Point, start: float, sweep: float) -> Array:
    """Part of an ellipse, from the angle `start` on, both in degrees: 0 is right, 90 is down, sweeps go clockwise."""
    turn = np.radians(start + np.linspace(0, sweep, max(4, int(abs(sweep) / 12))))
    return np.stack([centre[0] + radii[0] * np.cos(turn), centre[1] + radii[1] * np.sin(turn)], axis=1)


def near(d: Draws, *points: Point) -> list[Point]:
    """The points, each moved a little: no two glyphs of a hand are equal."""
    return [(x + d.rng.normal(0, 0.025), y + d.rng.normal(0, 0.025)) for x, y in points]


def joined(*paths: Array) -> Array:
    """Paths written without lifting the pen."""
    return np.concatenate(paths)


@dataclass(frozen=True)
class Hand:
    """How somebody writes, with some pen. Lengths are shares of the glyph's height unless they are in pixels."""

    slant: float  # shift to the right per height
    turn: float  # radians, clockwise
    aspect: float  # width over height, of a glyph made with 1
    wobble: float  # size of smooth bends of the whole glyph
    tremor: float  # size of quick bends along each stroke
    rounding: float  # how far corners are cut
    overshoot: float  # share of a stroke's length by which its ends reach too far (or fall short, below 0)
    radius: float  # pixels: half the stroke's width
    swell: float  # share by which the width changes along a stroke
    nib: float  # share by which a broad nib makes strokes along it thinner
    nib_angle: float  # radians
    grey: float  # ink of the darkest pixel
    softness: float  # pixels over which an edge fades

    @classmethod
    def drawn(cls, draws: Draws) -> "Hand":
        pen = draws.rng.random()
        return cls(
            slant=draws(-0.2, 0.55),
            turn=draws(-0.15, 0.15),
            aspect=math.exp(draws(-0.35, 0.28)),
            wobble=draws(0.0, 0.03),
            tremor=draws(0.003, 0.009) if pen < 0.4 else 0.0,
            rounding=draws(0.0, 0.05),
            overshoot=draws(-0.03, 0.06),
            radius=draws(0.25, 0.6) if pen < 0.12 else draws(0.6, 1.25) if pen < 0.55 else draws(1.2, THICKEST),
            swell=draws(0.0, 0.25),
            nib=draws(0.0, 0.45) if pen > 0.75 else 0.0,
            nib_angle=draws(-1.2, 0.2),
            grey=1.0 if draws.chance(0.75) else draws(0.7, 1.0),
            softness=draws(0.7, 1.4),
        )

    @property
    def page(self) -> Array:
        """The matrix (2, 2) from the glyph's box to the page: aspect, then slant, then turn."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.asarray(np.array([[cos, -sin], [sin, cos]]) @ np.array([[self.aspect, -self.slant], [0.0, 1.0]]))

    def aimed(self, length: float, degrees: float) -> Point:
        """What to write in a glyph for a stroke that has this length and direction on the page."""
        turn = math.radians(degrees)
        x, y = np.linalg.solve(self.page, (length * math.cos(turn), length * math.sin(turn)))
        return float(x), float(y)


def written(glyph: Glyph, hand: Hand, rng: np.random.Generator) -> Array:
    """The glyph in this hand, (28, 28) float32 in [0, 1]: its longest side is 20 pixels, its mass in the middle."""
    size = float(np.ptp(np.concatenate(glyph) @ hand.page.T, axis=0).max())
    length = sum(float(np.hypot(*np.diff(path, axis=0).T).sum()) for path in glyph)
    radius = min(hand.radius, CROWDED * size / length)  # nobody takes a brush for what it would fill
    step = max(STEP, SPREAD * radius) * size / INK
    spaced, runs = [], []
    for path in glyph:
        points, run = evenly(path, step, hand.overshoot * rng.uniform(-0.3, 1))
        if len(path) > 2:
            points = _rounded(points, hand.rounding / step)
        if hand.tremor:
            points = points + _tremor(rng, run, hand.tremor)
        spaced.append(points)
        runs.append(run)
    widths = radius * (1 + hand.swell * np.sin(rng.uniform(2, 9) * np.concatenate(runs) + rng.uniform(0, 2 * math.pi)))
    if hand.nib:
        slopes = np.concatenate([np.gradient(points, axis=0) for points in spaced])
        along = slopes @ (math.cos(hand.nib_angle), math.sin(hand.nib_angle)) / np.maximum(np.hypot(*slopes.T), 1e-9)
        widths = widths * (1 - hand.nib * along**2)
    return inked(_bent(np.concatenate(spaced), hand.wobble, rng) @ hand.page.T, widths, hand)


def inked(points: Array, radii: Array, hand: Hand) -> Array:
    """Discs (p, 2) with radii (p,) in pixels, as one picture: scaled and centred as MNIST's digits are.

    Among discs of unlike sizes, a pixel's nearest is the one of the largest power, r**2 - d**2: a product of matrices.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    mean = float(radii.mean())
    scale = (INK - 2 * mean) / max(float((high - low).max()), 1e-6)
    placed = (points - (low + high) / 2) * scale
    discs = np.column_stack([2 * placed, radii**2 - (placed**2).sum(axis=1), np.ones(len(placed))])
    power = (discs.astype(np.float32) @ _PIXELS).max(axis=0)
    depth = mean - np.sqrt(np.maximum(mean**2 - power, 0))
    ink = np.clip(depth / hand.softness + 0.5, 0, 1) * (hand.grey * min(1.0, 0.55 + 0.75 * mean))  # hairlines are pale
    return centred(ink.reshape(SIDE, SIDE).astype(np.float32))


def centred(image: Array) -> Array:
    """Moved by whole pixels so that the mass is in the middle, at index 14, as far as all ink stays in the image."""
    shifts = []
    for ink in (image.sum(axis=1), image.sum(axis=0)):
        used = np.flatnonzero(ink)
        shift = round(SIDE / 2 - float(ink @ _PLACES) / max(float(ink.sum()), 1e-9))
        shifts.append(min(max(shift, -int(used[0])), SIDE - 1 - int(used[-1])) if len(used) else 0)
    down, right = SIDE + shifts[0], SIDE + shifts[1]
    wide = np.zeros((3 * SIDE, 3 * SIDE), np.float32)
    wide[down : down + SIDE, right : right + SIDE] = image
    return wide[SIDE:-SIDE, SIDE:-SIDE]


def evenly(path: Array, step: float, overshoot: float = 0.0) -> tuple[Array, Array]:
    """Points at equal steps along a path whose ends reach further by a share of its length (or fall short, below 0),
    and how far along each lies."""
    moves = np.diff(path, axis=0)
    lengths = np.hypot(*moves.T)
    reach = overshoot * float(lengths.sum())
    far, trim = max(reach, 0.0), max(-reach, 0.0)
    before, after = (far * moves[i] / max(float(lengths[i]), 1e-9) for i in (0, -1))
    longer = np.concatenate([[path[0] - before], path, [path[-1] + after]])
    along = np.concatenate([[0.0, far], lengths, [far]]).cumsum()
    run = np.linspace(trim, along[-1] - trim, max(2, math.ceil(along[-1] / step)))
    return np.column_stack([np.interp(run, along, longer[:, 0]), np.interp(run, along, longer[:, 1])]), run


def _rounded(points: Array, sigma: float) -> Array:
    if sigma < 0.3 or len(points) < 4:
        return points
    pad = min(len(points) - 1, math.ceil(3 * sigma))
    before, after = 2 * points[0] - points[pad:0:-1], 2 * points[-1] - points[-2 : -pad - 2 : -1]
    smooth = ndimage.gaussian_filter1d(np.concatenate([before, points, after]), sigma, axis=0, truncate=3)
    return np.asarray(smooth[pad : pad + len(points)])


def _tremor(rng: np.random.Generator, run: Array, size: float) -> Array:
    knots = np.linspace(run[0], run[-1], max(3, int((run[-1] - run[0]) / 0.09)))
    shake = rng.normal(0, size, (2, len(knots)))
    return np.stack([np.interp(run, knots, row) for row in shake], axis=1)


def _bent(points: Array, size: float, rng: np.random.Generator) -> Array:
    """A smooth field of shifts, most of them slow, so that strokes that meet still meet."""
    waves = rng.uniform(-1, 1, (2, 6)) * _FREQUENCIES
    shifts = np.sin(points @ waves + rng.uniform(0, 2 * math.pi, 6)) @ (rng.normal(0, size, (6, 2)) / _DAMPING)
    return np.asarray(points + shifts)
