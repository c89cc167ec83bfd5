"""Compares the pictures of a run with what is usual for its version (drift), as server/rollout/drift.py does with what
people send."""

from collections.abc import Mapping
from dataclasses import dataclass

from server.bulk.report.gather import Gathered
from server.bulk.report.version import VersionFacts
from server.bulk.worker import RunSpec
from server.rollout.drift import LEAST, evidence_index
from server.types import Reference

LITTLE, MUCH = 0.1, 0.25  # customary bounds of the population stability index (Siddiqi 2006, Credit Risk Scorecards)


@dataclass(frozen=True)
class DriftSummary:
    """Population stability indices by what they are of, or why there are none."""

    reference: Reference | None
    missing: str  # why there is none
    indices: Mapping[str, float]
    no_evidence: str = ""  # why that of the evidence is missing
    read: int = 0  # pictures
    mapped: int = 0  # explanations

    def in_words(self, of: str) -> str:
        """What the index of that says."""
        if (self.mapped if of == "evidence" else self.read) < LEAST:
            return "too few to tell"
        if self.indices[of] < LITTLE:
            return "as usual"
        return "moved somewhat" if self.indices[of] <= MUCH else "moved much"


def compare_with_reference(gathered: Gathered, spec: RunSpec, version: VersionFacts) -> DriftSummary:
    """Of all pictures that were read, against the reference of the version's card."""
    if version.card is None or version.card.reference is None:
        return DriftSummary(None, version.missing or "the card of the version has no reference (reference.json)", {})
    reference = version.card.reference
    if not gathered.read:
        return DriftSummary(reference, "no picture was read", {})
    indices = gathered.counts.indices(reference)
    why = _incomparable(gathered, spec, version, reference)
    if not why:
        indices["evidence"] = evidence_index(gathered.cells, gathered.mapped, reference)
    return DriftSummary(reference, "", indices, why, gathered.read, int(gathered.mapped.sum()))


def _incomparable(gathered: Gathered, spec: RunSpec, version: VersionFacts, reference: Reference) -> str:
    """Why the evidence of a run cannot be compared; "" where it can."""
    request, explainer = version.request, version.explainer
    same = explainer is not None and explainer.name == reference.method and explainer == type(explainer)()
    if not same or request.engine != "inkling" or request.output != "logit":
        return f"the reference is of {reference.method} with its defaults, this run is not"
    if request.target is not None or request.versus is not None:
        return "the reference explains the predicted class alone, this run another one, or a contrast"
    if spec.explain_if is not None:
        return f"the reference is of all pictures, this run explains only those with {spec.explain_if}"
    return "" if gathered.mapped.any() else "no picture is explained"
