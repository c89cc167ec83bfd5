"""What all workers are to serve next: a pure function of what they serve, what lies on disk and what each has ready.

Whichever worker looks first computes it, and any would come to the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from server.models.repository.scan import ModelListing
from server.models.repository.served_model import STABLE
from server.models.repository.shared_state import ModelState, Refusal, ServingState, Stamps, WorkerReport
from server.models.repository.version_policy import VersionPolicy


def agreed(
    state: ServingState | None,
    shelves: Mapping[str, ModelListing],
    reports: Sequence[WorkerReport],
    policy: VersionPolicy,
) -> ServingState:
    """The next state, of the same generation. Without a state the server has just started: what a worker has opened is
    served at once, so that predictions are, and checked in the background."""
    before = state or ServingState()
    models = {}
    for name in sorted({*before.models, *shelves}):
        entry = _Case(name, before.models.get(name, ModelState()), shelves.get(name, ModelListing()), policy).next(
            reports, first=state is None
        )
        if entry != ModelState():
            models[name] = entry
    return ServingState(before.generation, models)


def wanted(name: str, entry: ModelState, shelf: ModelListing, policy: VersionPolicy) -> dict[str, str]:
    """The versions on the shelf to be prepared, with their stamps: first what is to answer by default."""
    if entry.unloaded:
        return {}
    case = _Case(name, entry, shelf, policy)
    refused = case.refused([])
    found = case.wanted(refused) - set(refused)
    stable = case.filed.get(STABLE)
    return {number: shelf.versions[number] for number in sorted(found, key=lambda one: (one != stable, -int(one)))}


@dataclass(frozen=True)
class _Case:
    """One model: what is served of it, and what is on its shelf."""

    name: str
    entry: ModelState
    shelf: ModelListing
    policy: VersionPolicy

    def next(self, reports: Sequence[WorkerReport], first: bool) -> ModelState:
        refused = self.refused(reports)
        served = {} if self.entry.unloaded else self._served(refused, reports, first)
        labels = self._labels(served)
        return replace(
            self.entry,
            served=served,
            labels=labels,
            refused=refused,
            broken_labels=self.shelf.broken,
            notes=tuple(self._notes(served, labels)),
        )

    def refused(self, reports: Sequence[WorkerReport]) -> dict[str, Refusal]:
        """What any worker refused: one that cannot serve a version is enough."""
        told = [self.entry.refused, *(report.refused.get(self.name, {}) for report in reports)]
        return {
            number: refusal
            for refusals in reversed(told)
            for number, refusal in sorted(refusals.items())
            if refusal.stamp == self.shelf.versions.get(number) and refusal.attempt == self.entry.attempt
        }

    @property
    def filed(self) -> Mapping[str, str]:
        """The labels as the shelf has them; broken ones are as they were."""
        return self.entry.labels if self.shelf.labels is None else self.shelf.labels

    def wanted(self, refused: Mapping[str, Refusal]) -> set[str]:
        """A refused version is not; but where its files have changed under one that is served, that one is."""
        going, present = self.entry.served, self.shelf.versions
        usable = [n for n, stamp in present.items() if n not in refused or going.get(n, stamp) != stamp]
        labelled = {*self.filed.values(), *(to for label, to in self.entry.labels.items() if label in self.filed)}
        return self.policy.wanted(self.name, usable, labelled)

    def _served(self, refused: Mapping[str, Refusal], reports: Sequence[WorkerReport], first: bool) -> dict[str, str]:
        going, present = self.entry.served, self.shelf.versions
        ready = {n for n, stamp in present.items() if n not in refused and self._everywhere(reports, n, stamp)}
        opened = {
            n for n, stamp in present.items() if first and any(self._has(one.opened, n, stamp) for one in reports)
        }
        served, pending = {}, False
        for number in self.wanted(refused):
            if number in ready or (number in opened and number not in refused):
                served[number] = present[number]
            elif number in going:
                served[number] = going[number]
            else:
                pending = True
        certain = any(number in ready for number in served)
        for number in set(going) & set(present) - set(served):
            if not certain or (pending and number not in refused):
                served[number] = going[number]
        if going and not served:  # all their folders are gone
            stable = self.entry.labels.get(STABLE, "")
            last = stable if stable in going else max(going, key=int)
            served[last] = going[last]
        return dict(sorted(served.items(), key=lambda one: int(one[0])))

    def _everywhere(self, reports: Sequence[WorkerReport], number: str, stamp: str) -> bool:
        return bool(reports) and all(self._has(report.prepared, number, stamp) for report in reports)

    def _has(self, stamps: Stamps, number: str, stamp: str) -> bool:
        return stamp in stamps.get(self.name, {}).get(number, ())

    def _labels(self, served: Mapping[str, str]) -> dict[str, str]:
        """As filed; but a label moves only to a version that is served, and broken ones stay as they were."""
        old, filed = self.entry.labels, self.filed
        stays = {label for label, to in filed.items() if to not in served and old.get(label) in served}
        return {label: old[label] if label in stays else to for label, to in sorted(filed.items())}

    def _notes(self, served: Mapping[str, str], labels: Mapping[str, str]) -> list[str]:
        gone = [number for number in served if number not in self.shelf.versions]
        notes = [f"the folder of version {n} is gone; it goes on until another version is served" for n in gone]
        for label, to in sorted((self.shelf.labels or {}).items()):
            if to not in served and not self.entry.unloaded:
                stay = f"; it stays at {labels[label]}" if labels[label] != to else ""
                notes.append(f"label {label} points at version {to}, which is not served{stay}")
        return notes
