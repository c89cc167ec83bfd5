"""A mask of ink -> its connected components, and what each is like: the pen that drew it, its outline, its holes."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from server.types import Array

MOST = 400  # components that are looked at; more are texture
DISTANCE_MASK = 3  # of OpenCV: distances to a few per cent, which suffices for widths
Box = tuple[int, int, int, int]  # top, left, bottom, right


@dataclass(frozen=True)
class Components:
    """labels (h, w) uint16, 0 = paper, of a part of the page that begins at (top, left) of it; by label: boxes (n, 4)
    in the page, areas (n,) in pixels, and the share (n,) of the page's edge that each touches. Label 0 has no area."""

    labels: Array
    top: int
    left: int
    boxes: Array
    areas: Array
    contact: Array

    @cached_property
    def sides(self) -> Array:
        """The longer side of each box, (n,)."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1))

    def mask(self, members: list[int]) -> tuple[Array, Box]:
        """Pixels of these labels, (h, w) uint8 of 0 and 1, and their box in the page."""
        boxes = self.boxes[members]
        top, left = map(int, boxes[:, :2].min(axis=0))
        bottom, right = map(int, boxes[:, 2:].max(axis=0))
        part = self.labels[top - self.top : bottom - self.top, left - self.left : right - self.left]
        if len(members) == 1:
            return (part == members[0]).view(np.uint8), (top, left, bottom, right)
        chosen = np.zeros(len(self.areas), np.uint8)
        chosen[members] = 1
        return chosen[part], (top, left, bottom, right)


def components(mask: Array, inside: Array | None) -> Components | None:
    """Of mask (h, w) uint8; the page's edge is that of `inside` (h, w), or the picture's. None: it is empty."""
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return None
    part = np.ascontiguousarray(mask[top : top + height, left : left + width])
    n, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8, ltype=cv2.CV_16U)
    if n > MOST:
        labels, stats = _largest(labels, stats)
    x, y, w, h, areas = stats.T
    boxes = np.stack([y + top, x + left, y + top + h, x + left + w], axis=1)
    areas = areas.astype(np.float64)
    areas[0] = 0
    return Components(labels, top, left, boxes, areas, _contact(mask.shape, labels, top, left, inside, len(areas)))


def _largest(labels: Array, stats: Array) -> tuple[Array, Array]:
    """Without all but the MOST largest components."""
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[: MOST - 1] + 1
    renumbered = np.zeros(len(stats), np.uint16)
    renumbered[order] = np.arange(1, len(order) + 1)
    return renumbered[labels], np.concatenate([stats[:1], stats[order]])


def _contact(shape: tuple[int, ...], labels: Array, top: int, left: int, inside: Array | None, n: int) -> Array:
    """By label, the share of the page's edge, (n,)."""
    height, width = labels.shape
    if inside is not None:
        shrunk = cv2.erode(inside, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        edge = cv2.subtract(inside, shrunk)
        touched = labels[edge[top : top + height, left : left + width] > 0]
        return np.bincount(touched, minlength=n) / max(1, cv2.countNonZero(edge))
    ends = [labels[0]] * (top == 0) + [labels[-1]] * (top + height == shape[0])
    ends += [labels[:, 0]] * (left == 0) + [labels[:, -1]] * (left + width == shape[1])
    if not ends:
        return np.zeros(n)
    return np.bincount(np.concatenate(ends), minlength=n) / (2 * (shape[0] + shape[1]))


class Shape:
    """What a mask (h, w) uint8 of 0 and 1 looks like."""

    def __init__(self, mask: Array) -> None:
        self.mask = mask

    @cached_property
    def pen(self) -> tuple[float, float]:
        """Mean and greatest width of its strokes in pixels: a bar's pixels lie a quarter of its width from its edge on
        average."""
        wide = cv2.copyMakeBorder(self.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        distance = cv2.distanceTransform(wide, cv2.DIST_L2, DISTANCE_MASK)
        return 4 * cv2.sumElems(distance)[0] / max(1, self.area), 2 * cv2.minMaxLoc(distance)[1]

    @cached_property
    def area(self) -> int:
        return cv2.countNonZero(self.mask)

    @cached_property
    def _contours(self) -> tuple[list[Array], list[Array]]:
        contours, hierarchy = cv2.findContours(self.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        inner = hierarchy[0, :, 3] >= 0
        return [c for c, i in zip(contours, inner, strict=True) if not i], [
            c for c, i in zip(contours, inner, strict=True) if i
        ]

    @cached_property
    def hull(self) -> Array:
        """Its convex hull, (k, 1, 2) int32 of x and y."""
        outer = self._contours[0]
        return np.asarray(cv2.convexHull(outer[0] if len(outer) == 1 else np.concatenate(outer)))

    @cached_property
    def hull_area(self) -> float:
        return cv2.contourArea(self.hull)

    @cached_property
    def rectangle(self) -> tuple[float, float]:
        """The shorter and the longer side of the smallest rectangle around it, in any direction."""
        one, other = cv2.minAreaRect(self.hull)[1]
        return min(one, other), max(one, other)

    def holes(self, least: float) -> int:
        """How many it has that are larger than so many pixels."""
        return sum(cv2.contourArea(one) > least for one in self._contours[1])

    @property
    def largest_hole(self) -> Array | None:
        """Its outline, (k, 1, 2) int32 of x and y, which lies on the pixels around it."""
        return max(self._contours[1], key=cv2.contourArea, default=None)
