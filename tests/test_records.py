"""The file of kept explanations: shared by processes, bounded, in nobody's way when it is locked, lost or spoilt."""

import itertools
import logging
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import NotReady
from server.records import Event, Kept, fingerprint
from tests.explanations import explanation
from tests.recording import EDITION, noisy, numbered, recording

MIB = 1 << 20
FOUND = explanation()
NOISY = noisy(FOUND)  # of 49 kB


@dataclass
class Clock:
    seconds: float = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def kept(path: Path, most: int = 8 * MIB, **settings: Any) -> Kept:
    return Kept(path / "records.sqlite", most, **{"edition": EDITION, **settings})


def size(folder: Path) -> int:
    """Bytes on the disk of all that is in the folder."""
    found = []
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(file.stat())
    return sum(max(one.st_size, 512 * one.st_blocks) for one in found)


def holds(records: Kept, number: int) -> bool:
    found = records.get(f"{number:032x}")
    assert found is None or (found.attribution.values == number).all()
    return found is not None


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path / "records.sqlite")) as connection:
        return [id_ for (id_,) in connection.execute("SELECT id FROM records ORDER BY place")]


def test_what_is_put_is_got_by_another_worker_and_after_a_restart(tmp_path: Path) -> None:
    one, other = kept(tmp_path), kept(tmp_path)
    assert one.get(FOUND.id) is None
    assert one.put(FOUND)
    for records in (one, other, kept(tmp_path)):
        found = records.get(FOUND.id)
        assert found is not None and found.kept
        assert fingerprint(found) == fingerprint(replace(FOUND, kept=True))
        assert records.get("0" * 32) is None
    one.close()
    assert other.put(numbered(FOUND, 1))
    assert holds(one, 1)


def test_the_last_one_with_an_id_is_kept(tmp_path: Path) -> None:
    records = kept(tmp_path)
    for seed in (1, 2):
        assert records.put(replace(FOUND, seed=seed))
    found = records.get(FOUND.id)
    assert found is not None and found.seed == 2
    assert rows(tmp_path) == [FOUND.id]


def test_a_partial_one_is_not_kept(tmp_path: Path) -> None:
    events: list[Event] = []
    records = kept(tmp_path, saw=events.append)
    assert not records.put(replace(FOUND, attribution=replace(FOUND.attribution, state="partial")))
    assert records.get(FOUND.id) is None
    assert records.put(FOUND) and records.get(FOUND.id) is not None
    assert events == ["not kept", "miss", "kept", "hit"]


def test_nobody_else_may_read_what_people_sent(tmp_path: Path) -> None:
    records = kept(tmp_path)
    records.put(FOUND)
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def test_the_oldest_go_out_and_the_files_stay_within_their_bytes(tmp_path: Path) -> None:
    records, most = kept(tmp_path, 4 * MIB), 0
    small, large = noisy(FOUND, 64), noisy(FOUND, 380)  # 12 and 430 kB
    for number in range(300):
        assert records.put(numbered(large if number % 7 == 0 else small, number))
        most = max(most, size(tmp_path))
    assert 3 * MIB < most <= 4 * MIB
    there = [holds(records, number) for number in range(300)]
    assert there == sorted(there) and 10 < sum(there) < 290
    assert rows(tmp_path) == [f"{number:032x}" for number in range(300) if there[number]]


def test_a_record_that_takes_too_much_of_the_room_is_not_kept(tmp_path: Path) -> None:
    records = kept(tmp_path, 4 * MIB)
    records.put(numbered(FOUND, 1))
    assert not records.put(noisy(FOUND, 512))
    assert holds(records, 1)


def test_a_smaller_bound_makes_the_file_smaller(tmp_path: Path) -> None:
    before = kept(tmp_path, 16 * MIB)
    for number in range(300):
        before.put(numbered(NOISY, number))
    assert size(tmp_path) > 10 * MIB
    before.close()
    after = kept(tmp_path, 4 * MIB)
    assert holds(after, 299) and not holds(after, 100)
    assert size(tmp_path) <= 4 * MIB


