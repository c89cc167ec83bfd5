"""Max-sensitivity: how much the map changes when the ink changes a little. It says how steady a map is, not how true:
a map that is always the same is the steadiest, so that no verdict follows from it.
"""

import numpy as np

from server.types import Array, Attribution, Explainer, Measure, Model, Target

RADIUS = 0.02  # of ink
NEIGHBOURS = 5
NOTHING = 1e-9  # the length of a map that is zero but for rounding


def max_sensitivity(
    model: Model, image: Array, target: Target, explainer: Explainer, attribution: Attribution, seed: int
) -> Measure:
    """max over pictures x + d with |d| <= RADIUS of ||a(x + d) - a(x)|| / ||a(x)||; lower is better.

    Yeh et al., On the (In)fidelity and Sensitivity of Explanations (2019), arXiv:1901.09392. As captum: relative, in
    L2, radius 0.02; here over 5 neighbours instead of 10. Each neighbour is explained with the same seed, so that
    masks and noise are the same and the seed's own spread is not counted. Differs: d is 0 on empty paper, which stays
    empty. The random control is the map shuffled anew each time; the ink's is what its own change amounts to.
    """
    rng = np.random.default_rng(2)
    ink = image > 0
    original = attribution.values.astype(np.float64)
    changes, shuffled, of_ink = [], [], []
    for _ in range(NEIGHBOURS):
        noise = rng.uniform(-RADIUS, RADIUS, image.shape)
        near = np.where(ink, np.clip(image + noise, 0, 1), 0).astype(np.float32)
        *_, found = explainer.refine(model, near, target, seed)
        changes.append(_relative(found.values, original))
        shuffled.append(_relative(rng.permutation(original[ink]), original[ink]))
        of_ink.append(_relative(near, image))
    return Measure("max_sensitivity", _largest(changes), _largest(shuffled), _largest(of_ink), "lower", None)


def _relative(changed: Array, original: Array) -> float:
    size = float(np.linalg.norm(original))
    return float(np.linalg.norm(changed - original)) / size if size > NOTHING else np.nan


def _largest(changes: list[float]) -> float | None:
    """None for a map that is zero everywhere: there is nothing to relate a change to."""
    return max(changes) if np.isfinite(changes).all() else None
