"""The process of one job (`python -m server.bulk.job_process FOLDER`): does its run at the lowest priority, and packs
what came out into one zip.

It ends when its standard input is closed, which is when the server's process that started it ends, or when its job is
cancelled. What it has done stays, and the next process goes on.
"""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from server import logs
from server.bulk import jobs
from server.bulk.errors import BulkError
from server.bulk.jobs import JobRequest
from server.bulk.plan import ordered, planned
from server.bulk.processes import Stopped, run_shards
from server.bulk.run import Run, files_of
from server.bulk.sources import Bounds
from server.config import Settings
from server.errors import ServiceError
from server.process.preflight import prefers_tensorflow, read_trust

UNPACKED = 4  # times the bytes that may be sent: what may be unpacked in memory at once
LOWEST = 19  # niceness: predictions and explanations come first
MOST_STARTS = 5  # of a job, without a shard between them
ENDED = f"its process ended {MOST_STARTS} times before it had got any further; are its pictures too large for memory?"

log = logging.getLogger(__name__)


def main(folder: Path) -> None:
    """Do the job in this folder, or what is left of it."""
    os.nice(LOWEST)
    folder = folder.resolve()
    settings = _with_whole_paths(Settings.from_env())
    os.chdir(folder)  # so that nothing which people get names a place on this machine
    logs.configure(settings.log_format, settings.log_level)
    should_stop = _should_stop(folder)
    try:
        run_job(folder, settings, should_stop)
    except Stopped:
        return
    except (BulkError, ServiceError) as error:
        log.info("job %s failed: %s", folder.name, error)
        _say(folder / jobs.FAILED, {"error": str(error), "code": getattr(error, "code", "bad_job")})
    except Exception:
        log.exception("job %s failed", folder.name)
        raise
    if (folder / jobs.FAILED).exists() or (folder / jobs.DONE).exists():
        shutil.rmtree(folder / jobs.OUT, ignore_errors=True)
        (folder / jobs.INPUT).unlink(missing_ok=True)


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
    wanted = ordered(
        request.source or jobs.INPUT, request.model, request.version, request.options,
        settings.max_body_bytes, array=request.array, explain_if=request.explain_if, preprocess=request.preprocess,
        half=request.half,
    )  # fmt: skip
    out = Path(jobs.OUT)
    trust = None if settings.trust is None else read_trust(settings.trust)
    _check_starts(folder, jobs.progress(out).get("done", 0))
    order = planned(wanted, settings.model_store, trust, Bounds(settings.job_rows, UNPACKED * settings.job_bytes))
    with Run(out, order).locked():
        run, began = Run.begun(out, order), time.monotonic()
        device = "gpu" if prefers_tensorflow(settings) else "cpu"
        for _ in run_shards(run, settings.model_store, settings.job_workers, device, should_stop):
            pass
        total = run.finish(time.monotonic() - began)
        _pack(run, folder / jobs.RESULT)
        codes = json.loads((out / "manifest.json").read_text())["codes"]
        facts = {"rows": total.rows, "done": total.rows, "explained": total.explained, "errors": total.errors}
        _say(folder / jobs.DONE, {**facts, "codes": codes, "bytes": (folder / jobs.RESULT).stat().st_size})


def _check_starts(folder: Path, done: int) -> None:
    """Count the starts of this job. Raises BulkError: too many of them did not get any further."""
    path = folder / jobs.STARTS
    with path.open("a") as file:
        file.write(f"{done}\n")
    starts = path.read_text().split()
    if starts[-MOST_STARTS - 1 :] == [str(done)] * (MOST_STARTS + 1):
        raise BulkError(ENDED)


def _pack(run: Run, path: Path) -> None:
    """All files of a run in one zip. They are compressed already."""
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for file in [run.out / "manifest.json", *files_of(run.out)]:
            archive.write(file, file.relative_to(run.out))
    part.rename(path)


def _say(path: Path, facts: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.rename(path)


def _should_stop(folder: Path) -> Callable[[], bool]:
    """Whether the job is cancelled, or the process that started this one has ended or told it to."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this

    def watch() -> None:
        sys.stdin.buffer.read()
        told.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return lambda: told.is_set() or (folder / jobs.CANCELLED).exists()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
