"""How others make a posted picture into MNIST's 28 x 28: what most examples do, and what the better tutorials do."""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from benchmarks.case import Array

SIDE = 28
BOX = 20  # pixels of MNIST's longest side


def naive(body: bytes) -> Array:
    """Grey, inverted if the border is light, resized: (28, 28) float32."""
    return np.asarray(Image.fromarray(_light_ink(body)).resize((SIDE, SIDE)), np.float32) / 255


def tutorial(body: bytes) -> Array:
    """Otsu's threshold, the box around the ink, its longest side to 20, the brightest to 1 (or thin pens vanish, which
    few tutorials say), the centre of mass to the middle: (28, 28) float32."""
    grey = _light_ink(body)
    ink = grey > threshold_otsu(grey) if grey.min() < grey.max() else grey > grey
    if not ink.any():
        return np.zeros((SIDE, SIDE), np.float32)
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    cut = Image.fromarray(255 * ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    scale = BOX / max(cut.size)
    size = [max(1, round(side * scale)) for side in cut.size]
    small = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    small[top : top + size[1], left : left + size[0]] = np.asarray(cut.resize(size), np.float32) / 255
    small /= small.max()
    down, right = (round(SIDE / 2 - middle) for middle in ndimage.center_of_mass(small))
    return ndimage.shift(small, (down, right), order=0)


def _light_ink(body: bytes) -> Array:
    """(h, w) uint8, what is transparent on white, and inverted if the border is light."""
    image = Image.open(BytesIO(body)).convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    grey = np.asarray(ground.convert("L"))
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 255 - grey if border.mean() > 127 else grey
