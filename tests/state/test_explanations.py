"""Explanations that machines keep together: one's is another's, within the same bounds, and none is lost to an answer
while Redis is away."""

from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from server.cache import Event, SqliteCache, fingerprint
from server.cache.entry import encode
from server.protocols import NoCache
from server.state.connection import Connection
from server.state.explanations import BODY, ORDER, SIZES, TOTAL, SharedExplanations
from tests.support.explanations import explanation
from tests.support.processes.caching import numbered
from tests.support.processes.stores import SharedServer

FOUND = explanation()
SIZE = len(encode(numbered(FOUND, 10)))  # bytes of one entry, nearly


@pytest.fixture
def client(server: SharedServer) -> Redis:
    return Redis(port=server.port)


def shared(connection: Connection, entries: float = 100, **more: object) -> SharedExplanations:
    return SharedExplanations(connection, NoCache(), int(entries * SIZE), **more)  # type: ignore[arg-type]


def test_what_one_machine_keeps_another_finds(connection: Connection, address: str) -> None:
    other = Connection(address)
    assert shared(connection).put(FOUND).kept
    found = shared(other).get(FOUND.id)
    assert found is not None
    assert fingerprint(found) == fingerprint(replace(FOUND, kept=True))
    other.close()


def test_the_oldest_make_room(connection: Connection, client: Redis) -> None:
    cache = shared(connection, 20.5)
    for number in range(50):
        assert cache.put(numbered(FOUND, number)).kept
    kept = [number for number in range(50) if cache.get(f"{number:032x}")]
    assert kept[-1] == 49
    assert kept == list(range(kept[0], 50))
    assert 15 <= len(kept) <= 21
    sizes = [int(size) for size in client.hvals(SIZES)]
    assert int(client.get(TOTAL) or 0) == sum(sizes) <= 20.5 * SIZE
    assert client.zcard(ORDER) == len(sizes) == len(kept) == len(client.keys(f"{BODY}*"))


def test_the_same_id_is_kept_once(connection: Connection, client: Redis) -> None:
    cache = shared(connection)
    for _ in range(3):
        cache.put(FOUND)
    assert int(client.get(TOTAL) or 0) == int(client.hget(SIZES, FOUND.id) or 0) == client.strlen(BODY + FOUND.id)


def test_an_entry_that_is_too_large_is_not_kept(connection: Connection) -> None:
    assert not shared(connection, 2).put(FOUND).kept
    assert shared(connection, 2).get(FOUND.id) is None


def test_entries_end_with_their_time(connection: Connection, client: Redis) -> None:
    cache = shared(connection, seconds=100)
    cache.put(FOUND)
    assert 99_000 < client.pttl(BODY + FOUND.id) <= 100_000
    client.zadd(ORDER, {FOUND.id: 1})  # as if it were old
    cache.put(numbered(FOUND, 1))
    assert client.zrange(ORDER, 0, -1) == [f"{1:032x}".encode()]
    assert cache.get(FOUND.id) is None


def test_while_redis_is_away_the_machine_keeps_its_own(
    server: SharedServer, connection: Connection, tmp_path: Path
) -> None:
    events: list[Event] = []
    alone = SqliteCache(tmp_path / "own.sqlite", 8 << 20, on_event=events.append)
    cache = SharedExplanations(connection, alone, 8 << 20, on_event=events.append)
    server.kill()
    assert cache.put(FOUND).kept
    assert cache.get(FOUND.id) is not None
    server.start()
    assert cache.get(FOUND.id) is not None  # perhaps still alone
    assert events == ["kept", "hit", "hit"]
    alone.close()


def test_each_lookup_is_one_event(connection: Connection, tmp_path: Path) -> None:
    events: list[Event] = []
    alone = SqliteCache(tmp_path / "own.sqlite", 8 << 20, on_event=events.append)
    cache = SharedExplanations(connection, alone, 8 << 20, on_event=events.append)
    cache.get(FOUND.id)
    cache.put(FOUND)
    cache.get(FOUND.id)
    assert events == ["miss", "kept", "hit"]
    alone.close()


@pytest.mark.parametrize("body", [b"", b"\x80\x04\x95", b"nothing", encode(numbered(FOUND, 1))])
def test_what_is_no_entry_is_passed_over(connection: Connection, client: Redis, body: bytes) -> None:
    client.set(BODY + FOUND.id, body)
    cache = shared(connection)
    assert cache.get(FOUND.id) is None
    cache.put(FOUND)
    assert cache.get(FOUND.id) is not None


def test_a_partial_explanation_is_not_kept(connection: Connection) -> None:
    partial = replace(FOUND, attribution=replace(FOUND.attribution, state="partial"))
    assert not shared(connection).put(partial).kept
    assert shared(connection).get(FOUND.id) is None
