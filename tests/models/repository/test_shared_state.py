"""The shared state on disk: its files are whole at every moment, wherever a worker stops."""

import multiprocessing
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.models.repository.shared_state import ModelState, Refusal, ServingState, SharedState
from tests.support.batching import Request

WRITES = 200
MODELS = 60  # so many that what is written is more than Python keeps back before it writes


def state(generation: int) -> ServingState:
    entry = ModelState({"1": "a stamp"}, {"stable": "1"}, {"2": Refusal("another", 0, "why " * 50)}, None, ("a note",))
    return ServingState(generation, {f"model-{number}": entry for number in range(MODELS)})


def stamps(number: int) -> dict[str, dict[str, list[str]]]:
    return {f"model-{one}": {str(number): ["a stamp" * 30]} for one in range(MODELS)}


def write(shared: SharedState, number: int) -> None:
    """Write a heartbeat and a state that are known by their number."""
    shared.heartbeat(shared.new_report(number, stamps(number), stamps(number), {}))
    shared.commit(state(number))


def read(shared: SharedState) -> tuple[int, int]:
    """The numbers of the heartbeat and of the state. A file that is missing or not whole fails."""
    (report,) = shared.reports()
    agreed = shared.state()
    assert agreed is not None and agreed == state(agreed.generation)
    assert report.opened == report.prepared == stamps(report.generation)
    return report.generation, agreed.generation


@contextmanager
def room(size: int) -> Iterator[None]:
    """The kernel lets this process write no file beyond so many bytes, as if the disk were full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def half(folder: Path) -> int:
    """Half the bytes of the smaller file."""
    return min(path.stat().st_size for path in folder.rglob("*.json")) // 2


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    shared = SharedState(tmp_path)
    write(shared, 1)
    before = files(tmp_path)
    with room(half(tmp_path)):
        with pytest.raises(OSError, match="File too large"):
            shared.commit(state(2))
        with pytest.raises(OSError, match="File too large"):
            shared.heartbeat(shared.new_report(2, stamps(2), stamps(2), {}))
    assert read(shared) == (1, 1) and files(tmp_path) == before
    write(shared, 2)
    assert read(shared) == (2, 2) and files(tmp_path) == before


def die_half_way(folder: Path, size: int) -> None:
    """Write until the kernel kills this process for it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with room(size):
        SharedState(folder).commit(state(2))


def test_a_worker_that_is_killed_while_it_writes_leaves_what_was_there(tmp_path: Path) -> None:
    shared = SharedState(tmp_path)
    write(shared, 1)
    worker = multiprocessing.get_context("spawn").Process(target=die_half_way, args=(tmp_path, half(tmp_path)))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGXFSZ
    assert read(shared) == (1, 1)
    write(shared, 3)
    assert read(shared) == (3, 3)


def test_readers_find_whole_files_while_others_write(tmp_path: Path) -> None:
    writer, reader = SharedState(tmp_path), SharedState(tmp_path)
    write(writer, 0)
    over = threading.Event()

    def until_over() -> list[tuple[int, int]]:
        found = []
        while not over.is_set():
            found.append(read(reader))
        return found

    reading = Request("reading", until_over)
    for number in range(1, WRITES):
        write(writer, number)
    over.set()
    assert reading.join().error is None, reading.error
    assert reading.answer == sorted(reading.answer) and len(set(reading.answer)) > 10
