"""Reconciles what the workers serve with what lies on disk (a pure function): the next state of all workers.

The first worker that sees a change computes it; any other would get the same result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from server.models.repository.scan import ModelListing
from server.models.repository.served_model import STABLE
from server.models.repository.shared_state import ModelState, Refusal, ServingState, Stamps, WorkerReport
from server.models.repository.version_policy import VersionPolicy


def reconcile(
    state: ServingState | None,
    listings: Mapping[str, ModelListing],
    reports: Sequence[WorkerReport],
    policy: VersionPolicy,
) -> ServingState:
    """The next state, of the same generation. Without a state the server has just started: versions that a worker has
    opened are then served at once, for predictions, and checked in the background."""
    before = state or ServingState()
    models = {}
    for name in sorted({*before.models, *listings}):
        entry = _ModelCase(
            name, before.models.get(name, ModelState()), listings.get(name, ModelListing()), policy
        ).next(reports, starting=state is None)
        if entry != ModelState():
            models[name] = entry
    return ServingState(before.generation, models)


def wanted_versions(name: str, entry: ModelState, listing: ModelListing, policy: VersionPolicy) -> dict[str, str]:
    """The listed versions to prepare, with their stamps: first the one that is to answer by default."""
    if entry.unloaded:
        return {}
    case = _ModelCase(name, entry, listing, policy)
    refused = case.refused([])
    found = case.wanted(refused) - set(refused)
    stable = case.listed_labels.get(STABLE)
    return {number: listing.versions[number] for number in sorted(found, key=lambda one: (one != stable, -int(one)))}


@dataclass(frozen=True)
class _ModelCase:
    """One model: what is served of it, and what is listed."""

    name: str
    entry: ModelState
    listing: ModelListing
    policy: VersionPolicy

    def next(self, reports: Sequence[WorkerReport], starting: bool) -> ModelState:
        refused = self.refused(reports)
        served = {} if self.entry.unloaded else self._served(refused, reports, starting)
        labels = self._labels(served)
        return replace(
            self.entry,
            served=served,
            labels=labels,
            refused=refused,
            broken_labels=self.listing.broken,
            notes=tuple(self._notes(served, labels)),
        )

    def refused(self, reports: Sequence[WorkerReport]) -> dict[str, Refusal]:
        """What any worker refused: a version must be good in all of them."""
        reported = [self.entry.refused, *(report.refused.get(self.name, {}) for report in reports)]
        return {
            number: refusal
            for refusals in reversed(reported)
            for number, refusal in sorted(refusals.items())
            if refusal.stamp == self.listing.versions.get(number) and refusal.attempt == self.entry.attempt
        }

    @property
    def listed_labels(self) -> Mapping[str, str]:
        """The version labels as listed; where the file is broken, as they were."""
        return self.entry.labels if self.listing.labels is None else self.listing.labels

    def wanted(self, refused: Mapping[str, Refusal]) -> set[str]:
        """Refused versions are not wanted, unless their files replace those of a version that is served: it goes on."""
        current, present = self.entry.served, self.listing.versions
        usable = [n for n, stamp in present.items() if n not in refused or current.get(n, stamp) != stamp]
        labelled = {
            *self.listed_labels.values(),
            *(to for label, to in self.entry.labels.items() if label in self.listed_labels),
        }
        return self.policy.wanted(self.name, usable, labelled)

    def _served(
        self, refused: Mapping[str, Refusal], reports: Sequence[WorkerReport], starting: bool
    ) -> dict[str, str]:
        current, present = self.entry.served, self.listing.versions
        ready = {n for n, stamp in present.items() if n not in refused and self._everywhere(reports, n, stamp)}
        opened = {
            n for n, stamp in present.items() if starting and any(self._has(one.opened, n, stamp) for one in reports)
        }
        served, pending = {}, False
        for number in self.wanted(refused):
            if number in ready or (number in opened and number not in refused):
                served[number] = present[number]
            elif number in current:
                served[number] = current[number]
            else:
                pending = True
        certain = any(number in ready for number in served)
        for number in set(current) & set(present) - set(served):
            if not certain or (pending and number not in refused):
                served[number] = current[number]
        if current and not served:  # all its folders are gone
            stable = self.entry.labels.get(STABLE, "")
            last = stable if stable in current else max(current, key=int)
            served[last] = current[last]
        return dict(sorted(served.items(), key=lambda one: int(one[0])))

    def _everywhere(self, reports: Sequence[WorkerReport], number: str, stamp: str) -> bool:
        return bool(reports) and all(self._has(report.prepared, number, stamp) for report in reports)

    def _has(self, stamps: Stamps, number: str, stamp: str) -> bool:
        return stamp in stamps.get(self.name, {}).get(number, ())

    def _labels(self, served: Mapping[str, str]) -> dict[str, str]:
        """As listed; but a version label moves only to a version that is served."""
        old, listed_labels = self.entry.labels, self.listed_labels
        stays = {label for label, to in listed_labels.items() if to not in served and old.get(label) in served}
        return {label: old[label] if label in stays else to for label, to in sorted(listed_labels.items())}

    def _notes(self, served: Mapping[str, str], labels: Mapping[str, str]) -> list[str]:
        gone = [number for number in served if number not in self.listing.versions]
        notes = [f"the folder of version {n} is gone; it goes on until another version is served" for n in gone]
        for label, to in sorted((self.listing.labels or {}).items()):
            if to not in served and not self.entry.unloaded:
                stay = f"; it stays at {labels[label]}" if labels[label] != to else ""
                notes.append(f"label {label} points at version {to}, which is not served{stay}")
        return [*notes, *self.listing.notes]
