"""The versions that one worker serves, as the folder changes: scans it, has versions loaded, reports them, and serves
what the workers have committed to serve. Knows no requests.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from server.errors import NotReady
from server.models.loading import Loading
from server.models.repository.background_loader import BackgroundLoader, VersionKey
from server.models.repository.reconcile import reconcile, wanted_versions
from server.models.repository.scan import ModelListing, scan
from server.models.repository.served_model import ServedModel
from server.models.repository.shared_state import LOCK_TIMEOUT, ModelState, ServingState, SharedState, WorkerReport
from server.models.repository.version_labels import LABELS
from server.models.repository.version_policy import VersionPolicy
from server.models.versions import LoadedVersion

log = logging.getLogger(__name__)


class LiveVersions:
    """`served_models` is what this worker serves: an immutable mapping, replaced by another when that changes."""

    def __init__(self, root: Path, loading: Loading, shared: SharedState, policy: VersionPolicy) -> None:
        self.served_models: Mapping[str, ServedModel] = MappingProxyType({})
        self.changed = threading.Event()  # set after each poll
        self._root = root
        self._shared = shared
        self._policy = policy
        self._trust = loading.trust
        self._polling = threading.RLock()
        self._listings: dict[str, ModelListing] = {}
        self._state = ServingState(-1)
        self._logged_labels: dict[str, str | None] = {}
        self._loader = BackgroundLoader(root, loading, self._poll_after_load)
        self._start()

    def model_state(self, name: str) -> ModelState:
        """What all workers serve of a model, as of the last poll."""
        return self._state.models.get(name, ModelState())

    @property
    def generation(self) -> int:
        """The generation of the state that this worker serves."""
        return self._state.generation

    @property
    def listings(self) -> Mapping[str, ModelListing]:
        """What lay on disk at the last poll."""
        return self._listings

    def pending(self, name: str) -> dict[str, str]:
        """The versions of a model that are being loaded, with their stamps."""
        entry = self.model_state(name)
        found = wanted_versions(name, entry, self._listings.get(name, ModelListing()), self._policy)
        return {number: stamp for number, stamp in found.items() if entry.served.get(number) != stamp}

    def poll(self, timeout: float = 0.0) -> None:
        """Read the folder, the reports of the other workers and the committed state once; serve that state, and load
        what is wanted. The first worker that polls after a change commits the next state.

        Raises:
            OSError: a folder cannot be read, and what is served goes on; or one cannot be written, after this worker
                has applied the state that was committed before.
        """
        with self._polling:
            self._listings = scan(self._root, self._trust)
            report, failure = self._report(), None
            try:
                self._shared.heartbeat(report)
            except OSError as error:
                failure = error
            with self._shared.locked(timeout) as has_lock:
                before = self._shared.state()
                state = self._reconcile(before, report) if has_lock or before is None else before
                if has_lock and state is not before:
                    try:
                        self._shared.commit(state)
                    except OSError as error:
                        state, failure = before or state, error
            self._apply(state)
            self._load_wanted()
            if failure is not None:
                raise failure
            self._shared.heartbeat(self._report())
        self.changed.set()

    def request(self, name: str, action: Literal["load", "unload"]) -> None:
        """Have all workers serve a model, trying refused versions again, or serve it no more; this one begins."""
        with self._polling:
            with self._shared.locked(LOCK_TIMEOUT) as has_lock:
                if not has_lock:
                    raise NotReady("the workers of this server are busy agreeing on something else; try again")
                state = self._shared.state() or self._state
                entry = state.models.get(name, ModelState())
                changed = replace(entry, unloaded=action == "unload", attempt=entry.attempt + 1)
                state = ServingState(state.generation + 1, {**state.models, name: changed})
                self._shared.commit(state)
            self.poll(LOCK_TIMEOUT)

    def all_workers_serve(self, generation: int) -> bool:
        """Whether every living worker serves this generation."""
        return all(report.generation >= generation for report in self._shared.reports())

    def _start(self) -> None:
        """Start with what can be done: a worker that failed at a full disk would end all others too."""
        try:
            self._open()
        except OSError:
            log.exception("not all of the models could be looked at or told of; it is tried again")

    def _open(self) -> None:
        """Open what is served or wanted, so that predictions are answered from the first request on."""
        self._listings = scan(self._root, self._trust)
        state = self._shared.state() or ServingState()
        for name, listing in self._listings.items():
            entry = state.models.get(name, ModelState())
            wanted = wanted_versions(name, entry, listing, self._policy)
            for number, stamp in {**wanted, **entry.served}.items():
                if listing.versions.get(number) == stamp:
                    self._loader.open(VersionKey(name, number, stamp), entry.attempt)
        self.poll(LOCK_TIMEOUT)

    def _poll_after_load(self) -> None:
        try:
            self.poll(LOCK_TIMEOUT)
        except OSError:
            log.exception("the workers of this server cannot tell each other what they serve")

    def _reconcile(self, before: ServingState | None, report: WorkerReport) -> ServingState:
        others = [one for one in self._shared.reports() if one.worker != report.worker]
        after = reconcile(before, self._listings, [report, *others], self._policy)
        if before is not None and after == before:
            return before
        return ServingState(after.generation + 1, after.models)

    def _apply(self, state: ServingState) -> None:
        """Serve this state, all of it at once. A request that holds a version keeps it, served or not."""
        served_models = {}
        for name, entry in state.models.items():
            self._log_broken_labels(name, entry)
            versions = {}
            for number, stamp in entry.served.items():
                version = self._version_for(VersionKey(name, number, stamp), entry)
                if version is not None:
                    versions[number] = version
            if versions:
                refused = {number: refusal.reason for number, refusal in entry.refused.items()}
                if entry.broken_labels is not None:
                    refused[LABELS] = entry.broken_labels
                missing = tuple(number for number in entry.served if number not in versions)
                served_models[name] = ServedModel(versions, entry.labels, refused, entry.notes, missing)
        self._state = state
        if served_models != self.served_models:
            self.served_models = MappingProxyType(served_models)

    def _version_for(self, key: VersionKey, entry: ModelState) -> LoadedVersion | None:
        """The version that this worker has, or can still open."""
        found = self._loader.get(key)
        is_listed = self._listings.get(key.name, ModelListing()).versions.get(key.number) == key.stamp
        return found or (self._loader.open(key, entry.attempt) if is_listed else None)

    def _load_wanted(self) -> None:
        """Load default versions first, then the other served ones, then new ones."""
        served = [version for served_model in self.served_models.values() for version in served_model.versions.values()]
        defaults = {id(served_model.default_version) for served_model in self.served_models.values()}
        keys = {}
        for name, listing in self._listings.items():
            entry = self.model_state(name)
            for number, stamp in wanted_versions(name, entry, listing, self._policy).items():
                version = self.served_models.get(name, ServedModel()).versions.get(number)
                keys[VersionKey(name, number, stamp)] = (entry.attempt, id(version) not in defaults, version is None)
        order = sorted(keys, key=lambda key: keys[key][1:])
        present = {
            VersionKey(name, *one) for name, listing in self._listings.items() for one in listing.versions.items()
        }
        self._loader.set_wanted({key: keys[key][0] for key in order}, served, present)

    def _report(self) -> WorkerReport:
        opened, prepared, refused = self._loader.report()
        return self._shared.new_report(self._state.generation, opened, prepared, refused)

    def _log_broken_labels(self, name: str, entry: ModelState) -> None:
        """Log once that the labels of a model are ignored."""
        if entry.broken_labels and self._logged_labels.get(name) != entry.broken_labels:
            log.error("%s: %s is ignored: %s", self._root / name, LABELS, entry.broken_labels)
        self._logged_labels[name] = entry.broken_labels
