"""Shares the value of each cell among its pixels by slopes; the sums of cells stay what they are."""

import numpy as np

from server.explainers.integrated_gradients import gauss_legendre
from server.types import Array, Model, Target

ROUNDS = 6
NODES = 4  # pictures on each side of a path, from each baseline


def slopes_by_rank(model: Model, image: Array, target: Target, baselines: Array) -> tuple[Array, int]:
    """Values (H, W) of pixels, and the gradients that they took: (x - b) * d(target) / dx, averaged over pictures
    between image x and baselines b (m, H, W).

    First on the straight path from b to x, as integrated gradients (arXiv:1703.01365). Then ROUNDS times where a part
    of all change from b to x is undone, strongest pixels first by the values so far, and weakest first; each round has
    the same weight. So the slopes are those that the net has where the order of these very pixels matters. Paths that
    follow the model's own slopes: Kapishnikov et al., Guided Integrated Gradients (2021), arXiv:2106.09788. Pictures
    with the strongest parts gone, or alone: Fong & Vedaldi, Meaningful Perturbation (2017), arXiv:1704.03296. The sum
    is not score - base_value: `shared` sees to that.
    """
    changes = image.astype(np.float64) - baselines  # (m, H, W)
    nodes, weights = gauss_legendre(2 * NODES)
    straight = baselines[:, None] + nodes[:, None, None] * changes[:, None]
    values = _mean_slopes(model, target, straight, changes, weights)
    even = np.full(2 * NODES, 1 / (2 * NODES))
    for done in range(1, ROUNDS + 1):
        found = _mean_slopes(model, target, _in_order(image, baselines, changes, values), changes, even)
        values = (done * values + found) / (done + 1)
    return values, (ROUNDS + 1) * len(baselines) * 2 * NODES


def shared(cell_values: Array, segments: Array, pixel_values: Array) -> Array:
    """The pixel values (H, W), those of each cell raised or lowered together so that they sum to its value."""
    count = len(cell_values)
    sums = np.bincount(segments.ravel(), pixel_values.ravel(), minlength=count)
    sizes = np.maximum(np.bincount(segments.ravel(), minlength=count), 1)
    found: Array = pixel_values + ((cell_values - sums) / sizes)[segments]
    return found


def _in_order(image: Array, baselines: Array, changes: Array, values: Array) -> Array:
    """Pictures (m, 2 NODES, H, W): the strongest pixels replaced by each baseline, then all but the strongest, until a
    share of all change is undone: the middles of NODES equal shares."""
    order = np.argsort(-values, axis=None, kind="stable")
    rank = np.argsort(order).reshape(image.shape)
    amounts = np.abs(changes).reshape(len(baselines), -1)[:, order].cumsum(axis=1)  # (m, H W)
    shares = (np.arange(NODES) + 0.5) / NODES
    pictures = []
    for baseline, amount in zip(baselines, amounts, strict=True):
        gone = rank < np.searchsorted(amount, shares * amount[-1])[:, None, None]  # (NODES, H, W)
        pictures.append(np.concatenate([np.where(gone, baseline, image), np.where(gone, image, baseline)]))
    return np.stack(pictures)


def _mean_slopes(model: Model, target: Target, pictures: Array, changes: Array, weights: Array) -> Array:
    """changes (m, H, W) times the slopes at pictures (m, p, H, W), their mean by weights (p,) and over m."""
    flat = pictures.reshape(-1, *changes.shape[1:]).astype(np.float32)
    slopes = model.gradient(flat, np.repeat(target.weights[None], len(flat), axis=0)).reshape(pictures.shape)
    mean: Array = (changes * np.einsum("p,mphw->mhw", weights, slopes.astype(np.float64))).mean(axis=0)
    return mean
