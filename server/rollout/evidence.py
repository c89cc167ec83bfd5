"""Says where the evidence of a map lies, in few cells, so that many maps can be compared. Knows no models."""

import numpy as np

from server.types import REFERENCE_CELLS, Array


def cell_shares(values: Array) -> Array:
    """What share of a map's (H, W) absolute values lies in each cell of a grid; equal shares of nothing."""
    rows, columns = (np.arange(side) * REFERENCE_CELLS // side for side in values.shape)
    cells = np.zeros((REFERENCE_CELLS, REFERENCE_CELLS))
    np.add.at(cells, (rows[:, None], columns[None, :]), np.abs(values))
    total = float(cells.sum())
    return cells / total if total > 0 else np.full_like(cells, 1 / cells.size)
