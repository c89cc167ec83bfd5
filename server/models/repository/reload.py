"""One worker's part in what all serve: it looks at the folder, has versions prepared, tells what it has, and follows
what is agreed. Knows no requests.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from server.errors import NotReady
from server.models.loading import Loading
from server.models.repository.background_loader import BackgroundLoader, VersionKey
from server.models.repository.reconcile import agreed, wanted
from server.models.repository.scan import LABELS, ModelListing, look
from server.models.repository.served_model import ServedModel
from server.models.repository.shared_state import PATIENCE, ModelState, ServingState, SharedState, WorkerReport
from server.models.repository.version_policy import VersionPolicy
from server.models.versions import LoadedVersion

log = logging.getLogger(__name__)


class Reloader:
    """`families` is what this worker serves. It never changes: another mapping takes its place."""

    def __init__(self, root: Path, loading: Loading, shared: SharedState, policy: VersionPolicy) -> None:
        self.families: Mapping[str, ServedModel] = MappingProxyType({})
        self.changed = threading.Event()  # set whenever this worker has looked
        self._root = root
        self._shared = shared
        self._policy = policy
        self._polling = threading.RLock()
        self._shelves: dict[str, ModelListing] = {}
        self._state = ServingState(-1)
        self._complaints: dict[str, str | None] = {}
        self._preparation = BackgroundLoader(root, loading, self._news)
        self._start()

    def entry(self, name: str) -> ModelState:
        """What all workers serve of a model, as far as this one knows."""
        return self._state.models.get(name, ModelState())

    @property
    def generation(self) -> int:
        """Of the agreement that this worker serves."""
        return self._state.generation

    @property
    def shelves(self) -> Mapping[str, ModelListing]:
        """What lay on disk when this worker last looked."""
        return self._shelves

    def pending(self, name: str) -> dict[str, str]:
        """The versions of a model that are being prepared, with their stamps."""
        entry = self.entry(name)
        found = wanted(name, entry, self._shelves.get(name, ModelListing()), self._policy)
        return {number: stamp for number, stamp in found.items() if entry.served.get(number) != stamp}

    def poll(self, patience: float = 0.0) -> None:
        """Look once: at the folder, at what the others tell, and at what is agreed; follow it, and prepare what is
        wanted. Whoever looks first after a change makes the next agreement.

        Raises:
            OSError: a folder cannot be read, and what is served goes on; or one cannot be written, after this worker
                has followed what was agreed before.
        """
        with self._polling:
            self._shelves = look(self._root)
            report, failure = self._report(), None
            try:
                self._shared.tell(report)
            except OSError as error:
                failure = error
            with self._shared.locked(patience) as alone:
                before = self._shared.state()
                state = self._next(before, report) if alone or before is None else before
                if alone and state is not before:
                    try:
                        self._shared.agree(state)
                    except OSError as error:
                        state, failure = before or state, error
            self._follow(state)
            self._prepare()
            if failure is not None:
                raise failure
            self._shared.tell(self._report())
        self.changed.set()

    def wish(self, name: str, unloaded: bool) -> None:
        """Have all workers serve a model, what was refused being tried again, or serve it no more; this one begins."""
        with self._polling:
            with self._shared.locked(PATIENCE) as alone:
                if not alone:
                    raise NotReady("the workers of this server are busy agreeing on something else; try again")
                state = self._shared.state() or self._state
                entry = state.models.get(name, ModelState())
                changed = replace(entry, unloaded=unloaded, attempt=entry.attempt + 1)
                state = ServingState(state.generation + 1, {**state.models, name: changed})
                self._shared.agree(state)
            self.poll(PATIENCE)

    def followed(self, generation: int) -> bool:
        """Whether every living worker serves what this generation says."""
        return all(report.generation >= generation for report in self._shared.reports())

    def _start(self) -> None:
        """Do what can be done; a worker that did not start for the sake of a full disk would end all others too."""
        try:
            self._open()
        except OSError:
            log.exception("not all of the models could be looked at or told of; it is tried again")

    def _open(self) -> None:
        """Open what is served, or what is going to be, so that predictions are answered from the first request on."""
        self._shelves = look(self._root)
        state = self._shared.state() or ServingState()
        for name, shelf in self._shelves.items():
            entry = state.models.get(name, ModelState())
            wishes = wanted(name, entry, shelf, self._policy)
            for number, stamp in {**wishes, **entry.served}.items():
                if shelf.versions.get(number) == stamp:
                    self._preparation.opened(VersionKey(name, number, stamp), entry.attempt)
        self.poll(PATIENCE)

    def _news(self) -> None:
        try:
            self.poll(PATIENCE)
        except OSError:
            log.exception("the workers of this server cannot tell each other what they serve")

    def _next(self, before: ServingState | None, report: WorkerReport) -> ServingState:
        others = [one for one in self._shared.reports() if one.worker != report.worker]
        after = agreed(before, self._shelves, [report, *others], self._policy)
        if before is not None and after == before:
            return before
        return ServingState(after.generation + 1, after.models)

    def _follow(self, state: ServingState) -> None:
        """Serve what is agreed, all at once. Who holds a version that is served no more keeps it."""
        families = {}
        for name, entry in state.models.items():
            self._complain(name, entry)
            versions = {}
            for number, stamp in entry.served.items():
                version = self._served(VersionKey(name, number, stamp), entry)
                if version is not None:
                    versions[number] = version
            if versions:
                refused = {number: refusal.reason for number, refusal in entry.refused.items()}
                if entry.broken_labels is not None:
                    refused[LABELS] = entry.broken_labels
                missing = tuple(number for number in entry.served if number not in versions)
                families[name] = ServedModel(versions, entry.labels, refused, entry.notes, missing)
        self._state = state
        if families != self.families:
            self.families = MappingProxyType(families)

    def _served(self, key: VersionKey, entry: ModelState) -> LoadedVersion | None:
        """One that this worker has, or can still open."""
        found = self._preparation.found(key)
        on_shelf = self._shelves.get(key.name, ModelListing()).versions.get(key.number) == key.stamp
        return found or (self._preparation.opened(key, entry.attempt) if on_shelf else None)

    def _prepare(self) -> None:
        """Defaults first, then what is served, then what is to come."""
        served = [version for family in self.families.values() for version in family.versions.values()]
        defaults = {id(family.served) for family in self.families.values()}
        keys = {}
        for name, shelf in self._shelves.items():
            entry = self.entry(name)
            for number, stamp in wanted(name, entry, shelf, self._policy).items():
                version = self.families.get(name, ServedModel()).versions.get(number)
                keys[VersionKey(name, number, stamp)] = (entry.attempt, id(version) not in defaults, version is None)
        order = sorted(keys, key=lambda key: keys[key][1:])
        present = {VersionKey(name, *one) for name, shelf in self._shelves.items() for one in shelf.versions.items()}
        self._preparation.want({key: keys[key][0] for key in order}, served, present)

    def _report(self) -> WorkerReport:
        opened, prepared, refused = self._preparation.told()
        return self._shared.report(self._state.generation, opened, prepared, refused)

    def _complain(self, name: str, entry: ModelState) -> None:
        """Say once in the log what is otherwise than the folder says."""
        if entry.broken_labels and self._complaints.get(name) != entry.broken_labels:
            log.error("%s: %s is ignored: %s", self._root / name, LABELS, entry.broken_labels)
        self._complaints[name] = entry.broken_labels
