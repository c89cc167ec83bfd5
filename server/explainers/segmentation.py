"""Cuts an image into segments (cells) for black-box methods: superpixels or a grid. Segments are numbered 0 .. n-1.

scikit-image is imported when it is first asked for: a process that only predicts has no need of its 50 MB.
"""

from typing import Literal

import numpy as np

from server.types import Array

Segmentation = Literal["quickshift", "slic", "grid"]

MIN_SEGMENTS = 5  # superpixels: with fewer there is nothing to rank
FINER = 5.0  # pixels; links of quickshift longer than this are cut where too few superpixels came out
COARSE_GRID = 4  # cells a side, where even that gives too few
COARSEST = 6.0  # pixels, the largest kernel of quickshift
MAX_SEGMENTS = 64  # superpixels: noise is cut into hundreds, which nobody can rank and no sample can tell apart


def warm() -> None:
    """Import what explanations need, before a request waits for it."""
    superpixels(np.zeros((4, 4)), 1.0)
    medial_line(np.zeros((4, 4), bool))


def grid(shape: tuple[int, ...], cells: tuple[int, ...]) -> Array:
    """Segments (H, W) of a grid of (rows, columns) cells over an image of `shape`, as equal as whole pixels allow."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(shape, cells, strict=True))
    segments: Array = rows[:, None] * cells[1] + columns[None, :]
    return segments


def superpixels(image: Array, kernel_size: float, max_dist: float = 200.0) -> Array:
    """Segments (H, W) of quickshift; what is not given is as in the lime package, and 4 and 200 are its own defaults.

    Vedaldi & Soatto, Quick Shift and Kernel Methods for Mode Seeking (2008), doi:10.1007/978-3-540-88693-8_52.
    """
    from skimage.segmentation import quickshift

    colours = np.repeat(image[..., None], 3, axis=2)
    return _numbered(quickshift(colours, kernel_size=kernel_size, max_dist=max_dist, ratio=0.2))


def segment(image: Array, how: Segmentation, kernel_size: float, n_segments: int) -> Array:
    """Segments (H, W) of 5 to 64 segments: quickshift with a kernel of `kernel_size` pixels, SLIC, or a grid, the
    latter two of about `n_segments`. Too few superpixels are cut finer, too many coarser; if that does not help, the
    segments are a grid.

    SLIC: Achanta et al. (2012), doi:10.1109/TPAMI.2012.120.
    """
    if how == "quickshift":
        segments = superpixels(image, kernel_size)
        if segments.max() + 1 < MIN_SEGMENTS:
            segments = superpixels(image, min(kernel_size, 1.0), FINER)
        while segments.max() + 1 > MAX_SEGMENTS and kernel_size < COARSEST:
            kernel_size = min(kernel_size + 1, COARSEST)
            segments = superpixels(image, kernel_size)
    elif how == "slic":
        from skimage.segmentation import slic

        segments = _numbered(slic(image, n_segments=n_segments, compactness=0.1, channel_axis=None, start_label=0))
    else:
        side = max(3, round(n_segments**0.5))
        return grid(image.shape, (side, side))
    is_in_range = MIN_SEGMENTS <= segments.max() + 1 <= MAX_SEGMENTS
    return segments if is_in_range else grid(image.shape, (COARSE_GRID, COARSE_GRID))


def medial_line(ink: Array) -> Array:
    """The line one pixel wide in the middle of the strokes (skeleton), (H, W) bool, of `ink` (H, W) bool.

    Zhang & Suen, A Fast Parallel Algorithm for Thinning Digital Patterns (1984), doi:10.1145/357994.358023.
    """
    from skimage.morphology import skeletonize

    line: Array = skeletonize(ink)
    return line


def _numbered(segments: Array) -> Array:
    return np.unique(segments, return_inverse=True)[1].reshape(segments.shape)
