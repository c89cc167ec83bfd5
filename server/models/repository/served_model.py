"""The versions of one name that are served together, and which of them answers by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.models.versions import LoadedVersion

STABLE = "stable"


@dataclass(frozen=True)
class ServedModel:
    """The versions of one name that are served, and the labels that point at them. Never changes: another takes its
    place."""

    versions: Mapping[str, LoadedVersion] = field(default_factory=dict)  # ascending, not empty where it is served
    labels: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)  # a version, or labels.json -> why it is not used
    notes: tuple[str, ...] = ()  # what is served otherwise than the folder says, in sentences
    missing: tuple[str, ...] = ()  # what other workers serve and this one cannot

    @property
    def default(self) -> str:
        """The label `stable` where it points at a version, else the latest."""
        stable = self.labels.get(STABLE, "")
        everywhere = [*self.versions, *self.missing]
        return stable if stable in everywhere else max(everywhere, key=int)

    @property
    def served(self) -> LoadedVersion:
        """The default version, or the latest that there is where that one is missing."""
        return self.versions.get(self.default) or list(self.versions.values())[-1]
