"""The grey picture in which ink and paper differ most: the luma, or a colour channel where these are equally light."""

from dataclasses import dataclass

import cv2
import numpy as np

from server.images.tones import histogram
from server.types import Array

LOOK = 96  # pixels on the longer side of what is looked at
TO_GREY = {3: cv2.COLOR_RGB2GRAY, 4: cv2.COLOR_RGBA2GRAY}  # by how many channels there are
GREY = 12  # levels between the channels up to which a picture counts as grey
CLEAR = 64  # levels of contrast, from which on the luma shows what there is
AROUND = (21, 21)  # pixels whose mean a detail is compared with: uneven light is no contrast


@dataclass(frozen=True)
class Channel:
    """Which grey a picture is read by: 0, 1, 2 for red, green and blue; None for the luma."""

    number: int | None

    @property
    def steps(self) -> tuple[str, ...]:
        return () if self.number is None else ("colour separated",)

    def of(self, pixels: Array) -> Array:
        """(h, w) uint8 of pixels (h, w) of grey, (h, w, 3) of RGB or (h, w, 4) of RGBA, all uint8."""
        if pixels.ndim == 2:
            return pixels
        if self.number is None:
            return np.asarray(cv2.cvtColor(pixels, TO_GREY[pixels.shape[2]]))
        return np.asarray(cv2.extractChannel(pixels, self.number))


LUMINANCE = Channel(None)


def best_channel(pixels: Array) -> Channel:
    """A colour channel if its details stand out twice as much as the luma's, which most pictures are read by. Pixels
    are as those of `Channel.of`."""
    if pixels.ndim == 2:
        return LUMINANCE
    times = max(1.0, max(pixels.shape) / LOOK)
    size = [max(1, round(side / times)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)
    red, green, blue = cv2.split(small)[:3]
    if max(cv2.norm(green, other, cv2.NORM_INF) for other in (red, blue)) <= GREY:
        return LUMINANCE
    soft = cv2.blur(small, (2, 2))
    luma = _contrast(LUMINANCE.of(soft))
    if luma >= CLEAR:
        return LUMINANCE
    contrasts = [_contrast(channel) for channel in cv2.split(soft)[:3]]
    best = int(np.argmax(contrasts))
    return Channel(best) if contrasts[best] > 2 * luma else LUMINANCE


def _contrast(tones: Array) -> int:
    """How much the details of tones (h, w) uint8 differ from what is around them, in levels."""
    return histogram(cv2.absdiff(tones, cv2.blur(tones, AROUND))).quantile(0.998)
