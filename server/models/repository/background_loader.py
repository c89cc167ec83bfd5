"""The versions that this worker has opened, completed or refused. What is wanted is completed one by one in a thread of
low priority that ends when nothing is left to do; what is served no more is freed there too.
"""

import gc
import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from server.models.card import TWIN, BrokenVersion
from server.models.loading import Loading
from server.models.repository.shared_state import Refusal, Refusals, Stamps
from server.models.versions import LoadedVersion
from server.process.malloc import give_back

NICENESS = 19  # the most there is: TensorFlow's threads inherit it, so explanations yield to predictions

log = logging.getLogger(__name__)


class VersionKey(NamedTuple):
    """A version with exactly these files."""

    name: str
    number: str
    stamp: str


class BackgroundLoader:
    """`news` is called whenever something was completed or refused, in the thread that did it."""

    def __init__(self, root: Path, loading: Loading, news: Callable[[], None]) -> None:
        self._root = root
        self._loading = loading
        self._news = news
        self._lock = threading.Lock()
        self._versions: dict[VersionKey, LoadedVersion] = {}
        self._complete: set[VersionKey] = set()
        self._refused: dict[VersionKey, Refusal] = {}
        self._wanted: dict[VersionKey, int] = {}  # -> attempt, in the order in which to complete them
        self._idle: list[LoadedVersion] = []  # retired, and used by nobody
        self._working = False

    def found(self, key: VersionKey) -> LoadedVersion | None:
        """The version as far as it is loaded, if it is."""
        return self._versions.get(key)

    def opened(self, key: VersionKey, attempt: int) -> LoadedVersion | None:
        """The version as far as it is loaded; opened now if it is not. None where it is broken."""
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

    def want(
        self, wanted: Mapping[VersionKey, int], served: Sequence[LoadedVersion], present: Collection[VersionKey]
    ) -> None:
        """Complete these, in this order; let go of what is neither among them nor served, and of refusals of what is no
        more present."""
        with self._lock:
            self._wanted = dict(wanted)
            kept = {id(version) for version in served}
            over = [key for key, one in self._versions.items() if key not in wanted and id(one) not in kept]
            retired = [self._versions.pop(key) for key in over]
            self._complete -= set(over)
            self._refused = {key: refusal for key, refusal in self._refused.items() if key in present}
        for version in retired:
            version.retire(self._when_idle)
        self._work()

    def told(self) -> tuple[Stamps, Stamps, Refusals]:
        """What is opened, complete and refused."""
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
        self._work()

    def _work(self) -> None:
        with self._lock:
            if self._working or not (self._idle or self._next()):
                return
            self._working = True
        threading.Thread(target=self._run, name="load-models", daemon=True).start()

    def _next(self) -> tuple[VersionKey, int] | None:
        left = (
            (key, attempt)
            for key, attempt in self._wanted.items()
            if key not in self._complete and not self._is_refused(key, attempt)
        )
        return next(left, None)

    def _all_have_twins(self) -> bool:
        """Otherwise TensorFlow's threads predict too, and those must not yield to anything."""
        with self._lock:
            wanted = list(self._wanted)
        return all((self._root / key.name / key.number / TWIN).is_file() for key in wanted)

    def _run(self) -> None:
        if hasattr(os, "setpriority") and self._all_have_twins():
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._lock:
                idle, self._idle = self._idle, []
                todo = None if idle else self._next()
                if not idle and todo is None:
                    self._working = False
                    return
            if idle:
                _free(idle)
            elif todo is not None:
                self._prepare(*todo)
                self._news()

    def _prepare(self, key: VersionKey, attempt: int) -> None:
        version = self.opened(key, attempt)
        if version is None:
            return
        try:
            self._loading.complete(version)
        except BrokenVersion as error:
            version.failure = str(error)
            self._refuse(key, attempt, error)
            return
        with self._lock:
            if self._versions.get(key) is version:  # it may have been let go of meanwhile
                self._complete.add(key)
                self._refused.pop(key, None)


def _free(versions: list[LoadedVersion]) -> None:
    freed = [version.free() for version in versions]
    versions.clear()
    if any(freed):
        gc.collect()  # TensorFlow's graphs are cycles
        give_back()


def _by_model(keys: Collection[VersionKey]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for key in sorted(keys):
        found.setdefault(key.name, {}).setdefault(key.number, []).append(key.stamp)
    return found
