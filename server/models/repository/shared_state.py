"""State that the workers of one server share, in small JSON files that are written whole or not at all.

state.json is what all workers serve; workers/<id>.json is the heartbeat of one of them, with what it has prepared or
refused. Times are those of the monotonic clock, which on Linux counts from the machine's start and is the same in every
process, so that setting the clock changes nothing.
"""

import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from server.models.card import UNREADABLE

HEARTBEAT_TIMEOUT = 10.0  # seconds without a heartbeat after which a worker no longer counts
LOCK_TIMEOUT = 2.0  # seconds to wait for the lock: its holder is done in milliseconds

log = logging.getLogger(__name__)

Stamps = Mapping[str, Mapping[str, Sequence[str]]]  # model -> number -> stamps; two for a folder that has changed


@dataclass(frozen=True)
class Refusal:
    """Why a version is not served. Applies to these files and this attempt to load them."""

    stamp: str
    attempt: int
    reason: str


Refusals = Mapping[str, Mapping[str, Refusal]]  # model -> number


@dataclass(frozen=True)
class ModelState:
    """What all workers serve of one model."""

    served: Mapping[str, str] = field(default_factory=dict)  # number -> stamp, ascending
    labels: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    broken_labels: str | None = None
    notes: tuple[str, ...] = ()
    unloaded: bool = False  # on request
    attempt: int = 0  # each request to load counts up: what was refused is tried again


@dataclass(frozen=True)
class ServingState:
    """What all workers serve; each change counts the generation up."""

    generation: int = 0
    models: Mapping[str, ModelState] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerReport:
    """What one worker has opened, prepared (loaded and checked) and refused."""

    worker: str
    pid: int
    beat: float = 0.0  # time of the heartbeat; a key in the files, as all names here
    generation: int = -1  # that it serves
    opened: Stamps = field(default_factory=dict)
    prepared: Stamps = field(default_factory=dict)
    refused: Refusals = field(default_factory=dict)


class SharedState:
    """The files in `folder`, as one worker sees them."""

    def __init__(
        self, folder: Path, now: Callable[[], float] = time.monotonic, heartbeat_timeout: float = HEARTBEAT_TIMEOUT
    ) -> None:
        self.worker = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folder = folder / "versions"
        self._workers = self._folder / "workers"
        self._workers.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._heartbeat_timeout = heartbeat_timeout
        self._last_report: WorkerReport | None = None

    def state(self) -> ServingState | None:
        """The committed state; None before the first commit."""
        try:
            stored = json.loads((self._folder / "state.json").read_text())
            models = {name: _entry(entry) for name, entry in stored["models"].items()}
            return ServingState(stored["generation"], models)
        except FileNotFoundError:
            return None
        except UNREADABLE:
            log.exception("%s cannot be read, and is made anew", self._folder / "state.json")
            return None

    def commit(self, state: ServingState) -> None:
        """Make this the state of all workers. Only the worker that has the lock may call it."""
        _write(self._folder / "state.json", asdict(state))

    @contextmanager
    def locked(self, timeout: float = 0.0) -> Iterator[bool]:
        """Whether this worker got the lock on the state, within `timeout` seconds. A process that dies loses it."""
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _acquired(handle, timeout)
        finally:
            os.close(handle)

    def new_report(self, generation: int, opened: Stamps, prepared: Stamps, refused: Refusals) -> WorkerReport:
        """What this worker has, as of now."""
        return WorkerReport(self.worker, os.getpid(), self._now(), generation, opened, prepared, refused)

    def heartbeat(self, report: WorkerReport) -> None:
        """Write the report for the other workers, if it has changed or the last one is old."""
        last = self._last_report
        if (
            last is not None
            and report == replace(last, beat=report.beat)
            and report.beat < last.beat + self._heartbeat_timeout / 5
        ):
            return
        _write(self._workers / f"{report.worker}.json", asdict(report))
        self._last_report = report

    def reports(self) -> list[WorkerReport]:
        """The reports of all living workers. Files of dead ones are removed."""
        found = []
        for path in sorted(self._workers.glob("*.json")):
            try:
                report = _report(json.loads(path.read_text()))
            except FileNotFoundError:
                continue
            except UNREADABLE:
                log.exception("%s cannot be read", path)
                continue
            if 0 <= self._now() - report.beat <= self._heartbeat_timeout and _exists(report.pid):
                found.append(report)
            elif report.worker != self.worker:
                path.unlink(missing_ok=True)
        return found


def _acquired(handle: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _write(path: Path, content: Any) -> None:
    """Write atomically: readers, and the next start after a crash, find the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(json.dumps(content))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _entry(stored: dict[str, Any]) -> ModelState:
    return ModelState(**{**stored, "refused": _refusals(stored["refused"]), "notes": tuple(stored["notes"])})


def _report(stored: dict[str, Any]) -> WorkerReport:
    return WorkerReport(
        **{**stored, "refused": {name: _refusals(refusals) for name, refusals in stored["refused"].items()}}
    )


def _refusals(stored: dict[str, Any]) -> dict[str, Refusal]:
    return {number: Refusal(**refusal) for number, refusal in stored.items()}
