"""A measure of a map beside its controls (a permutation test): how many of the random ones it beats, and whether the
best of them would have passed. Where that would not, as with three cells, nothing can be said of any map.
"""

from typing import Literal

from server.types import PASSED, Array, Measure

SAME = 1e-9  # values that differ by rounding alone


def measured(name: str, value: float, ink: float, random: Array, better: Literal["lower", "higher"]) -> Measure:
    """The measure of a map, of the ink, and of each of the random controls (r,)."""
    sign = 1 if better == "higher" else -1
    found, controls = sign * value, sign * random
    can_tell = _beaten(float(controls.max()), controls) >= PASSED
    return Measure(name, value, float(random.mean()), ink, better, _beaten(found, controls), can_tell)


def _beaten(value: float, controls: Array) -> float:
    """The share of the controls that are less than `value`; those that equal it count half."""
    below, above = controls < value - SAME, controls > value + SAME
    return float((below.mean() + 1 - above.mean()) / 2)
