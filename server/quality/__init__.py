"""How faithful one map is to its model: deletion, insertion, mu-fidelity and max-sensitivity, each beside two controls
that need no explanation: the same cells in random order, and the ink itself as the map.

Where libraries differ in a measure, its file says which definition is taken. Controls are the same for every request:
the request's seed is the explainer's, and does not change how a map is judged.
"""

from collections.abc import Iterator

from server.errors import OutOfTime
from server.quality.cells import Cells
from server.quality.curves import deletion_and_insertion
from server.quality.mu_fidelity import mu_fidelity
from server.quality.sensitivity import max_sensitivity
from server.types import Array, Attribution, Explainer, Measure, Model, Quality, Target


def assess(
    model: Model, image: Array, target: Target, explainer: Explainer, attribution: Attribution, seed: int
) -> Quality:
    """The measures of `attribution` (of image (H, W) by `explainer` with `seed`), as many as there was time for."""
    cells = Cells.of(model, image, target, attribution)
    measures: list[Measure] = []
    finished = True
    try:
        for found in _measured(cells, model, image, target, explainer, attribution, seed):
            measures += found
    except OutOfTime:
        finished = False
    return Quality(tuple(measures), finished)


def unmeasured() -> Quality:
    """Of a map for which there was no time."""
    return Quality((), finished=False)


def _measured(
    cells: Cells, model: Model, image: Array, target: Target, explainer: Explainer, attribution: Attribution, seed: int
) -> Iterator[tuple[Measure, ...]]:
    yield deletion_and_insertion(cells)
    yield (mu_fidelity(cells),)
    yield (max_sensitivity(model, image, target, explainer, attribution, seed),)
