"""Bulk runs that are sent to a server (job queue in a folder): each is a folder of its own, and one runs at a time.

All processes of a server share the folder. Any of them starts the job that is next, as a process of its own
(job_process.py) that holds a lock while it lives and ends with the process that started it; another then starts it
again, and it goes on. So nothing is lost whichever processes are killed. Knows no HTTP.
"""

import fcntl
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from server.bulk.durable import sync_folder, write_json
from server.errors import BodyTooLarge, Busy, JobNotKept

State = Literal["queued", "running", "done", "failed", "cancelled"]

JOB, INPUT, OUT, RESULT = "job.json", "input", "out", "result.zip"
DONE, FAILED, CANCELLED, STARTS = "done.json", "failed.json", "cancelled", "starts"
RUNNING = "running.lock"
INCOMING = ".incoming-"
MOST_WAITING = 16  # jobs that are not done
LONGEST_UPLOAD = 3600.0  # seconds after which what was not sent whole is removed
UNREADABLE = (ValueError, KeyError, TypeError)  # what a damaged job raises, or one of another release
PIECE = 1 << 20  # bytes that are read at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRequest:
    """What somebody orders."""

    source: str | None  # an address, or None for what was sent
    array: str | None
    model: str
    version: str  # a number
    options: Mapping[str, str]  # of the explanation, as in a query
    explain_if: str | None
    preprocess: str
    float16: bool


@dataclass(frozen=True)
class Job:
    """One job as it is now."""

    id: str
    state: State
    created: float  # seconds since 1970
    request: JobRequest
    result: Path | None  # where it is done
    summary: Mapping[str, Any]  # rows, done, explained, errors, ...; of a failed one its error


