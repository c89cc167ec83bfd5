"""The process of one job (`python -m server.bulk.job_process FOLDER`): does its run at the lowest priority, and packs
what came out into one zip.

It ends when its standard input is closed, which is when the server's process that started it ends, or when its job is
cancelled. What it has done stays, and the next process goes on.
"""

import errno
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from server import logs
from server.bulk import jobs
from server.bulk.durable import write_json
from server.bulk.errors import BulkError, DiskFull
from server.bulk.jobs import JobRequest
from server.bulk.plan import plan_run, run_spec
from server.bulk.processes import LOOK, Stopped, run_shards
from server.bulk.run import Run, files_of
from server.bulk.sources import Bounds
from server.config import Settings
from server.errors import ServiceError
from server.process.preflight import prefers_tensorflow, read_trust

UNPACKED = 4  # times the bytes that may be sent: what may be unpacked in memory at once
LOWEST = 19  # niceness: predictions and explanations come first
MOST_STARTS = 5  # of a job, without a shard between them
ENDED = f"its process ended {MOST_STARTS} times before it had got any further; are its pictures too large for memory?"
UNTIL_ROOM = 30.0  # seconds after which a job is tried again that found no room
INTERNAL = "internal_error"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger(__name__)


def main(folder: Path) -> None:
    """Do the job in this folder, or what is left of it."""
    os.nice(LOWEST)
    folder = folder.resolve()
    settings = _with_whole_paths(Settings.from_env())
    os.chdir(folder)  # so that nothing which people get names a place on this machine
    logs.configure(settings.log_format, settings.log_level)
    should_stop = _should_stop(folder)
    _count_start(folder)
    try:
        _bound_memory(settings)
        run_job(folder, settings, should_stop)
    except Stopped:
        _take_back_start(folder)
        return
    except Exception as error:
        if isinstance(error, DiskFull) or getattr(error, "errno", None) in NO_ROOM:
            _take_back_start(folder)
            _wait_for_room(folder, error, should_stop)
            return
        if isinstance(error, BulkError | ServiceError):
            log.info("job %s failed: %s", folder.name, error)
            said = str(error).replace(str(settings.model_store), "the model store")
            _fail(folder, said, getattr(error, "code", "bad_job"))
        else:
            log.exception("job %s failed", folder.name)
            _fail(folder, "an internal error; the server's log says more", INTERNAL)
    jobs.discard(folder)


def _fail(folder: Path, error: str, code: str) -> None:
    write_json(folder / jobs.FAILED, {"error": error, "code": code})


def _wait_for_room(folder: Path, reason: Exception, should_stop: Callable[[], bool]) -> None:
    """Leave some time before the next process tries again."""
    log.warning("job %s waits: %s", folder.name, reason)
    deadline = time.monotonic() + UNTIL_ROOM
    while time.monotonic() < deadline and not should_stop():
        time.sleep(LOOK)


def _bound_memory(settings: Settings) -> None:
    """End a process that takes too much, before the system ends another in its place. A GPU's driver takes more."""
    if not prefers_tensorflow(settings):
        most = settings.job_memory_mib << 20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _with_whole_paths(settings: Settings) -> Settings:
    trust = None if settings.trust is None else settings.trust.resolve()
    return replace(settings, model_store=settings.model_store.resolve(), trust=trust)


def run_job(folder: Path, settings: Settings, should_stop: Callable[[], bool]) -> None:
    """Do what is left, then write `done.json` beside the result.

    Raises:
        BulkError, ServiceError: it cannot be done.
        Stopped: it is not wanted any more, or not now.
    """
    request = JobRequest(**json.loads((folder / jobs.JOB).read_text())["request"])
    wanted = run_spec(
        request.source or jobs.INPUT, request.model, request.version, request.options,
        settings.max_body_bytes, array=request.array, explain_if=request.explain_if, preprocess=request.preprocess,
        float16=request.float16,
    )  # fmt: skip
    out = Path(jobs.OUT)
    trust = None if settings.trust is None else read_trust(settings.trust)
    if (folder / jobs.DONE).exists():
        return
    spec = plan_run(wanted, settings.model_store, trust, Bounds(settings.job_rows, UNPACKED * settings.job_bytes))
    with Run(out, spec).locked():
        run, began = Run.begin_or_resume(out, spec), time.monotonic()
        device = "gpu" if prefers_tensorflow(settings) else "cpu"
        for _ in run_shards(run, settings.model_store, settings.job_workers, device, should_stop):
            pass
        total = run.finish(time.monotonic() - began)
        _pack(run, folder / jobs.RESULT)
        codes = json.loads((out / "manifest.json").read_text())["codes"]
        facts = {"rows": total.rows, "done": total.rows, "explained": total.explained, "errors": total.errors}
        write_json(folder / jobs.DONE, {**facts, "codes": codes, "bytes": (folder / jobs.RESULT).stat().st_size})


def _count_start(folder: Path) -> None:
    """Count the starts of this job that did not get any further; too many fail it."""
    path, done = folder / jobs.STARTS, str(jobs.progress(folder / jobs.OUT).get("done", 0))
    starts = path.read_text().split() if path.exists() else []
    if starts[-MOST_STARTS:] == [done] * MOST_STARTS:
        _fail(folder, ENDED, INTERNAL)
        jobs.discard(folder)
        sys.exit(1)
    path.write_text("\n".join([*starts, done]))


def _take_back_start(folder: Path) -> None:
    """An end that was ordered, as by a server that stops, does not count."""
    with suppress(OSError):
        path = folder / jobs.STARTS
        path.write_text("\n".join(path.read_text().split()[:-1]))


def _pack(run: Run, path: Path) -> None:
    """All files of a run in one zip. They are compressed already."""
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for file in [run.out / "manifest.json", *files_of(run.out)]:
            archive.write(file, file.relative_to(run.out))
    part.rename(path)


def _should_stop(folder: Path) -> Callable[[], bool]:
    """Whether the job is cancelled, or the process that started this one has ended or told it to."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this

    def watch() -> None:
        os.read(0, 1)  # not by sys.stdin, whose lock a thread would hold at the end of this process
        told.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return lambda: told.is_set() or (folder / jobs.CANCELLED).exists()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
