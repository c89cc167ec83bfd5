"""A sighting -> the strokes of its digit, grey as they were drawn, from as fine a picture as there is."""

from dataclasses import dataclass

import cv2
import numpy as np

from server.images.finding import MARGIN, Sighting
from server.images.ink import Ink, light_of
from server.images.paper import as_paper
from server.images.tones import LEVELS, histogram
from server.types import Array


@dataclass(frozen=True)
class Window:
    """A part of a picture: grey (h, w) uint8. Its corner lies at (left, top) of the picture in which a digit was seen,
    and a pixel of it is `step` of that one's."""

    grey: Array
    left: float
    top: float
    step: float

    def of(self, seen: Array, left: float, top: float, border: int = cv2.BORDER_CONSTANT) -> Array:
        """What was `seen` (h, w), whose corner is at (left, top), at the window's size and resolution."""
        x, y = (at - corner + self.step / 2 - 0.5 for at, corner in ((self.left, left), (self.top, top)))
        matrix = np.array([[self.step, 0, x], [0, self.step, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(seen, matrix, self.grey.shape[::-1], flags=flags, borderMode=border))


@dataclass(frozen=True)
class Strokes:
    """strokes (h, w) float32 in [0, 1]; (0, 0) lies at (left, top) of the window or page that they are from, and a step
    is `factor` of its pixels."""

    strokes: Array
    left: float = 0
    top: float = 0
    factor: float = 1


def strokes_on_page(sighting: Sighting) -> Strokes:
    """The strokes of the digit as the page has them, for one that is large and bold there."""
    amount, found = sighting.ink.amount, sighting.found
    above, before = min(MARGIN, found.box[0]), min(MARGIN, found.box[1])
    top, left = found.box[0] - above, found.box[1] - before
    here = slice(top, found.box[2] + MARGIN), slice(left, found.box[3] + MARGIN)
    amount = np.ascontiguousarray(amount[here])
    below, behind = amount.shape[0] - above - found.mask.shape[0], amount.shape[1] - before - found.mask.shape[1]
    group = cv2.copyMakeBorder(found.mask * 255, above, below, before, behind, cv2.BORDER_CONSTANT)
    ruled = None if found.lines is None else _thick(found.lines)[here]
    page = sighting.page
    return Strokes(_faded(amount, group, ruled, sighting.ink, 2), page.left + left, page.top + top)


def strokes_in(window: Window, sighting: Sighting) -> Strokes:
    """The strokes of the digit in the window, which holds all of it."""
    ink, found, page = sighting.ink, sighting.found, sighting.page
    top, left = found.box[0] + page.top, found.box[1] + page.left
    light = cv2.LUT(window.grey, as_paper(page.light_ink))
    if not isinstance(ink.paper, int):
        light = light_of(light, window.of(ink.paper, page.left, page.top, cv2.BORDER_REPLICATE))
    group = cv2.threshold(window.of(found.mask * 255, left, top), 127, 255, cv2.THRESH_BINARY)[1]
    ruled = None if found.lines is None else window.of(_thick(found.lines), page.left, page.top)
    return Strokes(_faded(cv2.LUT(light, ink.table), group, ruled, ink, round(1 + 1 / window.step)))


def _thick(lines: Array) -> Array:
    return np.asarray(cv2.dilate(lines, np.ones((3, 1), np.uint8)))


def _faded(amount: Array, group: Array, ruled: Array | None, ink: Ink, reach: int) -> Array:
    """amount (h, w) of the digit's ink from 0 to 1: in the group of pixels (h, w) uint8 and `reach` pixels around it,
    where its strokes fade out, but not where it is ruled (h, w)."""
    level = float(histogram(amount, group).quantile(0.9))
    low = max(0.1 * level, 2.5 * ink.noise, 0.6 * ink.threshold if ink.is_darker else 0.0)
    ramp = np.clip((LEVELS - low) / max(0.9 * level - low, 1), 0, 1).astype(np.float32)
    near = cv2.dilate(group, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    if ruled is not None:
        near[(ruled > 127) & (group == 0)] = 0
    return np.asarray(cv2.LUT(cv2.bitwise_and(amount, near), ramp))
