"""Says where the evidence of a map lies, in few cells, so that many maps can be compared. Knows no models."""

import numpy as np

from server.types import REFERENCE_CELLS, Array


def cell_shares(values: Array) -> Array:
    """What share of the absolute values of maps (..., H, W) lies in each cell of a grid; equal shares of nothing."""
    rows, columns = (
        np.arange(REFERENCE_CELLS)[:, None] == np.arange(side) * REFERENCE_CELLS // side for side in values.shape[-2:]
    )
    cells = rows.astype(float) @ np.abs(values) @ columns.T
    total = cells.sum(axis=(-2, -1), keepdims=True)
    equal = np.full_like(cells, 1 / REFERENCE_CELLS**2)
    return np.asarray(np.divide(cells, total, out=equal, where=total > 0))
