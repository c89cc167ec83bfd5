"""Resampling of arrays with exact geometry: antialiased, by any factor, from any fraction of a pixel."""

import cv2
import numpy as np

from server.types import Array


def resample(
    source: Array, left: float, top: float, scale: float | tuple[float, float], shape: tuple[int, int]
) -> Array:
    """Picture of `shape` that begins at (left, top) of source (h, w); a pixel spans `scale` (one, or x and y) of its.

    Antialiased: area when shrinking, linear when growing; source counts as 0 beyond its edges."""
    scale_x, scale_y = scale if isinstance(scale, tuple) else (scale, scale)
    rows = _weights(source.shape[0], top, scale_y, shape[0])
    columns = _weights(source.shape[1], left, scale_x, shape[1])
    return np.asarray(rows @ source.astype(np.float32, copy=False) @ columns.T)


def _weights(n_in: int, start: float, step: float, n_out: int) -> Array:
    """(n_out, n_in) float32: what each input pixel gives to each output pixel; a row inside sums to 1."""
    edges = start + step * np.arange(n_out + 1)[:, None] - np.arange(n_in)  # (n_out + 1, n_in), in input pixels
    if step < 1:  # growing: hat functions around the pixels' centres
        weights = np.maximum(1 - np.abs(edges[:-1] + (step / 2 - 0.5)), 0)
    else:
        covered = np.minimum(np.maximum(edges, 0, out=edges), 1, out=edges)  # of each input pixel, up to each edge
        weights = (covered[1:] - covered[:-1]) / step
    return np.asarray(weights, np.float32)


def shrunk(grey: Array, factor: int) -> Array:
    """Mean over factor x factor blocks of grey (h, w) uint8; up to factor - 1 last rows and columns are left out."""
    if factor == 1:
        return grey
    height, width = max(1, grey.shape[0] // factor), max(1, grey.shape[1] // factor)
    whole = grey[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
