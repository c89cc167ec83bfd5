"""Deletion and insertion: how fast the score falls when cells are removed in the map's order, and rises when they are
put back.
"""

from dataclasses import replace

import numpy as np

from server.quality.cells import Cells
from server.quality.controls import measured
from server.types import Array, Measure

STEPS = 12  # of a curve at most, so that single pixels are removed by the dozen


def deletion_and_insertion(cells: Cells) -> tuple[Measure, Measure]:
    """Areas under the curve of the target's score over the share of cells removed (lower is better) or put back on
    empty paper (higher is better), in the unit of the target's output. Of equal values it is the mean over their
    orders.

    Petsiuk et al., RISE (2018), arXiv:1806.07421; Bach et al. (2015), doi:10.1371/journal.pone.0130140. As xplique, the
    area is a trapezoid mean over [0, 1], and the score is the explained output; Quantus divides by nothing and takes
    one pixel at a time. Differs from both: only cells with ink are in the order.
    """
    if not len(cells.values):
        nothing = Measure("deletion_auc", None, None, None, "lower", None)
        return nothing, replace(nothing, name="insertion_auc", better="higher")
    found, ink, random = cells.orders(cells.values), cells.orders(cells.ink), cells.controls()
    parts = np.cumsum([len(found), len(ink)])
    deletion, insertion = (np.split(area, parts) for area in areas(cells, np.concatenate([found, ink, random])))
    return (
        measured("deletion_auc", float(deletion[0].mean()), float(deletion[1].mean()), deletion[2], "lower"),
        measured("insertion_auc", float(insertion[0].mean()), float(insertion[1].mean()), insertion[2], "higher"),
    )


def areas(cells: Cells, orders: Array) -> tuple[Array, Array]:
    """Deletion and insertion areas (r,) of the orders (r, n)."""
    n = orders.shape[1]
    places = np.argsort(orders, axis=1)  # (r, n): when each cell's turn comes
    counts = np.unique(np.rint(np.linspace(0, n, min(n, STEPS) + 1)).astype(int))
    gone = places[:, None, :] < counts[:, None]  # (r, steps, n)
    scores = [cells.scores(kept.reshape(-1, n)).reshape(len(orders), -1) for kept in (~gone, gone)]
    share = counts / max(n, 1)
    deletion, insertion = (np.trapezoid(score, share, axis=1) for score in scores)
    return deletion, insertion
