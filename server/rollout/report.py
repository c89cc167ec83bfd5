"""Says what a shadow found: which classes the second version answers otherwise, more often than chance explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

Z = 2.58  # of Wilson's intervals: 99 %, since ten classes are looked at
SUSPICIOUS = 0.05  # share of changed answers in a class, beyond which its interval has to lie
FEWEST = 3  # changed answers without which no class is suspected


class Compared(NamedTuple):
    """What was counted of one class."""

    same: int
    changed: int
    confidence_moved: float | None  # mean difference of the class's probability
    explanation_moved: float | None  # mean share of evidence that lies elsewhere


@dataclass(frozen=True)
class ClassReport:
    """One class, as the version that answers reads it."""

    label: str
    compared: int
    changed: int
    interval: tuple[float, float]  # Wilson's, of the share of changed answers
    confidence_moved: float | None
    explanation_moved: float | None

    @property
    def suspicious(self) -> bool:
        return self.changed >= FEWEST and self.interval[0] > SUSPICIOUS


@dataclass(frozen=True)
class Report:
    """All classes that were seen, those that changed most first."""

    classes: Sequence[ClassReport]
    compared: int
    changed: int
    interval: tuple[float, float]

    @property
    def suspicious(self) -> list[str]:
        return [one.label for one in self.classes if one.suspicious]

    @property
    def summary(self) -> str:
        """In a sentence."""
        if not self.compared:
            return "No picture has been compared yet."
        start = f"Of {self.compared} pictures, {self.changed} are answered otherwise"
        worst = [one for one in self.classes if one.suspicious]
        if not worst:
            return f"{start}; in no class clearly more than {SUSPICIOUS:.0%}."
        told = ", ".join(f"{one.label} ({one.changed} of {one.compared})" for one in worst)
        return f"{start}, clearly more than {SUSPICIOUS:.0%} of the class {told}: look at it before it answers."


def report(counts: Mapping[str, Compared]) -> Report:
    """The report of what was counted by class."""
    found = [
        ClassReport(
            label, one.same + one.changed, one.changed, wilson(one.changed, one.same + one.changed),
            one.confidence_moved, one.explanation_moved,
        )
        for label, one in counts.items()
    ]  # fmt: skip
    found.sort(key=lambda one: (-one.interval[0], one.label))
    compared, changed = sum(one.compared for one in found), sum(one.changed for one in found)
    return Report(found, compared, changed, wilson(changed, compared))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 99 % interval of a share (1927, doi:10.1080/01621459.1927.10502953); (0, 1) of none."""
    if of == 0:
        return 0.0, 1.0
    share, square = hits / of, Z * Z / of
    centre, half = share + square / 2, Z * sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))
