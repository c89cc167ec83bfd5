"""How faithful one map is to its model: deletion, insertion, mu-fidelity and max-sensitivity, each beside two controls
that need no explanation: the same cells in random order, and the ink itself as the map.

Where libraries differ in a measure, its file says which definition is taken.
"""

from collections.abc import Iterator

import numpy as np

from server.errors import OutOfTime
from server.quality.cells import Cells
from server.quality.curves import deletion_and_insertion
from server.quality.mu_fidelity import mu_fidelity
from server.quality.sensitivity import max_sensitivity
from server.types import Array, Attribution, Explainer, Measure, Model, Quality, Target


def assess(
    model: Model, image: Array, target: Target, explainer: Explainer, attribution: Attribution, seed: int
) -> Quality:
    """The measures of `attribution` (of image (H, W) by `explainer`), as many as there was time for."""
    cells = Cells.of(model, image, target, attribution)
    measures: list[Measure] = []
    finished = True
    try:
        for found in _measured(cells, model, image, target, explainer, attribution, seed):
            measures += found
    except OutOfTime:
        finished = False
    rest = " There was no time for the other measures; raise budget_ms." if measures and not finished else ""
    return Quality(tuple(measures), _verdict(measures) + rest, finished)


def unmeasured() -> Quality:
    """Of a map for which there was no time."""
    return Quality((), _verdict([]), finished=False)


def _measured(
    cells: Cells, model: Model, image: Array, target: Target, explainer: Explainer, attribution: Attribution, seed: int
) -> Iterator[tuple[Measure, ...]]:
    rng = np.random.default_rng((seed, 1))
    yield deletion_and_insertion(cells, rng)
    yield (mu_fidelity(cells, rng),)
    yield (max_sensitivity(model, image, target, explainer, attribution, seed),)


def _verdict(measures: list[Measure]) -> str:
    """One sentence: by which measures of faithfulness the map is no better than its controls."""
    faithful = [measure for measure in measures if measure.beaten is not None]
    if measures and not faithful:
        return "This map cannot be measured: the picture has too little ink to take any away."
    if not faithful:
        return "There was no time to measure how faithful this map is; raise budget_ms."
    random = [measure.name for measure in faithful if not measure.better_than_random]
    ink = [measure.name for measure in faithful if not measure.better_than_ink]
    pairs = (("a random order", random), ("the ink alone", ink))
    doubts = [f"no better than {control} by {_listed(names)}" for control, names in pairs if names]
    if doubts:
        return f"This map is {' and '.join(doubts)}."
    names = _listed([measure.name for measure in faithful])
    return f"This map is better than a random order and than the ink alone by {names}."


def _listed(names: list[str]) -> str:
    plain = [name.replace("_auc", "").replace("_", "-") for name in names]
    return plain[0] if len(plain) == 1 else f"{', '.join(plain[:-1])} and {plain[-1]}"
