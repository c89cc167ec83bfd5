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
    paper's amount; from `threshold` on a pixel is ink."""

    amount: Array
    level: float
    noise: float
    spread: float
    uneven: bool
    tones: Histogram  # of all amounts that stand out
    share: float = 0.3

    @property
    def threshold(self) -> float:
        return max(self.share * self.level, 3 * self.noise, self.spread, 0.5 * FAINTEST * 255)

    def variants(self) -> Iterator["Ink"]:
        """The same with thresholds that take ever less for ink: also without blurs and ghosts, and, where there are
        two inks, such as a pen's and that of printed lines, with the darker one alone."""
        yield self
        yield replace(self, share=0.5)
        parting = self.tones.parting()
        level = float(self.tones.above(parting).quantile(0.9))
        if level > 1.2 * self.level:
            yield replace(self, level=level, share=parting / level)


def ink_on(page: Page, paper: Array | int) -> Ink | None:
    """What is darker than paper, (h, w) uint8 or one tone. None: nothing is."""
    if isinstance(paper, int):
        ratio, tones, middle = page.grey, page.tones, max(paper, 40)
    else:
        ratio = cv2.divide(page.grey, paper, scale=PAPER)
        tones = histogram(ratio, page.inside)
        middle = max(tones.median(), 40)
    spread = 1.4826 * tones.above(middle - 1).spread(middle) / middle * 255
    noise = _pixel_noise(ratio) / middle * 255
    table = np.rint(np.clip(255 * (1 - LEVELS / middle), 0, 255)).astype(np.uint8)
    strong = tones.mapped(table).above(max(5 * noise, 2.5 * spread, 255 * FAINTEST))
    if strong.total < 3:
        return None
    amount = cv2.LUT(ratio, table)
    if page.inside is not None:
        amount = cv2.bitwise_and(amount, page.inside)
    return Ink(amount, float(strong.quantile(0.9)), noise, spread, not isinstance(paper, int), strong)


def _pixel_noise(ratio: Array) -> float:
    """Standard deviation from one pixel to the next, in levels; never 0, for levels are whole."""
    rows = np.ascontiguousarray(ratio[:: 3 if len(ratio) > SAMPLED else 1])
    if rows.shape[1] < 3:
        return 0.4
    steps = cv2.absdiff(rows[:, 1:], rows[:, :-1])
    return max(0.4, 1.05 * histogram(steps).median())
