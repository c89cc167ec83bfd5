"""Loads versions in the background, one by one, in a thread of low priority that ends when nothing is left to do; it
also frees versions that are served no more. Knows which versions this worker has opened, completed or refused.
"""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from server.models.card import TWIN, BrokenVersion
from server.models.loading import Loading
from server.models.repository.shared_state import Refusal, Refusals, Stamps
from server.models.versions import LoadedVersion
from server.process.malloc import trim_heaps

NICENESS = 19  # the maximum: TensorFlow's threads inherit it, so explanations yield to predictions

log = logging.getLogger(__name__)


class VersionKey(NamedTuple):
    """A version with exactly these files: its stamp changes when they do."""

    name: str
    number: str
    stamp: str


class BackgroundLoader:
    """Calls `on_loaded` whenever it has completed or refused a version, in the thread that did it."""

    def __init__(self, root: Path, loading: Loading, on_loaded: Callable[[], None]) -> None:
        self._root = root
        self._loading = loading
        self._on_loaded = on_loaded
        self._lock = threading.Lock()
        self._versions: dict[VersionKey, LoadedVersion] = {}
        self._complete: set[VersionKey] = set()
        self._refused: dict[VersionKey, Refusal] = {}
        self._wanted: dict[VersionKey, int] = {}  # -> attempt, in the order in which to complete them
        self._idle: list[LoadedVersion] = []  # retired and not in use
        self._working = False

    def get(self, key: VersionKey) -> LoadedVersion | None:
        """The version, completed or only opened; None if neither."""
        return self._versions.get(key)

    def open(self, key: VersionKey, attempt: int) -> LoadedVersion | None:
        """As `get`, but opens the version now if it is not; None where it is broken."""
        found = self._versions.get(key)
        if found is not None or self._is_refused(key, attempt):
            return found
        try:
            found = self._loading.open(self._root / key.name / key.number)
        except BrokenVersion as error:
            self._refuse(key, attempt, error)
            return None
        with self._lock:
            kept = self._versions.setdefault(key, found)
        if kept is not found:
            found.free()
        return kept

    def set_wanted(
        self, wanted: Mapping[VersionKey, int], served: Sequence[LoadedVersion], present: Collection[VersionKey]
    ) -> None:
        """Complete the wanted versions in this order. Retire those that are neither wanted nor served, and forget
        refusals of versions that are no longer present."""
        with self._lock:
            self._wanted = dict(wanted)
            kept = {id(version) for version in served}
            over = [key for key, one in self._versions.items() if key not in wanted and id(one) not in kept]
            retired = [self._versions.pop(key) for key in over]
            self._complete -= set(over)
            self._refused = {key: refusal for key, refusal in self._refused.items() if key in present}
        for version in retired:
            version.retire(self._when_idle)
        self._start_thread()

    def report(self) -> tuple[Stamps, Stamps, Refusals]:
        """The stamps of opened and of completed versions, and the refusals."""
        with self._lock:
            opened, complete = _by_model(self._versions), _by_model(self._complete)
            refused: dict[str, dict[str, Refusal]] = {}
            for key, refusal in self._refused.items():
                refused.setdefault(key.name, {})[key.number] = refusal
        return opened, complete, refused

    def _is_refused(self, key: VersionKey, attempt: int) -> bool:
        refusal = self._refused.get(key)
        return refusal is not None and refusal.attempt == attempt

    def _refuse(self, key: VersionKey, attempt: int, error: BrokenVersion) -> None:
        cause = error.__cause__
        log.error("%s is refused: %s", self._root / key.name / key.number, error, exc_info=cause)
        with self._lock:
            self._refused[key] = Refusal(key.stamp, attempt, str(error))

    def _when_idle(self, version: LoadedVersion) -> None:
        with self._lock:
            self._idle.append(version)
        self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._working or not (self._idle or self._next_wanted()):
                return
            self._working = True
        threading.Thread(target=self._run, name="load-models", daemon=True).start()

    def _next_wanted(self) -> tuple[VersionKey, int] | None:
        pending = (
            (key, attempt)
            for key, attempt in self._wanted.items()
            if key not in self._complete and not self._is_refused(key, attempt)
        )
        return next(pending, None)

    def _all_have_twins(self) -> bool:
        """Without twins TensorFlow's threads predict too, and must not yield to anything."""
        with self._lock:
            wanted = list(self._wanted)
        return all((self._root / key.name / key.number / TWIN).is_file() for key in wanted)

    def _run(self) -> None:
        if hasattr(os, "setpriority") and self._all_have_twins():
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._lock:
                idle, self._idle = self._idle, []
                pending = None if idle else self._next_wanted()
                if not idle and pending is None:
                    self._working = False
                    return
            if idle:
                _free(idle)
            elif pending is not None:
                self._load(*pending)
                self._on_loaded()

    def _load(self, key: VersionKey, attempt: int) -> None:
        version = self.open(key, attempt)
        if version is None:
            return
        try:
            self._loading.complete(version)
        except BrokenVersion as error:
            version.failure = str(error)
            self._refuse(key, attempt, error)
            return
        with self._lock:
            if self._versions.get(key) is version:  # else it was retired meanwhile
                self._complete.add(key)
                self._refused.pop(key, None)
        if version.explain == "ready":
            seconds = time.monotonic() - version.began
            log.info("explanations of %s %s are ready after %.1f s", key.name, key.number, seconds)


def _free(versions: list[LoadedVersion]) -> None:
    freed = [version.free() for version in versions]
    versions.clear()
    if any(freed):
        gc.collect()  # TensorFlow's graphs are cycles
        trim_heaps()


def _by_model(keys: Collection[VersionKey]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for key in sorted(keys):
        found.setdefault(key.name, {}).setdefault(key.number, []).append(key.stamp)
    return found
