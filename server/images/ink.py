"""How much darker than its paper each pixel of a page is, and from where on that is ink."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from server.images.paper import Page
from server.images.tones import LEVELS, SAMPLED, Histogram, histogram
from server.types import Array

PAPER = 200  # the level that paper has in a picture divided by its paper
FAINTEST = 0.06  # the contrast of the faintest ink, as a share of the paper's light


@dataclass(frozen=True)
class Ink:
    """amount (h, w) uint8: 0 = paper, 255 = black; `level`: of a stroke's core; `noise`: standard deviation of the
    amount from one pixel to the next, and `spread` over the page's paper; from `threshold` on, a `share` of the level,
    a pixel is ink. `tones` are those of all amounts that stand out.

    An amount is what `table` (256,) makes of a pixel's light, as a share of its `paper`'s where that is uneven."""

    amount: Array
    level: float
    noise: float
    spread: float
    tones: Histogram
    paper: Array | int
    table: Array
    share: float = 0.3
    is_darker: bool = False  # of two inks

    @property
    def uneven(self) -> bool:
        return not isinstance(self.paper, int)

    @property
    def threshold(self) -> float:
        return max(self.share * self.level, 3 * self.noise, self.spread, 0.5 * FAINTEST * 255)

    def variants(self) -> Iterator["Ink"]:
        """The same with other thresholds: also without blurs and ghosts, and, where there are two inks, such as a pen's
        and that of printed lines, with the darker one alone; that comes first where they are far apart."""
        if 2 * self.level < 255:
            dark = self._darker()
            if dark.level > 2 * self.level:
                yield dark
        yield self
        yield replace(self, share=0.5)
        dark = self._darker()
        if 1.2 * self.level < dark.level <= 2 * self.level:
            yield dark

    def _darker(self) -> "Ink":
        """The darker of two inks."""
        parting = self.tones.parting()
        level = float(self.tones.above(parting).quantile(0.9))
        return replace(self, level=level, share=parting / level, is_darker=True)


def ink_on(page: Page, paper: Array | int) -> Ink | None:
    """What is darker than paper, (h, w) uint8 or one tone. None: nothing is."""
    ratio = page.grey if isinstance(paper, int) else light_of(page.grey, paper)
    tones = page.tones if isinstance(paper, int) else histogram(ratio, page.inside)
    middle = max(paper if isinstance(paper, int) else tones.median(), 40)
    spread = 1.4826 * max(0, tones.above(middle - 1).median() - middle) / middle * 255
    noise = pixel_noise(ratio) / middle * 255
    table = np.rint(np.maximum(255 - LEVELS * (255 / middle), 0)).astype(np.uint8)
    strong = tones.mapped(table).above(max(5 * noise, 2.5 * spread, 255 * FAINTEST))
    if strong.total < 3:
        return None
    amount = cv2.LUT(ratio, table)
    if page.inside is not None:
        amount = cv2.bitwise_and(amount, page.inside)
    return Ink(amount, float(strong.quantile(0.9)), noise, spread, strong, paper, table)


def light_of(grey: Array, paper: Array) -> Array:
    """grey (h, w) uint8 as a share of paper (h, w) uint8, which becomes PAPER."""
    return np.asarray(cv2.divide(grey, paper, scale=PAPER))


def pixel_noise(ratio: Array) -> float:
    """Standard deviation from one pixel to the next, in levels; never 0, for levels are whole."""
    rows = np.ascontiguousarray(ratio[:: 3 if len(ratio) > SAMPLED else 1])
    if rows.shape[1] < 3:
        return 0.4
    steps = cv2.absdiff(rows[:, 1:], rows[:, :-1])
    return max(0.4, 1.05 * histogram(steps).median())
