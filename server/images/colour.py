"""The grey picture in which ink and paper differ most: the luma, or a colour channel where these are equally light."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from server.types import Array

LOOK = 96  # pixels on the longer side of what is looked at
GREY = 12  # levels between the channels up to which a picture counts as grey
LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


@dataclass(frozen=True)
class Channel:
    """Which grey a picture is read by: 0, 1, 2 for red, green and blue; None for the luma."""

    number: int | None

    @property
    def steps(self) -> tuple[str, ...]:
        return () if self.number is None else ("colour separated",)

    def of(self, image: Image.Image) -> Array:
        """(h, w) uint8 of an L, RGB or opaque RGBA image."""
        if self.number is None:
            return np.asarray(image if image.mode == "L" else image.convert("L"))
        return np.asarray(image.getchannel(self.number))


LUMINANCE = Channel(None)


def best_channel(image: Image.Image) -> Channel:
    """A colour channel if its details stand out twice as much as the luma's, which most pictures are read by."""
    if image.mode == "L":
        return LUMINANCE
    times = max(image.size) / LOOK
    size = (max(1, round(image.width / times)), max(1, round(image.height / times))) if times > 1 else image.size
    small = np.asarray(image.resize(size, Image.Resampling.NEAREST))[..., :3]
    red, green, blue = cv2.split(np.ascontiguousarray(small))
    if max(cv2.minMaxLoc(cv2.absdiff(green, other))[1] for other in (red, blue)) <= GREY:
        return LUMINANCE
    colours = cv2.blur(small.astype(np.float32), (2, 2))
    detail = cv2.absdiff(colours, cv2.blur(colours, (21, 21)))  # against the surroundings: uneven light is no contrast
    luma = colours @ LUMA[0]
    tones = [np.abs(luma - cv2.blur(luma, (21, 21))), *(detail[..., i] for i in range(3))]
    at = max(0, round(0.998 * luma.size) - 1)
    contrasts = [float(np.partition(tone, at, axis=None)[at]) for tone in tones]
    best = int(np.argmax(contrasts))
    return Channel(best - 1) if contrasts[best] > 2 * contrasts[0] else LUMINANCE
