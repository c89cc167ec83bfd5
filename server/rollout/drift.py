"""Watches whether what people send is still what is usual for a version (drift): the population stability index of the
last pictures against the reference of its card.

The index of two distributions is the sum of (p - q) ln(p / q) (Siddiqi 2006, Credit Risk Scorecards); below 0.1 nothing
has changed, above 0.25 much has. Knows no HTTP.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from server.rollout.evidence import cell_shares
from server.types import REFERENCE_BOUNDS, Array, Explanation, ModelCard, Reference

WINDOW = 1000  # pictures that count, the most recent ones
LEAST = 200  # pictures without which nothing is told
EVERY = 50  # pictures between two indices
MOST_VERSIONS = 64  # that are watched at the same time

Tell = Callable[[str, str, str, float], None]
"""Model, version, of what, the index."""


class Drift:
    """The recent pictures of each version that has a reference. `tell` is called with its indices. Thread-safe."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._recent: dict[str, _Recent] = {}  # by the digest of the card

    def add(self, card: ModelCard, index: int, probability: float, familiar: bool) -> None:
        """A picture was predicted."""
        if card.reference is None:
            return
        with self._lock:
            recent = self._of(card, card.reference)
            due = recent is not None and recent.add(index, probability, familiar)
            found = recent.indices() if due and recent is not None else {}
        self._tell_all(card, found)

    def add_explanation(self, found: Explanation) -> None:
        """A picture was explained: by the reference's method, with its defaults, it says where evidence lies."""
        card, explainer = found.prediction.card, found.explainer
        reference = card.reference
        if reference is None or found.target.versus is not None or found.output != "logit":
            return
        if explainer.name != reference.method or explainer != type(explainer)():
            return
        with self._lock:
            recent = self._of(card, reference)
            due = recent is not None and recent.add_cells(found.target.index, cell_shares(found.attribution.values))
            told = recent.evidence() if due and recent is not None else {}
        self._tell_all(card, told)

    def _of(self, card: ModelCard, reference: Reference) -> "_Recent | None":
        found = self._recent.get(card.digest)
        if found is None and len(self._recent) < MOST_VERSIONS:
            found = self._recent[card.digest] = _Recent(reference)
        return found

    def _tell_all(self, card: ModelCard, indices: dict[str, float]) -> None:
        for what, index in indices.items():
            self._tell(card.name, card.version, what, index)


@dataclass
class _Recent:
    """The window of one version."""

    reference: Reference
    pictures: deque[tuple[int, int, int]] = field(default_factory=deque)  # class, bin of confidence, unfamiliar
    cells: deque[tuple[int, Array]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    seen: int = 0
    explained: int = 0

    def __post_init__(self) -> None:
        self.counts = PictureCounts.none(len(self.reference.classes))

    def add(self, index: int, probability: float, familiar: bool) -> bool:
        """Whether its indices are due."""
        picture = index, int(bin_of(probability)), int(not familiar)
        self.pictures.append(picture)
        self.counts.add(*picture)
        if len(self.pictures) > WINDOW:
            self.counts.add(*self.pictures.popleft(), by=-1)
        self.seen += 1
        return len(self.pictures) >= LEAST and self.seen % EVERY == 0

    def add_cells(self, index: int, cells: Array) -> bool:
        self.cells.append((index, cells.ravel()))
        self.explained += 1
        return len(self.cells) >= LEAST and self.explained % EVERY == 0

    def indices(self) -> dict[str, float]:
        return self.counts.indices(self.reference)

    def evidence(self) -> dict[str, float]:
        explained = np.bincount([index for index, _ in self.cells], minlength=len(self.reference.classes))
        found = np.sum([cells for _, cells in self.cells], axis=0)
        return {"evidence": evidence_index(found, explained, self.reference)}


@dataclass(frozen=True)
class PictureCounts:
    """How many pictures were read as each class, with each bin of confidence, and how many are like the training data
    or not."""

    classes: Array  # (K,) int
    confidence: Array  # (len(REFERENCE_BOUNDS) + 1,) int
    unfamiliar: Array  # (2,) int: familiar, unfamiliar

    @staticmethod
    def none(classes: int) -> "PictureCounts":
        """Of a version with so many classes."""
        return PictureCounts(np.zeros(classes, int), np.zeros(len(REFERENCE_BOUNDS) + 1, int), np.zeros(2, int))

    def add(self, index: int | Array, confidence: int | Array, unfamiliar: int | Array, by: int = 1) -> None:
        """Count a picture, or several at once, by their classes, bins and whether they are unfamiliar."""
        np.add.at(self.classes, index, by)
        np.add.at(self.confidence, confidence, by)
        np.add.at(self.unfamiliar, unfamiliar, by)

    def indices(self, reference: Reference) -> dict[str, float]:
        """The stability index of each against what is usual."""
        usual = reference.out_of_distribution
        return {
            "classes": stability_index(self.classes, reference.classes),
            "confidence": stability_index(self.confidence, reference.confidence),
            "out_of_distribution": stability_index(self.unfamiliar, np.array([1 - usual, usual])),
        }


def bin_of(probability: float | Array) -> Array:
    """The bin of confidence of an answered probability, or of several."""
    return np.asarray(np.searchsorted(REFERENCE_BOUNDS, probability))


def evidence_index(cells: Array, explained: Array, reference: Reference) -> float:
    """The stability index of where evidence lies, beside where it usually lies for classes as these are mixed: `cells`
    (REFERENCE_CELLS ** 2,) are the sums of `cell_shares` of so many explanations of each class (K,)."""
    return stability_index(cells, explained @ reference.cells / explained.sum())


def stability_index(counts: Array, usual: Array) -> float:
    """The population stability index of counts (k,) against usual shares (k,). Half a picture more in each, on both
    sides, lets what was never seen be no infinity."""
    total = float(np.sum(counts))
    smooth = total + len(counts) / 2
    found, expected = (np.asarray(counts) + 0.5) / smooth, (usual * total + 0.5) / smooth
    return float(((found - expected) * np.log(found / expected)).sum())
