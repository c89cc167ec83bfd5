"""model_store/ -> handles: which versions there are, and which one answers. What a request holds stays until it is
done, whatever is served meanwhile.

Takes the functions that load, so that it imports neither LiteRT nor TensorFlow.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, TypedDict

from server.errors import BrokenModel, NotReady, UnknownModel
from server.models.loading import Loading
from server.models.repository.reload import Reloader
from server.models.repository.scan import ModelListing
from server.models.repository.served_model import ServedModel
from server.models.repository.shared_state import SharedState
from server.models.repository.version_policy import VersionPolicy
from server.models.versions import LoadedModel, LoadedVersion, LoadFull, LoadTwin

__all__ = ["Handle", "IndexEntry", "LoadFull", "LoadTwin", "LoadedModel", "LoadedVersion", "ServedModel", "Store"]

Readiness = Literal["READY", "UNAVAILABLE", "LOADING"]
READY: Readiness = "READY"
UNAVAILABLE: Readiness = "UNAVAILABLE"
LOADING: Readiness = "LOADING"

FOLLOW = 2.0  # seconds within which all workers serve what was wished
LOAD = 60.0  # seconds that a wish to load waits for


class IndexEntry(TypedDict):
    """A version as the repository of Open Inference lists it; `reason` says why it is not READY."""

    name: str
    version: str
    state: Readiness
    reason: str


class Handle:
    """`with` gives one version, which is not freed before the block ends."""

    __slots__ = ("_held", "_name", "_number", "_store")

    def __init__(self, store: "Store", name: str, number: str | None) -> None:
        self._store, self._name, self._number = store, name, number

    def __enter__(self) -> LoadedVersion:
        while True:
            version = self._store.find(self._name, self._number)
            if version.hold():  # else it was freed since it was found, and another is served by now
                self._held = version
                return version

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.release()


class Store:
    """All versions under `root` that are wanted and good."""

    def __init__(self, root: Path, loading: Loading, shared: SharedState, policy: VersionPolicy | None = None) -> None:
        self._following = Reloader(root, loading, shared, policy or VersionPolicy())

    @property
    def families(self) -> Mapping[str, ServedModel]:
        """What is served now, of every model that is. Never changes: another mapping takes its place."""
        return self._following.families

    def poll(self) -> None:
        """Look once whether anything is to be served otherwise. Raises OSError."""
        self._following.poll()

    def handle(self, name: str, version: str | None = None) -> Handle:
        """One version, kept for the length of one request; `version` is a number, a label, or None for the default.

        Raises (on entering):
            UnknownModel: no such name, version or label; the message lists those that there are.
            NotReady: it is served, but this worker does not have it yet.
        """
        return Handle(self, name, version)

    def find(self, name: str, version: str | None) -> LoadedVersion:
        """The version that a handle would give. Raises as `handle` does."""
        family = self.family(name)
        number = family.default if version is None else version
        if number not in family.versions:
            number = family.labels.get(number, number)
        if number not in family.versions:
            if number in family.missing:
                raise NotReady(f"{name} version {number} is loading; try again in a few seconds")
            known = ", ".join([*family.versions, *(one for one, to in family.labels.items() if to in family.versions)])
            raise UnknownModel(f"{name} has no version or label {version!r}; it has {known}")
        return family.versions[number]

    def family(self, name: str) -> ServedModel:
        """The versions of one model.

        Raises:
            UnknownModel: there is none of that name, or none of its versions can be served.
            NotReady: they are served, but this worker does not have them yet.
        """
        found = self.families.get(name)
        if found is not None:
            return found
        entry = self._following.entry(name)
        if entry.served:
            raise NotReady(f"{name} is loading; try again in a few seconds")
        known = ", ".join(sorted(self.families)) or "none"
        why = "; it is unloaded" if entry.unloaded else "".join(
            f"; its version {number} is refused: {refusal.reason}" for number, refusal in entry.refused.items()
        )  # fmt: skip
        raise UnknownModel(f"unknown model {name!r}; this server has {known}{why}")

    def load(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        """Have all workers serve a model, looking at its folder afresh and trying again what was refused. Returns when
        this worker serves it and the others do too, or have had their time.

        Raises:
            UnknownModel: there is no such folder.
            BrokenModel: none of its versions can be served; says why.
            NotReady: it takes too long; it goes on loading.
        """
        following = self._following
        following.poll()
        if not following.shelves.get(name, ModelListing()).versions and not following.entry(name).served:
            raise UnknownModel(
                f"there is no model {name!r} to load; there are {', '.join(following.shelves) or 'none'}"
            )
        following.wish(name, unloaded=False)
        self._wait(lambda: not self._loading(name), now() + LOAD, now)
        if self._loading(name):
            raise NotReady(f"{name} is still loading; it will be served as soon as it is loaded", retry_after=10)
        self._follow(now)
        if name not in self.families:
            refused = following.entry(name).refused
            told = "; ".join(f"version {number}: {refusal.reason}" for number, refusal in refused.items())
            raise BrokenModel(f"{name} cannot be served: {told or 'INKLING_VERSIONS leaves out all its versions'}")

    def unload(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        """Have all workers serve a model no more. Returns when this one does not, and the others neither or have had
        their time.

        Raises:
            UnknownModel: there is no such model.
        """
        following = self._following
        if name not in following.shelves and name not in self.families:
            raise UnknownModel(f"there is no model {name!r} to unload; there are {', '.join(self.families) or 'none'}")
        following.wish(name, unloaded=True)
        self._follow(now)

    def index(self) -> list[IndexEntry]:
        """Every version that lies in the folder or is served."""
        following = self._following
        names = sorted({*following.shelves, *self.families})
        return [one for name in names for one in self._listed(name)]

    def _follow(self, now: Callable[[], float]) -> None:
        """Give all workers time to serve what this one does."""
        generation = self._following.generation
        self._wait(lambda: self._following.followed(generation), now() + FOLLOW, now)

    def _loading(self, name: str) -> bool:
        """Whether anything of it is going to be served, or to explain, shortly."""
        versions = self.families.get(name, ServedModel()).versions.values()
        return bool(self._following.pending(name)) or any(version.explain == "loading" for version in versions)

    def _listed(self, name: str) -> list[IndexEntry]:
        entry, pending = self._following.entry(name), self._following.pending(name)
        versions = self.families.get(name, ServedModel()).versions
        listed = []
        for number in sorted({*self._following.shelves.get(name, ModelListing()).versions, *versions}, key=int):
            found, state, reason = versions.get(number), UNAVAILABLE, "INKLING_VERSIONS leaves it out"
            if found is not None and found.predicts:
                state, reason = READY, ""
            elif entry.unloaded:
                reason = "unloaded"
            elif number in entry.refused:
                reason = entry.refused[number].reason
            elif number in pending or number in entry.served:
                state, reason = LOADING, "it is being loaded and checked"
            listed.append(IndexEntry(name=name, version=number, state=state, reason=reason))
        return listed

    def _wait(self, holds: Callable[[], bool], deadline: float, now: Callable[[], float]) -> None:
        """Look again and again until it holds, or until the deadline."""
        while not holds() and now() < deadline:
            self._following.changed.clear()
            self._following.changed.wait(0.05)
            self._following.poll()