class Jobs:
    """The jobs in a folder, and the one that this process has started. Thread-safe."""

    def __init__(self, folder: Path, max_bytes: int, keep_seconds: float) -> None:
        self.folder, self.max_bytes, self._keep_seconds = folder, max_bytes, keep_seconds
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, request: JobRequest, read: Callable[[int], bytes] | None) -> str:
        """Keep a job whose input `read` gives piece by piece, None where its source is an address; its id.

        Raises:
            BodyTooLarge: more than `max_bytes`.
            Busy: as many jobs as may wait do.
            JobNotKept: the folder cannot be written.
        """
        identity = secrets.token_hex(16)
        incoming = self.folder / f"{INCOMING}{identity}"
        try:
            waiting = sum(self._is_unfinished(folder) for folder in self._folders())
            if waiting >= MOST_WAITING:
                raise Busy(f"{waiting} jobs are not done, as many as may wait", 60)
            incoming.mkdir(mode=0o700)
            if read is not None:
                self._receive(incoming / INPUT, read)
            facts = {"request": asdict(request), "created": time.time()}
            write_json(incoming / JOB, facts)
            incoming.rename(self.folder / identity)
            sync_folder(self.folder)
        except OSError as error:
            log.error("a job could not be kept: %s", error)
            raise JobNotKept(f"the job could not be kept ({error.strerror}); the server's log says more") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)  # it is there only where something went wrong
        return identity

    def _receive(self, path: Path, read: Callable[[int], bytes]) -> None:
        received = 0
        with path.open("wb") as file:
            while piece := read(PIECE):
                received += len(piece)
                if received > self.max_bytes:
                    raise BodyTooLarge(f"the body is larger than {self.max_bytes} bytes; send it in several jobs")
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def find(self, identity: str) -> Job | None:
        """None where there is none of this id."""
        if not (len(identity) == 32 and identity.isalnum()):
            return None
        return self._job(self.folder / identity)

    def all(self) -> list[Job]:
        """All of them, the oldest first."""
        return [job for folder in self._folders() if (job := self._job(folder)) is not None]

    def remove(self, identity: str) -> None:
        """Cancel a job that is not done, and remove all that is kept of it as soon as its process has ended.

        Raises:
            JobNotKept: the folder cannot be written.
        """
        folder = self.folder / identity
        try:
            (folder / CANCELLED).touch()
        except FileNotFoundError:
            return
        except OSError as error:
            raise JobNotKept(f"the job cannot be removed ({error.strerror}); the server's log says more") from error
        if not self._is_running(folder):
            shutil.rmtree(folder, ignore_errors=True)

    def start_next(self) -> None:
        """Start the oldest job that is not done, unless one runs; remove what is not kept any longer."""
        process = self._process
        if process is not None:
            if process.poll() is None:
                return
            self._process = None
        self._sweep()
        if self._next() is None:
            return
        lock = os.open(self.folder / RUNNING, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another process has started one
        else:
            if (folder := self._next()) is not None:  # as it is now that nobody else can start one
                os.ftruncate(lock, 0)
                os.write(lock, folder.name.encode())
                self._process = _started(folder, lock)
        finally:
            os.close(lock)  # the job's process has it, and keeps the lock

    def _folders(self) -> list[Path]:
        """Of all jobs that were sent whole, the oldest first."""
        found = []
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(OSError):  # it is removed just now
                if not folder.name.startswith(".") and (folder / JOB).is_file():
                    found.append(((folder / JOB).stat().st_mtime_ns, folder))
        return [folder for _, folder in sorted(found)]

    def _next(self) -> Path | None:
        """The folder of the oldest job that is not done."""
        return next(filter(self._is_unfinished, self._folders()), None)

    def _is_unfinished(self, folder: Path) -> bool:
        return not any((folder / name).exists() for name in (DONE, FAILED, CANCELLED))

    def _job(self, folder: Path) -> Job | None:
        try:
            created, request = _ordered(folder)
            state, summary = self._state(folder)
        except (OSError, *UNREADABLE):
            return None
        return Job(folder.name, state, created, request, folder / RESULT if state == "done" else None, summary)

    def _state(self, folder: Path) -> tuple[State, Mapping[str, Any]]:
        if (folder / CANCELLED).exists():
            return "cancelled", {}
        with suppress(FileNotFoundError):
            return "done", json.loads((folder / DONE).read_text())
        with suppress(FileNotFoundError):
            return "failed", json.loads((folder / FAILED).read_text())
        return "running" if self._is_running(folder) else "queued", progress(folder / OUT)

    def _is_running(self, folder: Path) -> bool:
        """Whether a process works on the job in this folder."""
        path = self.folder / RUNNING
        try:
            with path.open("rb") as lock:
                if lock.read() != folder.name.encode():
                    return False
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def _sweep(self) -> None:
        """Remove jobs that are kept no longer, those that were cancelled, and uploads that broke off."""
        now = time.time()
        for folder in list(self.folder.iterdir()) if self.folder.is_dir() else ():
            with suppress(OSError):
                if folder.name.startswith(INCOMING):
                    if now - folder.stat().st_mtime > LONGEST_UPLOAD:
                        shutil.rmtree(folder, ignore_errors=True)
                elif (folder / CANCELLED).exists():
                    if not self._is_running(folder):
                        shutil.rmtree(folder, ignore_errors=True)
                elif any(now - ended > self._keep_seconds for ended in _ended(folder)):
                    shutil.rmtree(folder, ignore_errors=True)
                elif (folder / JOB).exists() and not _is_readable(folder):
                    log.error("the job in %s cannot be read, perhaps of another release, and is removed", folder)
                    shutil.rmtree(folder, ignore_errors=True)
                elif not self._is_unfinished(folder) and not self._is_running(folder):
                    discard(folder)  # what a process that was killed just then has left


def _ordered(folder: Path) -> tuple[float, JobRequest]:
    """When a job was sent, and what was. Raises OSError, or one of UNREADABLE."""
    facts = json.loads((folder / JOB).read_text())
    return float(facts["created"]), JobRequest(**facts["request"])


def _is_readable(folder: Path) -> bool:
    """Whether what was sent can be understood. Raises OSError: that cannot be told just now."""
    try:
        _ordered(folder)
    except UNREADABLE:
        return False
    return True


def discard(folder: Path) -> None:
    """Remove what a job that has ended needs no more."""
    shutil.rmtree(folder / OUT, ignore_errors=True)
    (folder / INPUT).unlink(missing_ok=True)


def _ended(folder: Path) -> Iterator[float]:
    """When a job ended, if it has."""
    for name in (DONE, FAILED):
        with suppress(FileNotFoundError):
            yield (folder / name).stat().st_mtime


def _started(folder: Path, lock: int) -> "subprocess.Popen[bytes]":
    """The process of a job. It has the lock while it lives, and ends when its standard input does."""
    command = [sys.executable, "-m", "server.bulk.job_process", str(folder)]
    paths = [str(Path(__file__).parent.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[lock], env=environ)


def progress(out: Path) -> Mapping[str, Any]:
    """How far a run in this folder is; nothing where it has not begun."""
    from server.bulk.errors import RunError
    from server.bulk.run import Run, manifest_of
    from server.bulk.worker import RunSpec

    try:
        manifest = manifest_of(out)
    except RunError:
        return {}
    if manifest is None:
        return {}
    spec = RunSpec(**manifest["spec"])
    done = Run(out, spec).done()
    return {"rows": spec.rows, "done": done.rows, "explained": done.explained, "errors": done.errors}
