"""The cache file: shared by processes, bounded, and no hindrance to answers when it is locked, lost or spoilt."""

import itertools
import logging
import multiprocessing
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.cache import Event, SqliteCache, fingerprint
from server.errors import NotReady
from tests.support.clock import Clock
from tests.support.explanations import explanation
from tests.support.processes.caching import ROUNDS, caching, make_files, noisy, numbered

MIB = 1 << 20
FOUND = explanation()
NOISY = noisy(FOUND)  # of 49 kB


def opened(path: Path, largest: int = 8 * MIB, **settings: Any) -> SqliteCache:
    return SqliteCache(path / "cache.sqlite", largest, **settings)


def size(folder: Path) -> int:
    """Bytes on the disk of all that is in the folder."""
    found = []
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(file.stat())
    return sum(max(one.st_size, 512 * one.st_blocks) for one in found)


def holds(cache: SqliteCache, number: int) -> bool:
    found = cache.get(f"{number:032x}")
    assert found is None or (found.attribution.values == number).all()
    return found is not None


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path / "cache.sqlite")) as connection:
        return [id_ for (id_,) in connection.execute("SELECT id FROM entries ORDER BY place")]


def test_what_is_put_is_got_by_another_worker_and_after_a_restart(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    assert one.get(FOUND.id) is None
    assert one.put(FOUND).kept
    for cache in (one, other, opened(tmp_path)):
        found = cache.get(FOUND.id)
        assert found is not None and found.kept
        assert fingerprint(found) == fingerprint(replace(FOUND, kept=True))
        assert cache.get("0" * 32) is None
    one.close()
    assert other.put(numbered(FOUND, 1)).kept
    assert holds(one, 1)


def test_the_last_one_with_an_id_is_kept(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    for seed in (1, 2):
        assert cache.put(replace(FOUND, seed=seed)).kept
    found = cache.get(FOUND.id)
    assert found is not None and found.seed == 2
    assert rows(tmp_path) == [FOUND.id]


def test_a_partial_one_is_not_kept(tmp_path: Path) -> None:
    events: list[Event] = []
    cache = opened(tmp_path, on_event=events.append)
    assert not cache.put(replace(FOUND, attribution=replace(FOUND.attribution, state="partial"))).kept
    assert cache.get(FOUND.id) is None
    assert cache.put(FOUND).kept and cache.get(FOUND.id) is not None
    assert events == ["not kept", "miss", "kept", "hit"]


def test_only_the_servers_user_may_read_the_file(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.put(FOUND)
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def test_the_oldest_go_out_and_the_files_stay_within_their_bytes(tmp_path: Path) -> None:
    cache, largest = opened(tmp_path, 4 * MIB), 0
    small, large = noisy(FOUND, 64), noisy(FOUND, 380)  # 12 and 430 kB
    for number in range(300):
        assert cache.put(numbered(large if number % 7 == 0 else small, number)).kept
        largest = max(largest, size(tmp_path))
    assert 3 * MIB < largest <= 4 * MIB
    there = [holds(cache, number) for number in range(300)]
    assert there == sorted(there) and 10 < sum(there) < 290
    assert rows(tmp_path) == [f"{number:032x}" for number in range(300) if there[number]]


def test_an_entry_that_takes_too_much_of_the_room_is_not_kept(tmp_path: Path) -> None:
    cache = opened(tmp_path, 4 * MIB)
    cache.put(numbered(FOUND, 1))
    assert not cache.put(noisy(FOUND, 512)).kept
    assert holds(cache, 1)


def test_a_smaller_bound_makes_the_file_smaller(tmp_path: Path) -> None:
    before = opened(tmp_path, 16 * MIB)
    for number in range(300):
        before.put(numbered(NOISY, number))
    assert size(tmp_path) > 10 * MIB
    before.close()
    after = opened(tmp_path, 4 * MIB)
    assert holds(after, 299) and not holds(after, 100)
    assert size(tmp_path) <= 4 * MIB


def test_processes_share_one_file_within_its_bytes(tmp_path: Path) -> None:
    """Two start at once on a file that is not there yet, and write while a thread of a third reads."""
    path, largest, done, found = tmp_path / "cache.sqlite", 0, threading.Event(), noisy(numbered(FOUND, 0))
    cache = opened(tmp_path, 4 * MIB)

    def read() -> None:
        while not done.is_set():
            for number in range(80):
                holds(cache, number)

    with (
        caching(path, 4 * MIB, range(80), found) as one,
        caching(path, 4 * MIB, range(1000, 1080), found) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        reader = pool.submit(read)
        try:
            while one.poll() is None or other.poll() is None:
                largest = max(largest, size(tmp_path))
                time.sleep(0.002)  # polls other processes
        finally:
            done.set()
        reader.result()
        printed = [line.split() for writer in (one, other) for line in writer.stdout or ()]
    refused = [number for number, put in printed if put != b"True"]
    assert len(printed) == 160 and len(refused) < 40  # a process that waits too long goes on without
    last = rows(tmp_path)
    assert len(last) > 30 and {int(id_, 16) // 1000 for id_ in last} <= {0, 1}
    assert all(holds(cache, int(id_, 16)) for id_ in last)
    assert largest <= 4 * MIB


def test_processes_that_make_the_file_at_the_same_time_all_keep_in_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, done = context.Barrier(3), context.Queue()
    processes = [context.Process(target=make_files, args=(tmp_path, number, barrier, done)) for number in range(3)]
    for process in processes:
        process.start()
    answers = [done.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert answers == [[True] * ROUNDS] * 3
    for number in range(ROUNDS):
        cache = SqliteCache(tmp_path / f"{number}.sqlite", 8 * MIB)
        assert all(holds(cache, process) for process in range(3))


def test_a_long_read_does_not_let_the_log_grow(tmp_path: Path) -> None:
    hours = itertools.count(0.0, 3600.0)
    cache = opened(tmp_path, 4 * MIB, now=lambda: next(hours))
    cache.put(numbered(NOISY, 0))
    with closing(sqlite3.connect(tmp_path / "cache.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchall()
        done = [cache.put(numbered(NOISY, number)).kept for number in range(1, 13)]
        assert done[0] and not done[-1]
        assert size(tmp_path) <= 4 * MIB
        assert done == [holds(cache, number) for number in range(1, 13)]
        other.execute("COMMIT")
    assert cache.put(numbered(NOISY, 100)).kept and holds(cache, 100)


def test_threads_share_one_connection(tmp_path: Path) -> None:
    cache = opened(tmp_path)

    def work(number: int) -> bool:
        return cache.put(numbered(FOUND, number)).kept and holds(cache, number)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(200)))
    assert sum(done) > 150  # a process that waits too long goes on without
    assert sum(holds(cache, number) for number in range(200)) >= sum(done)


def test_a_stale_entry_is_a_miss_once_and_then_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    cache = opened(tmp_path, on_event=events.append)
    for number in (1, 2):
        cache.put(numbered(FOUND, number))
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as connection, connection:
        connection.execute("UPDATE entries SET body = zeroblob(length(body)) WHERE id = ?", (f"{1:032x}",))
    assert not holds(cache, 1)
    assert holds(cache, 2)
    assert events[2:] == ["miss", "hit"]
    assert rows(tmp_path) == [f"{2:032x}"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and f"{1:032x}" in record.getMessage()
    assert cache.put(numbered(FOUND, 1)).kept and holds(cache, 1)


def test_what_has_no_form_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = replace(FOUND, attribution=replace(FOUND.attribution, values=np.array([[object()]])))
    cache = opened(tmp_path)
    assert not cache.put(odd).kept
    assert FOUND.id in caplog.text
    assert cache.put(FOUND).kept


@pytest.mark.parametrize("steps", [-86_400.0, -1.0, 86_400.0])
def test_the_oldest_entry_is_the_first_written_even_if_the_clock_steps(tmp_path: Path, steps: float) -> None:
    clock = Clock()
    cache = opened(tmp_path, 4 * MIB, clock=clock)
    for number in range(120):
        clock.seconds += steps
        assert cache.put(numbered(NOISY, number)).kept
    there = [holds(cache, number) for number in range(120)]
    assert there == sorted(there) and 30 < sum(there) < 120


def test_too_old_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    cache = opened(tmp_path, seconds=60, clock=clock)
    cache.put(numbered(FOUND, 1))
    clock.seconds += 30
    cache.put(numbered(FOUND, 2))
    clock.seconds += 30
    assert holds(cache, 1) and holds(cache, 2)
    clock.seconds += 1
    assert not holds(cache, 1) and holds(cache, 2)
    assert len(rows(tmp_path)) == 2
    cache.put(numbered(FOUND, 3))
    assert rows(tmp_path) == [f"{number:032x}" for number in (2, 3)]
    clock.seconds -= 86_400  # both are of the future now
    assert not holds(cache, 2) and not holds(cache, 3)
    cache.put(numbered(FOUND, 4))
    assert holds(cache, 4) and rows(tmp_path) == [f"{4:032x}"]


def test_without_an_age_the_clock_does_not_matter(tmp_path: Path) -> None:
    clock = Clock()
    cache = opened(tmp_path, clock=clock)
    cache.put(numbered(FOUND, 1))
    for seconds in (0.0, 1e12):
        clock.seconds = seconds
        assert holds(cache, 1)


def locker(path: Path, statement: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path / "cache.sqlite", isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE") if statement == "exclusive" else None
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM entries WHERE id = 'none'")
    return connection


def test_while_others_write_for_long_answers_do_not_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = Clock()
    cache = opened(tmp_path, now=now)
    cache.put(numbered(FOUND, 1))
    with closing(locker(tmp_path, "shared")) as other:
        start = time.monotonic()
        assert not cache.put(numbered(FOUND, 2)).kept
        for _ in range(1000):
            assert not cache.put(numbered(FOUND, 2)).kept
        assert time.monotonic() - start < 1
        assert holds(cache, 1)  # reading goes on
        (record,) = caplog.records
        assert "locked" in record.getMessage() and record.levelno == logging.WARNING
        now.seconds += 1.1
        assert not cache.put(numbered(FOUND, 2)).kept  # looked again, and rests for longer
        other.execute("ROLLBACK")
    now.seconds += 1.1
    assert not cache.put(numbered(FOUND, 2)).kept
    now.seconds += 1.1
    assert cache.put(numbered(FOUND, 2)).kept and holds(cache, 2)


def test_a_file_that_is_locked_from_the_start(tmp_path: Path) -> None:
    now = Clock()
    before = opened(tmp_path)
    before.put(numbered(FOUND, 1))
    before.close()
    cache = opened(tmp_path, now=now)
    with closing(locker(tmp_path, "exclusive")):
        start = time.monotonic()
        assert not cache.put(numbered(FOUND, 2)).kept and not holds(cache, 1)
        with pytest.raises(NotReady):  # it may be there
            cache.find(f"{1:032x}")
        assert time.monotonic() - start < 2
    now.seconds += 2
    assert holds(cache, 1) and cache.put(numbered(FOUND, 2)).kept
    assert cache.find(f"{3:032x}") is None


def check_stopped(cache: SqliteCache, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps nothing, finds nothing, and has said so in one line, with what to do."""
    for number in (3, 4):
        assert not cache.put(numbered(FOUND, number)).kept
        assert cache.find(f"{number:032x}") is None  # not NotReady: it will not be there soon
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info is None
    reported = record.getMessage()
    assert str(path) in reported and "Stop the server" in reported and "\n" not in reported


@pytest.mark.parametrize("put_first", [False, True])
@pytest.mark.parametrize("ends", [[""], ["", "-wal", "-shm"]])
def test_a_file_that_is_removed_under_us_is_used_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ends: list[str], put_first: bool
) -> None:
    cache = opened(tmp_path)
    cache.put(numbered(FOUND, 1))
    for end in ends:
        (tmp_path / f"cache.sqlite{end}").unlink()
    assert not (cache.put(numbered(FOUND, 2)).kept if put_first else holds(cache, 1))
    check_stopped(cache, tmp_path / "cache.sqlite", caplog)
    assert not (tmp_path / "cache.sqlite").exists()
    if "-wal" not in ends:  # a server that is started again would take the log for that of its new file
        caplog.clear()
        check_stopped(opened(tmp_path), tmp_path / "cache.sqlite", caplog)
        (tmp_path / "cache.sqlite-wal").unlink()
    after = opened(tmp_path)
    assert after.put(numbered(FOUND, 2)).kept and holds(after, 2) and not holds(after, 1)


def test_a_file_that_is_removed_while_it_fails_is_not_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = Clock()
    cache = opened(tmp_path, now=now)
    cache.put(numbered(FOUND, 1))
    with closing(locker(tmp_path, "shared")):
        assert not cache.put(numbered(FOUND, 2)).kept
    for file in tmp_path.iterdir():
        file.unlink()
    now.seconds += 2
    caplog.clear()
    check_stopped(cache, tmp_path / "cache.sqlite", caplog)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_under_us_is_not_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    cache = opened(folder)
    cache.put(numbered(FOUND, 1))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    check_stopped(cache, folder / "cache.sqlite", caplog)
    assert not folder.exists()


def test_a_file_that_replaces_the_cache_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = opened(tmp_path)
    cache.put(numbered(FOUND, 1))
    path, theirs = tmp_path / "cache.sqlite", tmp_path / "theirs"
    content = foreign_database(theirs)
    theirs.replace(path)
    check_stopped(cache, path, caplog)
    assert path.read_bytes() == content


RUBBISH = np.random.default_rng(3).bytes(20_000)


@pytest.mark.parametrize("content", [b"", b"rubbish", RUBBISH, b"SQLite format 3\x00" + RUBBISH])
def test_a_file_that_is_overwritten_under_us_is_used_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    cache = opened(tmp_path, 4 * MIB)
    for number in range(20):
        cache.put(numbered(NOISY, number))
    with (tmp_path / "cache.sqlite").open("r+b") as file:
        file.write(content)
        file.truncate()
    # the log may have what the file has lost, so that the loss shows only later; none is answered wrong in between
    done = [cache.put(numbered(NOISY, number)).kept and holds(cache, number) for number in range(20, 140)]
    assert not done[-1]
    check_stopped(cache, tmp_path / "cache.sqlite", caplog)


@pytest.mark.parametrize("at", range(0, 60_000, 5003))
def test_pages_that_are_spoilt_are_never_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int) -> None:
    cache = opened(tmp_path)
    for number in range(40):
        cache.put(numbered(noisy(FOUND, 32), number))
    cache.close()
    path = tmp_path / "cache.sqlite"
    whole = bytearray(path.read_bytes())
    whole[at : at + 2000] = RUBBISH[:2000]
    path.write_bytes(whole)
    cache = opened(tmp_path, now=(now := Clock()))
    found = [holds(cache, number) for number in range(40)]  # holds() checks each that is found
    now.seconds += 100
    works = cache.put(numbered(FOUND, 99)).kept and holds(cache, 99)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == (0 if works else 1), found


def foreign_database(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    return path.read_bytes()


def text(path: Path) -> bytes:
    path.write_text("my diary\n" * 100)
    return path.read_bytes()


def empty_table(path: Path) -> bytes:
    """A database that is in use: SQLite would put its log into it when it is opened."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE people (name TEXT)")
        content = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()
    path.write_bytes(content[0])
    path.with_name(f"{path.name}-wal").write_bytes(content[1])
    return content[0]


def another_layout(path: Path) -> bytes:
    cache = SqliteCache(path, 8 * MIB)
    cache.put(FOUND)
    cache.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    return path.read_bytes()


@pytest.mark.parametrize("make", [foreign_database, empty_table, text, another_layout])
def test_a_file_that_is_no_cache_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any) -> None:
    path = tmp_path / "theirs"
    content = make(path)
    before = sorted(tmp_path.iterdir())
    cache = SqliteCache(path, 8 * MIB)
    check_stopped(cache, path, caplog)
    cache.close()
    assert path.read_bytes() == content and sorted(tmp_path.iterdir()) == before


def test_a_path_that_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = SqliteCache(tmp_path / "file" / "cache.sqlite", 8 * MIB)
    assert not cache.put(FOUND).kept and cache.get(FOUND.id) is None
    assert all(record.levelno == logging.WARNING for record in caplog.records) and len(caplog.records) == 2


def test_nothing_is_opened_before_it_is_used_so_that_workers_may_be_forked(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cache.put(FOUND).kept
    assert (tmp_path / "cache.sqlite").is_file()
