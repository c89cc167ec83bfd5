"""Grey picture -> its main digit: pages, their ink, and its components, tried from the likeliest on until something
looks like a digit that stands by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from server.errors import BlankImage
from server.images.colour import Channel
from server.images.digits import POOR, Found, find_digit, lines_on
from server.images.ink import FAINTEST, Ink, ink_on
from server.images.paper import DARKEST, EVEN, MOST, WINDOWS, Page, even_paper, page_of, sheets, uneven_paper
from server.images.resampling import shrunk
from server.images.tones import Histogram, histogram
from server.types import Array

SIDES = (160, 320)  # pixels on the longer side: a stroke needs a few of them
LOOK = 100  # pixels on the longer side that suffice to see which tone is rare
GOOD = 0.6  # quality at which nothing else is tried
MARGIN = 2  # pixels of the page around a digit, in which its strokes fade out
FAIR = 0.3  # quality of what an edge may have cut
BRIGHT, FAIRLY_BRIGHT = 165, 110  # levels of paper on which lighter ink hardly shows, and is rare


@dataclass(frozen=True)
class Sighting:
    """A digit, and as which page and ink it was found; a pixel of the page is `factor` x `factor` of the picture."""

    page: Page
    ink: Ink
    found: Found
    quality: float
    factor: int = 1

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the digit in the picture, MARGIN pixels of the page wider on each side."""
        top, left, bottom, right = self.found.box
        x, y = self.page.left, self.page.top
        edges = (x + left - MARGIN, y + top - MARGIN, x + right + MARGIN, y + bottom + MARGIN)
        return edges[0] * self.factor, edges[1] * self.factor, edges[2] * self.factor, edges[3] * self.factor

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done to find it."""
        done = {
            "sheet found": self.page.is_sheet,
            "inverted": not self.page.light_ink,
            "light evened": self.ink.uneven,
            "lines removed": self.found.lines is not None,
            "box removed": self.found.boxed,
        }
        return tuple(step for step, was in done.items() if was)

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.found.others:
            return ()
        return (f"multiple-objects: {self.found.others + 1} things as large as a digit were found; one was read",)


def find(pixels: Array, channel: Channel) -> Sighting:
    """The main digit of upright pixels, as `channel` takes them: looked for in a small picture, and in a larger one
    where nothing in that one is clear. Raises BlankImage."""
    best: Sighting | None = None
    for side in SIDES:
        factor = max(1, -(-max(pixels.shape) // side))
        for sighting in _sightings(channel.of(shrunk(pixels, factor))):
            if best is None or sighting.quality > best.quality:
                best = replace(sighting, factor=factor)
            if best.quality >= GOOD:
                return best
        if factor == 1:
            break
    if best is None or best.quality < POOR:
        raise BlankImage(_blank(channel.of(pixels)))
    return best


def _sightings(grey: Array) -> Iterator[Sighting]:
    """One idea of the picture after the other, the likeliest first: ink that is the rare tone, then the other."""
    tones = histogram(grey)
    light_ink = _has_light_ink(grey, tones)
    likely = page_of(grey, tones, light_ink)
    yield from _on_even(likely)
    other = page_of(grey, tones, not light_ink)
    dark = other if light_ink else likely
    lying, doubts = list(sheets(dark)), 1.0
    for looked in (_on_even, _on_uneven):
        for page in lying:
            for sighting in looked(page):
                if light_ink and sighting.quality > FAIR:
                    doubts = 0.5  # what is light is a sheet
                yield sighting
    yield from _weighed(doubts, _on_uneven(likely))
    against = 0.5 if not light_ink and likely.tones.median() > FAIRLY_BRIGHT else 0.75
    for looked in (_on_even, _on_uneven):
        yield from _weighed(against, looked(other))


def _weighed(weight: float, sightings: Iterator[Sighting]) -> Iterator[Sighting]:
    """Of lower quality, for what else is known of the picture."""
    for one in sightings:
        yield replace(one, quality=weight * one.quality)


def _on_even(page: Page) -> Iterator[Sighting]:
    paper = even_paper(page)
    if paper is not None:
        yield from _digits(page, paper)


def _on_uneven(page: Page) -> Iterator[Sighting]:
    for share, weight in WINDOWS:
        yield from _weighed(weight, _digits(page, uneven_paper(page, share)))


def _digits(page: Page, paper: Array | int) -> Iterator[Sighting]:
    ink = ink_on(page, paper)
    if ink is None:
        return
    ruled = cache(lambda: lines_on(ink))  # looked for once, if at all
    for variant in ink.variants():
        found = find_digit(variant, page.inside, lines_on(variant) if variant.is_darker else ruled())
        if found is not None:
            yield Sighting(page, variant, found, found.quality)


def _has_light_ink(grey: Array, tones: Histogram) -> bool:
    """Ink is the rare tone, so it skews the picture, against its near and its far surroundings; where these disagree (a
    dark table around the paper, strokes that fill the picture), it is the tone that most pixels do not have."""
    paper = tones.median()
    if tones.share_near(paper, EVEN * paper) >= MOST:  # most of the picture has one tone
        darkest, lightest = tones.quantile(0.002), tones.quantile(0.998)
        return lightest - paper > max(FAINTEST * paper, 2 * (paper - darkest))
    if paper > BRIGHT:
        return False
    small = shrunk(grey, -(-max(grey.shape) // LOOK)).astype(np.float32)
    skews = []
    for share in (0.25, 0.5):
        window = max(3, round(share * max(small.shape))) | 1
        detail = small - cv2.blur(small, (window, window), borderType=cv2.BORDER_REPLICATE)
        skews.append(float((detail * detail * detail).sum()))
    if min(skews) > 0 or max(skews) < 0:
        return skews[0] > 0
    low, high = tones.quantile(0.01), tones.quantile(0.99)
    dark = 1 - tones.share_above((low + high) / 2)
    return dark > 0.5 if abs(dark - 0.5) > 0.1 else skews[1] > 0


def _blank(grey: Array) -> str:
    """Why there is no digit, and what helps."""
    middle = histogram(grey).median()
    low, high = cv2.minMaxLoc(grey)[:2]
    strongest = max(high - middle, middle - low) / max(middle, DARKEST)
    if strongest < FAINTEST:
        return (
            f"the picture looks blank: its strongest mark differs from the paper by {strongest:.0%}; a digit's must "
            f"differ by at least {FAINTEST:.0%} and stand out of the noise. Use a darker pen, or take a brighter photo."
        )
    return (
        "the picture looks blank: it has only specks, noise or even areas, nothing as large as a digit; expected one "
        "digit written in strokes. Write it larger, or crop the picture to it."
    )
