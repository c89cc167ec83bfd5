"""The repository of served models: finds the version that answers a request, and loads and unloads models on request.

A version that a request holds stays loaded until the request is done, whatever is served meanwhile.

Takes the functions that load, so that it imports neither LiteRT nor TensorFlow.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, TypedDict

from server.errors import BrokenModel, NotReady, UnknownModel
from server.models.loading import Loading
from server.models.repository.live_versions import LiveVersions
from server.models.repository.scan import ModelListing
from server.models.repository.served_model import ServedModel
from server.models.repository.shared_state import SharedState
from server.models.repository.version_policy import VersionPolicy
from server.models.versions import LoadedModel, LoadedVersion, LoadSavedModel, LoadTwin

__all__ = ["Handle", "IndexEntry", "LoadSavedModel", "LoadTwin", "LoadedModel", "LoadedVersion", "ServedModel", "Store"]

Readiness = Literal["READY", "UNAVAILABLE", "LOADING"]
Action = Literal["load", "unload"]
READY: Readiness = "READY"
UNAVAILABLE: Readiness = "UNAVAILABLE"
LOADING: Readiness = "LOADING"

RELOAD_TIMEOUT = 2.0  # seconds that all workers have to serve what was requested
LOAD_TIMEOUT = 60.0  # seconds that a request to load waits


def _tell_nobody(name: str, action: Action) -> None: ...


class IndexEntry(TypedDict):
    """A version in the repository index of Open Inference; `reason` says why it is not READY."""

    name: str
    version: str
    state: Readiness
    reason: str


class Handle:
    """Holds one version for a `with` block: it is not freed before the block ends."""

    __slots__ = ("_held", "_name", "_number", "_store")

    def __init__(self, store: "Store", name: str, number: str | None) -> None:
        self._store, self._name, self._number = store, name, number

    def __enter__(self) -> LoadedVersion:
        while True:
            version = self._store.find(self._name, self._number)
            if version.hold():  # else it was freed since it was found, and another is served now
                self._held = version
                return version

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.release()


class Store:
    """All versions under `root` that the policy wants and that are good."""

    def __init__(
        self,
        root: Path,
        loading: Loading,
        shared: SharedState,
        policy: VersionPolicy | None = None,
        on_request: Callable[[str, Action], None] = _tell_nobody,
    ) -> None:
        """`on_request` is called with each request to load or unload a model, once this server has begun."""
        self._on_request = on_request
        self._live = LiveVersions(root, loading, shared, policy or VersionPolicy())

    @property
    def served_models(self) -> Mapping[str, ServedModel]:
        """The served models by name: an immutable mapping, replaced by another when that changes."""
        return self._live.served_models

    @property
    def unusable(self) -> Mapping[str, int]:
        """How many versions of each model in the folder are refused, its labels.json counted as one."""
        entries = {name: self._live.model_state(name) for name in self._live.listings}
        return {name: len(entry.refused) + (entry.broken_labels is not None) for name, entry in entries.items()}

    def poll(self) -> None:
        """Look once for new, changed or removed versions and labels. Raises OSError."""
        self._live.poll()

    def handle(self, name: str, version: str | None = None) -> Handle:
        """One version, kept for the length of one request; `version` is a number, a label, or None for the default.

        Raises (on entering):
            UnknownModel: no such name, version or label; the message lists the known ones.
            NotReady: it is served, but this worker does not have it yet.
        """
        return Handle(self, name, version)

    def find(self, name: str, version: str | None) -> LoadedVersion:
        """The version that a handle would give, without holding it. Raises as `handle` does."""
        served_model = self.served_model(name)
        number = served_model.default_number if version is None else version
        if number not in served_model.versions:
            number = served_model.labels.get(number, number)
        if number not in served_model.versions:
            if number in served_model.missing:
                raise NotReady(f"{name} version {number} is loading; try again in a few seconds")
            known = ", ".join(
                [
                    *served_model.versions,
                    *(one for one, to in served_model.labels.items() if to in served_model.versions),
                ]
            )
            raise UnknownModel(f"{name} has no version or label {version!r}; it has {known}")
        return served_model.versions[number]

    def served_model(self, name: str) -> ServedModel:
        """The served versions of one model.

        Raises:
            UnknownModel: no such model, or none of its versions can be served.
            NotReady: they are served, but this worker does not have them yet.
        """
        found = self.served_models.get(name)
        if found is not None:
            return found
        entry = self._live.model_state(name)
        if entry.served:
            raise NotReady(f"{name} is loading; try again in a few seconds")
        known = ", ".join(sorted(self.served_models)) or "none"
        why = "; it is unloaded" if entry.unloaded else "".join(
            f"; its version {number} is refused: {refusal.reason}" for number, refusal in entry.refused.items()
        )  # fmt: skip
        raise UnknownModel(f"unknown model {name!r}; this server has {known}{why}")

    def load(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        """Have all workers serve a model: scan its folder anew and try refused versions again. Returns when all workers
        serve it, or when this one does and the others have had their time.

        Raises:
            UnknownModel: there is no such folder.
            BrokenModel: none of its versions can be served; says why.
            NotReady: it takes too long, and goes on loading; or another request has unloaded it meanwhile.
        """
        live = self._live
        live.poll()
        if not live.listings.get(name, ModelListing()).versions and not live.model_state(name).served:
            raise UnknownModel(f"there is no model {name!r} to load; there are {', '.join(live.listings) or 'none'}")
        live.request(name, "load")
        self._on_request(name, "load")
        self._wait(lambda: not self._is_loading(name), now() + LOAD_TIMEOUT, now)
        if self._is_loading(name):
            raise NotReady(f"{name} is still loading; it will be served as soon as it is loaded", retry_after=10)
        self._wait_for_workers(now)
        if name not in self.served_models:
            entry = live.model_state(name)
            if entry.unloaded:
                raise NotReady(f"{name} was loaded, and unloaded by another request meanwhile; load it again")
            reasons = "; ".join(f"version {number}: {refusal.reason}" for number, refusal in entry.refused.items())
            raise BrokenModel(f"{name} cannot be served: {reasons or 'INKLING_VERSIONS leaves out all its versions'}")

    def unload(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        """Have all workers stop serving a model. Returns when none serves it, or when this one does not and the others
        have had their time.

        Raises:
            UnknownModel: there is no such model.
        """
        live = self._live
        if name not in live.listings and name not in self.served_models:
            raise UnknownModel(
                f"there is no model {name!r} to unload; there are {', '.join(self.served_models) or 'none'}"
            )
        live.request(name, "unload")
        self._on_request(name, "unload")
        self._wait_for_workers(now)

    def follow(self, name: str, action: Action) -> None:
        """Do what another server was asked to do, unless it is so here already; waits for nothing. Raises NotReady."""
        entry = self._live.model_state(name)
        if entry.unloaded != (action == "unload") or (action == "load" and entry.refused):
            self._live.request(name, action)  # to unload what is not here yet keeps it from being served when it comes

    def index(self) -> list[IndexEntry]:
        """Every version that is in the folder or is served."""
        live = self._live
        names = sorted({*live.listings, *self.served_models})
        return [one for name in names for one in self._index_of(name)]

    def _wait_for_workers(self, now: Callable[[], float]) -> None:
        """Give the other workers time to serve what this one does."""
        generation = self._live.generation
        self._wait(lambda: self._live.all_workers_serve(generation), now() + RELOAD_TIMEOUT, now)

    def _is_loading(self, name: str) -> bool:
        """Whether any of its versions will shortly be served, or be able to explain."""
        versions = self.served_models.get(name, ServedModel()).versions.values()
        return bool(self._live.pending(name)) or any(version.explain == "loading" for version in versions)

    def _index_of(self, name: str) -> list[IndexEntry]:
        entry, pending = self._live.model_state(name), self._live.pending(name)
        versions = self.served_models.get(name, ServedModel()).versions
        entries = []
        for number in sorted({*self._live.listings.get(name, ModelListing()).versions, *versions}, key=int):
            found, state, reason = versions.get(number), UNAVAILABLE, "INKLING_VERSIONS leaves it out"
            if found is not None and found.predicts:
                state, reason = READY, ""
            elif entry.unloaded:
                reason = "unloaded"
            elif number in entry.refused:
                reason = entry.refused[number].reason
            elif number in pending or number in entry.served:
                state, reason = LOADING, "it is being loaded and checked"
            entries.append(IndexEntry(name=name, version=number, state=state, reason=reason))
        return entries

    def _wait(self, holds: Callable[[], bool], deadline: float, now: Callable[[], float]) -> None:
        """Poll until the condition holds, or until the deadline."""
        while not holds() and now() < deadline:
            self._live.changed.clear()
            self._live.changed.wait(0.05)
            self._live.poll()
