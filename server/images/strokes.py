"""A sighting -> the strokes of its digit, grey as they were drawn, from as fine a picture as there is."""

from dataclasses import dataclass

import cv2
import numpy as np

from server.images.finding import Sighting
from server.images.ink import light_of, pixel_noise
from server.images.paper import page_of
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
    """strokes (h, w) float32 in [0, 1]; (0, 0) lies at (left, top) of the window, and a step is `factor` of its
    pixels."""

    strokes: Array
    left: float = 0
    top: float = 0
    factor: float = 1


def strokes_in(window: Window, sighting: Sighting) -> Strokes:
    """The strokes of the digit in the window, which holds all of it."""
    ink, found, page = sighting.ink, sighting.found, sighting.page
    top, left = found.box[0] + page.top, found.box[1] + page.left
    ratio = page_of(window.grey, page.turned).grey
    if not isinstance(ink.paper, int):
        ratio = light_of(ratio, window.of(ink.paper, page.left, page.top, cv2.BORDER_REPLICATE))
    amount = cv2.LUT(ratio, ink.table)
    group = cv2.threshold(window.of(found.mask * 255, left, top), 127, 255, cv2.THRESH_BINARY)[1]
    level = float(histogram(amount, group).quantile(0.9))
    noise = max(ink.noise, pixel_noise(amount))
    low = max(0.1 * level, 2.5 * noise, 0.6 * ink.threshold if ink.alone else 0.0)
    ramp = np.clip((LEVELS - low) / max(0.9 * level - low, 1), 0, 1).astype(np.float32)
    return Strokes(cv2.LUT(amount, ramp) * _near(window, sighting, group))


def _near(window: Window, sighting: Sighting, group: Array) -> Array:
    """1 in the group of pixels (h, w) and next to it, where its strokes fade out, but not on ruled lines, else 0."""
    reach = 2 * round(1 + 1 / window.step) + 1
    near = cv2.dilate(group, np.ones((reach, reach), np.uint8)) // 255
    lines, page = sighting.found.lines, sighting.page
    if lines is not None:
        ruled = window.of(cv2.dilate(lines, np.ones((3, 1), np.uint8)), page.left, page.top)
        near[(ruled > 127) & (group == 0)] = 0
    return np.asarray(near)
