"""The two colour scales for levels, each from a few anchors in CIELAB. Knows no attribution.

A level is a value as a part of the scale's limit, in [-1, 1]. Colours are laid over a grey with an opacity that grows
with the level, so that zero leaves any grey as it is. The two arms of the signed scale are equally
light at equal strength; red-orange against blue stays apart for people with any common colour blindness. The unsigned
scale is grey and falls in lightness all the way: colours would say "for" and "against" where nothing is.
"""

import numpy as np

from server.types import Array

Lab = tuple[float, float, float]

FOR: tuple[Lab, ...] = ((76, 26, 34), (60, 53, 50), (42, 60, 46))  # orange to red
AGAINST: tuple[Lab, ...] = ((76, -12, -28), (60, -4, -46), (42, 18, -62))  # light to deep blue
STRENGTH: tuple[Lab, ...] = ((84, 0, 0), (50, 0, 0), (16, 0, 0))  # light grey to nearly black
OPACITY = 0.9  # at full strength: the digit still shimmers through

_XYZ_TO_LINEAR = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_WHITE = np.array([0.9505, 1.0, 1.0890])  # D65, that of sRGB


def heat(levels: Array, signed: bool) -> tuple[Array, Array]:
    """Colour (..., 3) as sRGB in [0, 1] and opacity (...) in [0, 1] of levels (...); unsigned ones below 0 are 0."""
    strength = np.clip(np.abs(levels) if signed else levels, 0, 1)
    if signed:
        lab = np.where((levels < 0)[..., None], _along(AGAINST, strength), _along(FOR, strength))
    else:
        lab = _along(STRENGTH, strength)
    return _srgb(lab), OPACITY * strength * (2 - strength)


def over(grey: Array, levels: Array, signed: bool) -> Array:
    """Levels (...) laid over grey (...) in [0, 1]: sRGB (..., 3) in [0, 1]."""
    colour, opacity = heat(levels, signed)
    blend: Array = grey[..., None] + opacity[..., None] * (colour - grey[..., None])
    return blend


def eight_bit(colour: Array) -> Array:
    """Numbers in [0, 1] -> uint8."""
    return np.floor(colour * 255 + 0.5).astype(np.uint8)


def _along(anchors: tuple[Lab, ...], strength: Array) -> Array:
    """Straight lines in CIELAB through the anchors, evenly spaced: (..., 3)."""
    stops = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(strength, stops, channel) for channel in zip(*anchors, strict=True)], axis=-1)


def _srgb(lab: Array) -> Array:
    """CIELAB (..., 3) -> sRGB (..., 3) in [0, 1], clipped where sRGB has no such colour (IEC 61966-2-1)."""
    lightness = (lab[..., 0] + 16) / 116
    root = np.stack([lightness + lab[..., 1] / 500, lightness, lightness - lab[..., 2] / 200], axis=-1)
    xyz = _WHITE * np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = np.clip(xyz @ _XYZ_TO_LINEAR.T, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))
