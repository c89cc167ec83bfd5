"""masked_scores: the only way a black-box method asks the model. Cells of the image are kept or replaced by a baseline.

Every distinct mask is evaluated once, for all classes at once; the pictures are made a chunk at a time, so memory does
not grow with the number of masks.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from server.types import Array, Model, ModelCard, Target

Masks = npt.NDArray[np.bool_]  # (m, n): mask i keeps cell j

CHUNK = 512  # pictures made at once, 1.6 MB of 28 x 28
BLUR = 4.0  # pixels, standard deviation: twice the width of a stroke


def masked_scores(model: Model, image: Array, segments: Array, masks: Masks, baseline: Array) -> tuple[Array, int]:
    """Outputs (m, K) of image (H, W) with the cells that each mask (m, n) drops replaced by baseline (H, W), and the
    rows that it took. `segments` (H, W) says which cell, 0 .. n-1, a pixel belongs to.
    """
    distinct, where = np.unique(np.packbits(masks, axis=1), axis=0, return_inverse=True)
    keep = np.unpackbits(distinct, axis=1, count=masks.shape[1]).astype(bool)
    chunks = (keep[start : start + CHUNK] for start in range(0, len(keep), CHUNK))
    outputs = [model.forward(np.where(chunk[:, segments], image, baseline).astype(np.float32)) for chunk in chunks]
    return np.concatenate(outputs)[where.ravel()], len(keep)


def blended_scores(model: Model, image: Array, masks: Array, baseline: Array) -> Array:
    """Outputs (m, K) of m x image + (1 - m) x baseline for each soft mask m of masks (m, H, W) in [0, 1]."""
    chunks = (masks[start : start + CHUNK] for start in range(0, len(masks), CHUNK))
    return np.concatenate([model.forward(baseline + chunk * (image - baseline)) for chunk in chunks])


def spread(segment_values: Array, segments: Array) -> Array:
    """Each segment's value divided evenly among its pixels, (H, W): sums are kept."""
    sizes = np.bincount(segments.ravel(), minlength=len(segment_values))
    shares: Array = (segment_values / np.maximum(sizes, 1))[segments]
    return shares


def baseline_of(name: str, card: ModelCard) -> Array:
    """The picture (H, W) that stands for "nothing there": `black` (empty paper) or `mean` of the background."""
    if name == "black":
        return np.zeros((card.image.height, card.image.width), np.float32)
    mean: Array = card.background.mean(axis=0).astype(np.float32)
    return mean


def baselines_of(name: str, card: ModelCard, image: Array) -> Array:
    """The pictures (m, H, W) that stand for "nothing there", over which a method takes the mean: one for `black` and
    `mean`, one for `blur` (the image itself without its strokes), every background image for `background`."""
    if name == "background":
        return card.background
    if name == "blur":
        blurred: Array = gaussian_filter(image, BLUR)[None].astype(np.float32)
        return blurred
    return baseline_of(name, card)[None]


@lru_cache(maxsize=8)
def all_masks(n: int) -> Masks:
    """All 2^n masks of n cells, (2^n, n); row i keeps cell j when bit j of i is set, so the last keeps everything."""
    masks: Masks = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1
    masks.flags.writeable = False
    return masks


def score_of(model: Model, images: Array, target: Target) -> Array:
    """The target's score (n,) float64 of images (n, H, W)."""
    return target.score(model.forward(images.astype(np.float32)))
