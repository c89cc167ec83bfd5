"""Kept explanations on a full, read-only or locked file, and under killed processes: answers go on, none is spoilt."""

import itertools
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from server.cache import SqliteCache
from tests.faults.disks import disk
from tests.faults.load import load
from tests.faults.processes import eventually, workers
from tests.support.explanations import explanation
from tests.support.processes.caching import caching, noisy, numbered
from tests.support.processes.servers import ROOT, Running, ask, serving

MIB = 1 << 20
SEVEN = (ROOT / "examples" / "7.png").read_bytes()
PHOTO = (ROOT / "examples" / "photo.jpg").read_bytes()
NOISY = noisy(explanation())
KILLS = 12
CLIENTS = 4


def opened(path: Path, most: int = 8 * MIB) -> SqliteCache:
    """With a clock by which it never backs off."""
    hours = itertools.count(0.0, 3600.0)
    return SqliteCache(path / "cache.sqlite", most, now=lambda: next(hours))


def holds(cache: SqliteCache, number: int) -> bool:
    found = cache.get(f"{number:032x}")
    assert found is None or (found.attribution.values == number).all()
    return found is not None


def test_a_full_disk(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 2 * MIB) as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(MIB))
        cache = opened(folder)
        done = [cache.put(numbered(NOISY, number)).kept for number in range(60)]
        assert done[0] and not done[-1]
        assert all(holds(cache, number) for number, put in enumerate(done) if put)
        ballast.unlink()
        assert any(cache.put(numbered(NOISY, number)).kept and holds(cache, number) for number in range(100, 103))
        cache.close()


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 * MIB) as folder:
        (folder / "ballast").write_bytes(bytes(MIB - 8192))
        cache = opened(folder)
        assert not any(cache.put(numbered(NOISY, number)).kept for number in range(10))
        assert not holds(cache, 1)
        (folder / "ballast").unlink()
        assert cache.put(numbered(NOISY, 1)).kept and holds(cache, 1)
        cache.close()


def test_a_disk_that_may_only_be_read(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 4 * MIB) as folder:
        cache = opened(folder)
        assert cache.put(numbered(NOISY, 1)).kept
        cache.close()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert not cache.put(numbered(NOISY, 2)).kept
        holds(cache, 1)  # it may be found or not, but nothing fails
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert cache.put(numbered(NOISY, 2)).kept and holds(cache, 2) and holds(cache, 1)
        cache.close()


def test_processes_that_are_killed_while_they_write_spoil_nothing(tmp_path: Path) -> None:
    path, cache, start = tmp_path / "cache.sqlite", opened(tmp_path, 4 * MIB), 0
    for kill in range(KILLS):
        with caching(path, 4 * MIB, range(start, start + 1000), numbered(NOISY, 0)) as process:
            assert process.stdout is not None
            reported = [process.stdout.readline().split() for _ in range(10 + 7 * kill)]
            process.kill()
        last = int(reported[-1][0])
        assert holds(cache, last), "what was kept before is there"
        assert cache.put(numbered(NOISY, 10**6 + kill)).kept and holds(cache, 10**6 + kill)
        start += 1000
    cache.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert all(holds(cache, int(id_, 16)) for (id_,) in connection.execute("SELECT id FROM entries").fetchall())


def question(server: Running, number: int) -> str:
    return f"{server.url}/v1/explain?method=rise&n_samples=50&seed={number}"


def post_explain(server: Running, number: int) -> dict[str, Any]:
    """The answer, as soon as a worker that has loaded its models gives one."""
    status, _, answer = ask(question(server, number), PHOTO)
    while status == 503:
        time.sleep(0.1)  # polls another process
        status, _, answer = ask(question(server, number), PHOTO)
    assert status == 200, answer
    return dict(answer)


def test_a_server_goes_on_without_its_file(tmp_path: Path) -> None:
    """Locked by another process or on a full disk, answers have no links, and then have links again; where it is
    removed, they have none until the server is started again."""
    with disk(tmp_path / "disk", 4 * MIB) as folder:
        path = folder / "cache.sqlite"
        with serving(tmp_path, {"RECORDS": str(path), "RECORDS_BYTES": str(64 * MIB)}, explain="ready") as server:
            first = post_explain(server, 0)
            address = server.url + first["links"]["png"]
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                locked = [post_explain(server, number) for number in range(1, 11)]
                assert [one["links"] for one in locked] == [None] * 10
                assert ask(address)[0] == 200
            numbers = itertools.count(100)
            eventually(lambda: post_explain(server, next(numbers))["links"] is not None, "kept again")
            (folder / "ballast").write_bytes(bytes(_free(folder)))
            full = [post_explain(server, number) for number in range(1000, 1030)]
            assert full[-1]["links"] is None
            (folder / "ballast").unlink()
            numbers = itertools.count(2000)
            eventually(lambda: post_explain(server, next(numbers))["links"] is not None, "kept again")
            for file in folder.iterdir():
                file.unlink()
            gone = [post_explain(server, number) for number in range(3000, 3010)]
            assert [one["links"] for one in gone] == [None] * 10 and ask(address)[0] == 404
            assert list(folder.iterdir()) == []
            log = server.log.read_text()
            assert log.count("no explanation is kept from now on") == 1 and "Traceback" not in log


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def explaining(server: Running) -> bool:
    """Whether all workers explain; each of them is asked with all likelihood."""
    return all(ask(f"{server.url}/readyz")[2]["explain"] == "ready" for _ in range(20))


def test_workers_that_are_killed_while_they_explain_leave_what_was_kept(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings, reported, lost = {"WORKERS": "2", "RECORDS": str(tmp_path / "cache.sqlite")}, [], 0
    with serving(tmp_path, settings, explain="ready") as server:
        for kill in range(2):
            eventually(lambda: len(workers(server)) == 2 and explaining(server), "both explain")
            victim = sorted(workers(server))[kill]
            with ExitStack() as stack:
                requested = [
                    [(question(server, 10**6 * kill + 10**4 * client + number), PHOTO) for number in range(1000)]
                    for client in range(CLIENTS)
                ]
                outcomes = [stack.enter_context(load(questions, 1)) for questions in requested]
                eventually(lambda outcomes=outcomes: all(len(one.answers) > 5 for one in outcomes), "all are answered")  # type: ignore[misc]
                os.kill(victim, signal.SIGKILL)
                eventually(lambda victim=victim: victim not in workers(server), "it is gone")  # type: ignore[misc]
            lost += sum(len(one.failures) for one in outcomes)
            for status, answer in ((s, a) for one in outcomes for s, a in zip(one.statuses, one.answers, strict=True)):
                if status == 200:
                    reported.append(answer)
                else:  # the new worker does not explain yet; all have slots, for there are as many as clients
                    assert (status, answer["code"]) == (503, "not_ready"), answer
        linked = [one for one in reported if one["links"] is not None]
        for one in linked:
            status, _, answer = ask(server.url + one["links"]["self"])
            assert (status, answer) == (200, one)
        assert len(linked) > 0.75 * len(reported) > 20
        log = server.log.read_text()
        assert "is deleted" not in log and "Traceback" not in log
    record_property("explained", len(reported))
    record_property("lost with the killed", lost)
    assert lost <= 2 * CLIENTS
