"""What the workers of one server agree on and tell each other: two small JSON files, written whole or not at all.

state.json is what all serve; workers/<id>.json is what one of them has prepared or refused. Times are those of the
monotonic clock, which on Linux counts from the machine's start and is the same in every process, so that setting the
clock changes nothing.
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

SILENT = 10.0  # seconds after which a worker that says nothing no longer counts
PATIENCE = 2.0  # seconds that a worker waits for the lock where it needs it: whoever has it is done in milliseconds

log = logging.getLogger(__name__)

Stamps = Mapping[str, Mapping[str, Sequence[str]]]  # model -> number -> stamps: of a folder that changed there are two


@dataclass(frozen=True)
class Refusal:
    """Why a version is not served; it holds for these files and this attempt."""

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
    unloaded: bool = False  # by wish
    attempt: int = 0  # every wish to load is another one: what was refused is tried again


@dataclass(frozen=True)
class ServingState:
    """What all workers serve; each change has the next generation."""

    generation: int = 0
    models: Mapping[str, ModelState] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerReport:
    """What one worker has: versions that it opened, those that it loaded and checked, and those that it refused."""

    worker: str
    pid: int
    beat: float = 0.0  # when it was told
    generation: int = -1  # that it serves
    opened: Stamps = field(default_factory=dict)
    prepared: Stamps = field(default_factory=dict)
    refused: Refusals = field(default_factory=dict)


class SharedState:
    """The files in `folder`, as one worker sees them."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic, silent: float = SILENT) -> None:
        self.worker = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folder = folder / "versions"
        self._workers = self._folder / "workers"
        self._workers.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._silent = silent
        self._told: WorkerReport | None = None

    def state(self) -> ServingState | None:
        """What is agreed; None before anything is."""
        try:
            stored = json.loads((self._folder / "state.json").read_text())
            models = {name: _entry(entry) for name, entry in stored["models"].items()}
            return ServingState(stored["generation"], models)
        except FileNotFoundError:
            return None
        except UNREADABLE:
            log.exception("%s cannot be read, and is made anew", self._folder / "state.json")
            return None

    def agree(self, state: ServingState) -> None:
        """Make it what is agreed; only for whoever has the lock."""
        _write(self._folder / "state.json", asdict(state))

    @contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[bool]:
        """Whether this worker alone may change what is agreed. The kernel takes the lock from whoever dies."""
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _taken(handle, patience)
        finally:
            os.close(handle)

    def report(self, generation: int, opened: Stamps, prepared: Stamps, refused: Refusals) -> WorkerReport:
        """What this worker has, as of now."""
        return WorkerReport(self.worker, os.getpid(), self._now(), generation, opened, prepared, refused)

    def tell(self, report: WorkerReport) -> None:
        """Let the others know, if it is news or some time ago."""
        told = self._told
        if (
            told is not None
            and report == replace(told, beat=report.beat)
            and report.beat < told.beat + self._silent / 5
        ):
            return
        _write(self._workers / f"{report.worker}.json", asdict(report))
        self._told = report

    def reports(self) -> list[WorkerReport]:
        """Of all living workers. What dead ones left is removed."""
        found = []
        for path in sorted(self._workers.glob("*.json")):
            try:
                report = _report(json.loads(path.read_text()))
            except FileNotFoundError:
                continue
            except UNREADABLE:
                log.exception("%s cannot be read", path)
                continue
            if 0 <= self._now() - report.beat <= self._silent and _exists(report.pid):
                found.append(report)
            elif report.worker != self.worker:
                path.unlink(missing_ok=True)
        return found


def _taken(handle: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
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
    """Whole or not at all, whenever this process ends and whoever reads meanwhile."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        aside.write_text(json.dumps(content))
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _entry(stored: dict[str, Any]) -> ModelState:
    return ModelState(**{**stored, "refused": _refusals(stored["refused"]), "notes": tuple(stored["notes"])})


def _report(stored: dict[str, Any]) -> WorkerReport:
    return WorkerReport(**{**stored, "refused": {name: _refusals(those) for name, those in stored["refused"].items()}})


def _refusals(stored: dict[str, Any]) -> dict[str, Refusal]:
    return {number: Refusal(**refusal) for number, refusal in stored.items()}
