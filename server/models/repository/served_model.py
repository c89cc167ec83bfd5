"""Which versions of one model are served together, and which of them answers by default?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.models.versions import LoadedVersion

STABLE = "stable"


@dataclass(frozen=True)
class ServedModel:
    """The served versions of one model, and the version labels that point at them. Immutable: a reload puts another in
    its place."""

    versions: Mapping[str, LoadedVersion] = field(
        default_factory=dict
    )  # number -> version, ascending, not empty if served
    labels: Mapping[str, str] = field(default_factory=dict)  # version label -> number
    refused: Mapping[str, str] = field(default_factory=dict)  # number, or labels.json -> why it is not used
    notes: tuple[str, ...] = ()  # how what is served differs from the folder, in sentences
    missing: tuple[str, ...] = ()  # numbers that other workers serve and this one cannot

    @property
    def default_number(self) -> str:
        """The number that the label `stable` points at, if it is served; else the latest."""
        stable = self.labels.get(STABLE, "")
        everywhere = [*self.versions, *self.missing]
        return stable if stable in everywhere else max(everywhere, key=int)

    @property
    def default_version(self) -> LoadedVersion:
        """The default version, or where this worker lacks it the latest that it has."""
        return self.versions.get(self.default_number) or list(self.versions.values())[-1]
