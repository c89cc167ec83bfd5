"""Where the paper is, the whole picture or a sheet that lies on something, and what it looks like without ink."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from server.images.tones import Histogram, histogram
from server.types import Array

SHEET_SIDE = 128  # pixels; sheets are looked for in a picture of this size
EDGE = 0.09  # from one pixel to the next, as a share of the light: of a sheet's edge, and of its ink's
OPENINGS = (3, 5, 13)  # pixels: what is narrower, is no sheet, but light between a sheet and the pattern it lies on
LEAST_SHEET, MOST_SHEET = 0.06, 0.985  # of the picture
RIM = 0.006  # of the picture's longer side
STEP = 0.15  # between a sheet and what it lies on, at least, as a share of the sheet's light
WINDOWS = ((0.22, 1.0), (0.08, 0.55))  # of the longer side, wider than strokes, and how likely it is the right one
DARKEST = 12  # levels: ratios to less light than this would be noise
LIFTED = np.rint(np.linspace(DARKEST, 255, 256)).astype(np.uint8)  # as dark ink on light paper
DARKEST_TURNED = 116
# Light ink as dark, with half of the contrast: it counts against white.
TURNED = np.rint(np.linspace(255, DARKEST_TURNED + DARKEST, 256)).astype(np.uint8)
EVEN = 0.08  # how far the tones of even paper lie from their middle, as a share of it ...
MOST = 0.85  # ... in most of its pixels
GLARE = 0.05  # of the pixels, at most, may be half as far again above that: strokes fade in them


@dataclass(frozen=True)
class Page:
    """grey (h, w) uint8, dark ink on light paper, begins at (left, top) of the picture, and has these `tones`. A sheet
    has `inside` (h, w) uint8, which is 0 where it does not lie. `light_ink`: the picture's ink is light; the page is
    its negative."""

    grey: Array
    tones: Histogram
    left: int = 0
    top: int = 0
    inside: Array | None = None
    light_ink: bool = False

    @property
    def is_sheet(self) -> bool:
        return self.inside is not None


def as_paper(light_ink: bool) -> Array:
    """A picture's levels -> a page's, (256,) uint8."""
    return TURNED if light_ink else LIFTED


def page_of(grey: Array, tones: Histogram, light_ink: bool) -> Page:
    """All of the picture, grey (h, w) uint8 with these tones, by one of the two ideas of what its ink is."""
    table = as_paper(light_ink)
    return Page(cv2.LUT(grey, table), tones.mapped(table), light_ink=light_ink)


def sheets(whole: Page) -> Iterator[Page]:
    """Light sheets that lie on something darker, the largest first: smooth, convex, with straight edges."""
    grey = whole.grey
    factor = max(grey.shape) / SHEET_SIDE
    if factor < 0.6:
        return
    height, width = (max(8, round(side / factor)) for side in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    smooth = _smooth(small)
    if cv2.countNonZero(smooth) > MOST_SHEET * smooth.size:
        return
    scale = (grey.shape[1] / width, grey.shape[0] / height)
    seen: list[Array] = []
    for opening in OPENINGS:
        for outline in _outlines(small, smooth, opening):
            if not any(_same(outline, one) for one in seen):
                seen.append(outline)
                yield _page(grey, (outline + 0.5) * scale - 0.5)


def _smooth(small: Array) -> Array:
    """255 where small (h, w) uint8 has no edge nearby, else 0."""
    kernel = np.ones((3, 3), np.uint8)
    high = cv2.dilate(small, kernel)
    rough = cv2.subtract(high, cv2.erode(small, kernel))
    limit = cv2.convertScaleAbs(high, alpha=EDGE, beta=4)
    return np.asarray(cv2.compare(rough, limit, cv2.CMP_LT))


def _outlines(small: Array, smooth: Array, opening: int) -> Iterator[Array]:
    """Corners (k, 2) of the convex things among the smooth parts of small (h, w), the largest first."""
    pad = opening
    padded = cv2.copyMakeBorder(smooth, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((opening, opening), np.uint8))
    opened = np.ascontiguousarray(opened[pad:-pad, pad:-pad])
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    inner, _ = cv2.findContours(cv2.bitwise_not(opened), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in sorted([*contours, *inner], key=cv2.contourArea, reverse=True)[:4]:
        area = cv2.contourArea(contour)
        if not LEAST_SHEET <= area / small.size <= MOST_SHEET:
            continue
        hull = cv2.convexHull(contour)
        if area < 0.55 * cv2.contourArea(hull) or min(cv2.minAreaRect(hull)[1]) < 0.16 * max(small.shape):
            continue
        sheet = _quadrilateral(hull, small.shape)
        if sheet is not None and cv2.contourArea(hull) >= 0.85 * cv2.contourArea(sheet) and _stands_out(small, sheet):
            yield sheet[:, 0]


def _quadrilateral(hull: Array, shape: tuple[int, ...]) -> Array | None:
    """The smallest with four corners around a hull (k, 1, 2), (n, 1, 2): less what lies outside of the picture."""
    if len(hull) < 4:
        return None
    around = cv2.approxPolyN(hull, 4, ensure_convex=True).reshape(-1, 1, 2).astype(np.float32)
    if not np.abs(around).max() <= 10 * max(shape):  # nearly parallel sides meet far away, or nowhere
        return None
    height, width = shape
    frame = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)[:, None]
    area, corners = cv2.intersectConvexConvex(around, frame)
    return np.rint(corners).astype(np.int32) if area > 0 and corners is not None else None


def _stands_out(small: Array, hull: Array) -> bool:
    """Whether what lies around the hull is darker."""
    inside = np.zeros_like(small)
    cv2.fillConvexPoly(inside, hull, 255)
    rim = cv2.dilate(inside, np.ones((9, 9), np.uint8)) - cv2.dilate(inside, np.ones((5, 5), np.uint8))
    if not rim.any():
        return False
    paper, around = histogram(small, inside).median(), histogram(small, rim).quantile(0.4)
    return paper - around > STEP * paper


def _same(one: Array, other: Array) -> bool:
    """Whether two outlines lie within two pixels of each other."""
    ends = [np.concatenate([of.min(0), of.max(0)]) for of in (one, other)]
    return bool(np.abs(ends[0] - ends[1]).max() <= 2)


def _page(grey: Array, outline: Array) -> Page:
    """The part within the outline (k, 2), less a rim on which the sheet's edge lies, but not the picture's."""
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 255)
    rim = np.ones((2 * max(1, round(RIM * max(grey.shape))) + 1,) * 2, np.uint8)
    inside = np.asarray(cv2.erode(inside, rim, borderType=cv2.BORDER_CONSTANT, borderValue=255))
    left, top, width, height = cv2.boundingRect(inside)
    here = slice(top, top + height), slice(left, left + width)
    part, inside = np.ascontiguousarray(grey[here]), np.ascontiguousarray(inside[here])
    return Page(part, histogram(part, inside), left, top, inside)


def even_paper(page: Page) -> int | None:
    """The one tone that the page has without dark ink; None: it has not one."""
    light = page.tones.above(page.tones.parting())
    tone = light.median()
    room = tone - DARKEST_TURNED if page.light_ink else tone
    near = EVEN * room + 1
    even = light.share_near(tone, near) >= MOST and light.share_above(min(255, tone + 1.5 * near)) <= GLARE
    return tone if tone and even else None


def uneven_paper(page: Page, share: float) -> Array:
    """What the page is without dark ink, (h, w) uint8: a closing with a window of that share of its longer side, which
    follows a lamp's light, glare and a shadow's edge."""
    grey = page.grey if page.inside is None else cv2.bitwise_and(page.grey, page.inside)
    smooth = cv2.blur(grey, (3, 3)) if min(grey.shape) > 60 else grey
    return _closing(smooth, max(3, round(share * max(grey.shape))) | 1)


def _closing(grey: Array, window: int) -> Array:
    """Without what is dark and narrower than the window; beyond its edges the picture goes on as it ends."""
    pad = window
    wide = cv2.copyMakeBorder(grey, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    kernel = np.ones((window, window), np.uint8)
    return np.ascontiguousarray(cv2.morphologyEx(wide, cv2.MORPH_CLOSE, kernel)[pad:-pad, pad:-pad])