def test_processes_share_one_file_within_its_bytes(tmp_path: Path) -> None:
    """Two start at once on a file that is not there yet, and write while a thread of a third reads."""
    path, most, done, found = tmp_path / "records.sqlite", 0, threading.Event(), noisy(numbered(FOUND, 0))
    records = kept(tmp_path, 4 * MIB)

    def read() -> None:
        while not done.is_set():
            for number in range(80):
                holds(records, number)

    with (
        recording(path, 4 * MIB, range(80), found) as one,
        recording(path, 4 * MIB, range(1000, 1080), found) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        reader = pool.submit(read)
        try:
            while one.poll() is None or other.poll() is None:
                most = max(most, size(tmp_path))
                time.sleep(0.002)  # polls other processes
        finally:
            done.set()
        reader.result()
        printed = [line.split() for writer in (one, other) for line in writer.stdout or ()]
    refused = [number for number, put in printed if put != b"True"]
    assert len(printed) == 160 and len(refused) < 40  # whoever waits too long goes on without
    last = rows(tmp_path)
    assert len(last) > 30 and {int(id_, 16) // 1000 for id_ in last} <= {0, 1}
    assert all(holds(records, int(id_, 16)) for id_ in last)
    assert most <= 4 * MIB


def test_whoever_reads_for_long_does_not_let_the_log_grow(tmp_path: Path) -> None:
    hours = itertools.count(0.0, 3600.0)
    records = kept(tmp_path, 4 * MIB, now=lambda: next(hours))
    records.put(numbered(NOISY, 0))
    with closing(sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM records").fetchall()
        done = [records.put(numbered(NOISY, number)) for number in range(1, 13)]
        assert done[0] and not done[-1]
        assert size(tmp_path) <= 4 * MIB
        assert done == [holds(records, number) for number in range(1, 13)]
        other.execute("COMMIT")
    assert records.put(numbered(NOISY, 100)) and holds(records, 100)


def test_threads_share_one_connection(tmp_path: Path) -> None:
    records = kept(tmp_path)

    def work(number: int) -> bool:
        return records.put(numbered(FOUND, number)) and holds(records, number)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(200)))
    assert sum(done) > 150  # whoever waits too long goes on without
    assert sum(holds(records, number) for number in range(200)) >= sum(done)


def test_a_damaged_record_is_a_miss_once_and_then_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    records = kept(tmp_path, saw=events.append)
    for number in (1, 2):
        records.put(numbered(FOUND, number))
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as connection, connection:
        connection.execute("UPDATE records SET body = zeroblob(length(body)) WHERE id = ?", (f"{1:032x}",))
    assert not holds(records, 1)
    assert holds(records, 2)
    assert events[2:] == ["miss", "hit"]
    assert rows(tmp_path) == [f"{2:032x}"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and f"{1:032x}" in record.getMessage()
    assert records.put(numbered(FOUND, 1)) and holds(records, 1)


def test_what_other_code_computed_is_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept(tmp_path, edition="before").put(FOUND)
    records = kept(tmp_path)
    assert records.get(FOUND.id) is None
    assert rows(tmp_path) == [] and not caplog.records


def test_what_has_no_form_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = replace(FOUND, attribution=replace(FOUND.attribution, values=np.array([[object()]])))
    records = kept(tmp_path)
    assert not records.put(odd)
    assert FOUND.id in caplog.text
    assert records.put(FOUND)


@pytest.mark.parametrize("steps", [-86_400.0, -1.0, 86_400.0])
def test_the_oldest_is_the_one_that_was_put_first_whatever_the_clock_says(tmp_path: Path, steps: float) -> None:
    clock = Clock()
    records = kept(tmp_path, 4 * MIB, clock=clock)
    for number in range(120):
        clock.seconds += steps
        assert records.put(numbered(NOISY, number))
    there = [holds(records, number) for number in range(120)]
    assert there == sorted(there) and 30 < sum(there) < 120


def test_too_old_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    records = kept(tmp_path, seconds=60, clock=clock)
    records.put(numbered(FOUND, 1))
    clock.seconds += 30
    records.put(numbered(FOUND, 2))
    clock.seconds += 30
    assert holds(records, 1) and holds(records, 2)
    clock.seconds += 1
    assert not holds(records, 1) and holds(records, 2)
    assert len(rows(tmp_path)) == 2
    records.put(numbered(FOUND, 3))
    assert rows(tmp_path) == [f"{number:032x}" for number in (2, 3)]
    clock.seconds -= 86_400  # both are of the future now
    assert not holds(records, 2) and not holds(records, 3)
    records.put(numbered(FOUND, 4))
    assert holds(records, 4) and rows(tmp_path) == [f"{4:032x}"]


def test_without_an_age_the_clock_does_not_matter(tmp_path: Path) -> None:
    clock = Clock()
    records = kept(tmp_path, clock=clock)
    records.put(numbered(FOUND, 1))
    for seconds in (0.0, 1e12):
        clock.seconds = seconds
        assert holds(records, 1)


def locker(path: Path, statement: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path / "records.sqlite", isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE") if statement == "exclusive" else None
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM records WHERE id = 'none'")
    return connection


def test_while_others_write_for_long_answers_do_not_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = Clock()
    records = kept(tmp_path, now=now)
    records.put(numbered(FOUND, 1))
    with closing(locker(tmp_path, "shared")) as other:
        start = time.monotonic()
        assert not records.put(numbered(FOUND, 2))
        for _ in range(1000):
            assert not records.put(numbered(FOUND, 2))
        assert time.monotonic() - start < 1
        assert holds(records, 1)  # reading goes on
        (record,) = caplog.records
        assert "locked" in record.getMessage() and record.levelno == logging.WARNING
        now.seconds += 1.1
        assert not records.put(numbered(FOUND, 2))  # looked again, and rests for longer
        other.execute("ROLLBACK")
    now.seconds += 1.1
    assert not records.put(numbered(FOUND, 2))
    now.seconds += 1.1
    assert records.put(numbered(FOUND, 2)) and holds(records, 2)


def test_a_file_that_is_locked_from_the_start(tmp_path: Path) -> None:
    now = Clock()
    before = kept(tmp_path)
    before.put(numbered(FOUND, 1))
    before.close()
    records = kept(tmp_path, now=now)
    with closing(locker(tmp_path, "exclusive")):
        start = time.monotonic()
        assert not records.put(numbered(FOUND, 2)) and not holds(records, 1)
        with pytest.raises(NotReady):  # it may be there
            records.find(f"{1:032x}")
        assert time.monotonic() - start < 2
    now.seconds += 2
    assert holds(records, 1) and records.put(numbered(FOUND, 2))
    assert records.find(f"{3:032x}") is None


@pytest.mark.parametrize("ends", [[""], ["", "-wal"], ["", "-wal", "-shm"], ["", "-wal", "-shm", ".lock"], ["-wal"]])
def test_a_file_that_is_deleted_under_us_is_made_anew(tmp_path: Path, ends: list[str]) -> None:
    one, other = kept(tmp_path), kept(tmp_path)
    one.put(numbered(FOUND, 1))
    assert holds(other, 1)
    for end in ends:
        (tmp_path / f"records.sqlite{end}").unlink()
    assert one.put(numbered(FOUND, 2)) and holds(one, 2)
    if "" in ends:
        assert not holds(one, 1) and holds(other, 2)
        assert other.put(numbered(FOUND, 3)) and holds(one, 3)


def test_a_folder_that_is_deleted_under_us_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    records = kept(folder)
    records.put(numbered(FOUND, 1))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert not holds(records, 1) and records.put(numbered(FOUND, 2)) and holds(records, 2)


def overwritten(path: Path, content: bytes, keep_size: bool = False) -> None:
    with path.open("r+b") as file:
        file.write(content)
        if not keep_size:
            file.truncate()


RUBBISH = np.random.default_rng(3).bytes(20_000)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("content", [b"", b"rubbish", RUBBISH, b"SQLite format 3\x00" + RUBBISH])
def test_a_file_that_is_overwritten_under_us_is_made_anew(tmp_path: Path, content: bytes, restart: bool) -> None:
    records, other, found = kept(tmp_path, 4 * MIB), kept(tmp_path, 4 * MIB), NOISY
    for number in range(20):
        records.put(numbered(found, number))
    assert holds(other, 1)
    overwritten(tmp_path / "records.sqlite", content)
    if restart:
        records.close()
        records = kept(tmp_path, 4 * MIB)
    # the log may have what the file has lost, so that the loss shows only later; all that is there goes out in between
    done = [records.put(numbered(found, number)) and holds(records, number) for number in range(20, 140)]
    assert all(done)
    assert holds(records, 139) and holds(other, 139)
    assert not holds(other, 1)


@pytest.mark.parametrize("at", range(0, 60_000, 5003))
def test_pages_that_are_spoilt_are_never_an_answer(tmp_path: Path, at: int) -> None:
    records = kept(tmp_path)
    for number in range(40):
        records.put(numbered(noisy(FOUND, 32), number))
    records.close()
    path = tmp_path / "records.sqlite"
    whole = bytearray(path.read_bytes())
    whole[at : at + 2000] = RUBBISH[:2000]
    path.write_bytes(whole)
    records = kept(tmp_path, now=(now := Clock()))
    found = [holds(records, number) for number in range(40)]  # holds() checks each that is found
    now.seconds += 100
    assert records.put(numbered(FOUND, 99)) and holds(records, 99), found


def foreign_database(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    return path.read_bytes()


def text(path: Path) -> bytes:
    path.write_text("my diary\n" * 100)
    return path.read_bytes()


@pytest.mark.parametrize("make", [foreign_database, text])
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any) -> None:
    path = tmp_path / "theirs"
    content = make(path)
    records = Kept(path, 8 * MIB, ours=False)
    assert not records.put(FOUND) and records.get(FOUND.id) is None
    assert path.read_bytes() == content
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert all(str(path) in record.getMessage() and "left alone" in record.getMessage() for record in caplog.records)


def test_a_file_of_another_layout_is_made_anew(tmp_path: Path) -> None:
    before = kept(tmp_path)
    before.put(numbered(FOUND, 1))
    before.close()
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    records = kept(tmp_path)
    assert not holds(records, 1) and records.put(numbered(FOUND, 2)) and holds(records, 2)


def test_a_path_that_can_not_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    records = Kept(tmp_path / "file" / "records.sqlite", 8 * MIB)
    assert not records.put(FOUND) and records.get(FOUND.id) is None
    assert all(record.levelno == logging.WARNING for record in caplog.records) and len(caplog.records) == 2


def test_nothing_is_opened_before_it_is_used_so_that_workers_may_be_forked(tmp_path: Path) -> None:
    records = kept(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert records.put(FOUND)
    assert (tmp_path / "records.sqlite").is_file()
