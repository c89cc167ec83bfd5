"""Runs the shards of a bulk run in processes of this machine (worker pool).

A process that ends while it works is replaced, and its shard done again; a row at which two have ended gets an error in
its place, so that one picture ends no run.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from server.bulk.errors import BulkError, RunError
from server.bulk.run import RowCounts, Run, encoded
from server.bulk.worker import RunSpec, ShardWorker
from server.errors import ServiceError
from server.models.model_loaders import available_cores

MAX_DEATHS_AT_ROW = 2  # of a row whose reading ends the process
MAX_DEATHS_BEFORE_ROWS = 5  # of processes that end before they have read a row, in a row
MAX_DEATHS = 40  # of processes, without a file between them
LOOK = 0.2  # seconds between two looks whether to stop

SPAWN = multiprocessing.get_context("spawn")  # what is forked from threads may hang


class Stopped(Exception):
    """The run was told to stop; what is done stays."""


@dataclass(eq=False)
class _Process:
    """A process, what it works on, and the row that it had reached."""

    process: Any
    pipe: Connection
    row: Any  # shared memory
    ready: bool = False
    shard: int | None = None


@dataclass
class _State:
    """What is left to do, and what went wrong."""

    waiting: list[int]
    deaths_by_row: dict[int, int] = field(default_factory=dict)  # row -> processes that ended there
    deaths_before_rows: int = 0  # processes that ended before any row, since the last shard
    deaths: int = 0  # processes that ended, since the last shard


def run_shards(
    run: Run, store: Path, workers: int, device: str, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[tuple[int, RowCounts]]:
    """Do what is missing of a run with so many processes; each shard when it is there, and its counts.

    Raises:
        BulkError: the run cannot go on.
        Stopped: `should_stop` said so.
    """
    state = _State(run.missing(verify=True))
    pool: list[_Process] = []
    try:
        while state.waiting or any(one.shard is not None for one in pool):
            busy = sum(one.shard is not None for one in pool)
            while len(pool) < min(workers, busy + len(state.waiting)):
                pool.append(_started(run.spec, store, device, max(1, available_cores() // workers)))
            ready = wait([one.pipe for one in pool], LOOK)
            if should_stop():
                raise Stopped
            for one in [one for one in pool if one.pipe in ready]:
                done = _receive(one, run, state)
                if done is not None:
                    yield done
            pool = [one for one in pool if not one.pipe.closed]
            _assign_shards(pool, state)
    finally:
        for one in pool:
            one.process.kill()
            one.process.join()


def _assign_shards(pool: Sequence[_Process], state: _State) -> None:
    """Give processes that wait the next shards."""
    skip = [row for row, deaths in state.deaths_by_row.items() if deaths >= MAX_DEATHS_AT_ROW]
    for one in pool:
        if one.ready and one.shard is None and state.waiting:
            one.shard = state.waiting.pop(0)
            with suppress(OSError):  # it has just ended, which the next look finds
                one.pipe.send((one.shard, skip))


def _receive(one: _Process, run: Run, state: _State) -> tuple[int, RowCounts] | None:
    """Take what a process says; a shard where one is done."""
    try:
        message = one.pipe.recv()
    except (EOFError, OSError):
        _reap(one, state)
        return None
    if isinstance(message, str):
        raise RunError(message)
    done = None
    if one.shard is not None:
        done = one.shard, run.write_file(one.shard, message)
        state.deaths_before_rows = state.deaths = 0
    one.ready, one.shard, one.row.value = True, None, -1
    return done


def _reap(one: _Process, state: _State) -> None:
    """A process has ended: remember at which row, and put its shard back."""
    one.process.join()
    one.pipe.close()
    state.deaths += 1
    if state.deaths >= MAX_DEATHS:
        raise RunError(
            f"{MAX_DEATHS} processes ended without one file more; what they wrote on standard error says why"
        )
    if one.shard is None or one.row.value < 0:
        state.deaths_before_rows += 1
        if state.deaths_before_rows >= MAX_DEATHS_BEFORE_ROWS:
            raise RunError(
                f"{MAX_DEATHS_BEFORE_ROWS} processes ended before they had read a picture (the last with "
                f"{one.process.exitcode}); is there enough memory for so many --workers?"
            )
    else:
        state.deaths_by_row[one.row.value] = state.deaths_by_row.get(one.row.value, 0) + 1
    if one.shard is not None:
        state.waiting.insert(0, one.shard)
    one.shard = None


def _started(spec: RunSpec, store: Path, device: str, cores: int) -> _Process:
    mine, theirs = SPAWN.Pipe()
    row = SPAWN.Value("q", -1, lock=False)
    process = SPAWN.Process(target=_work, args=(theirs, row, spec.to_json(), store, device, cores), daemon=True)
    process.start()
    theirs.close()  # so that its end is heard
    return _Process(process, mine, row)


def _work(pipe: Connection, row: Any, spec: str, store: Path, device: str, cores: int) -> None:
    """What a process does: one shard after the other, as they are named, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that leads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        worker = ShardWorker(RunSpec.from_json(spec), store, cores, device)
    except (BulkError, ServiceError) as error:
        pipe.send(str(error))
        return
    identity = Run(Path(), RunSpec.from_json(spec)).identity
    _end_with(os.getppid())
    pipe.send(None)  # ready
    while True:
        try:
            shard, skip = pipe.recv()
        except (EOFError, OSError):
            return

        def on_row(at: int) -> None:
            row.value = at

        pipe.send(encoded(worker.explain(shard, skip, on_row), identity))


def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended, also in the middle of a shard."""

    def watch() -> None:
        stop = threading.Event()
        while os.getppid() == parent:
            stop.wait(LOOK)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
