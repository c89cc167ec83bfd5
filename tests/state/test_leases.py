"""Machines that are asked the same compute it once; and a claim never costs an answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from redis import Redis

from server.errors import ClientLeft
from server.protocols import NO_DEADLINE, RequestContext
from server.scheduling import BoundedPool, Scheduler, TaskKey
from server.state.connection import Connection
from server.state.leases import CLAIM, LASTS, Leases
from tests.support.clock import PATIENCE, Clock
from tests.support.processes.stores import SharedServer

ID = "0" * 32


@contextmanager
def machines(address: str, count: int) -> Iterator[list[Leases]]:
    with ExitStack() as stack:
        connections = [Connection(address) for _ in range(count)]
        for connection in connections:
            stack.callback(connection.close)
        yield [Leases(connection) for connection in connections]


def test_a_claim_is_one_machines_at_a_time(address: str) -> None:
    running, most, counted = [0], [0], threading.Lock()
    contended: list[bool] = []

    def work(leases: Leases) -> None:
        with leases(ID, NO_DEADLINE) as was_held:
            with counted:
                running[0] += 1
                most[0] = max(most[0], running[0])
                contended.append(was_held)
            threading.Event().wait(0.05)
            with counted:
                running[0] -= 1

    with machines(address, 3) as several:
        threads = [threading.Thread(target=work, args=(one,)) for one in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert (most, sorted(contended)) == ([1], [False, True, True])


def test_machines_with_one_cache_compute_once(address: str) -> None:
    kept: dict[str, str] = {}
    runs = []

    class Kept:
        def get(self, identity: str) -> str | None:
            return kept.get(identity)

        def put(self, value: str) -> str:
            return kept.setdefault(ID, value)

    def work(publish: Any, interrupt: Any) -> str:
        runs.append(1)
        threading.Event().wait(0.1)
        return "an explanation"

    found: list[tuple[str, str]] = []

    def ask(leases: Callable[..., Any]) -> None:
        scheduler = Scheduler(BoundedPool(2), Kept(), lease=leases)
        with scheduler.session(RequestContext.within(PATIENCE)) as session:
            outcome = session.submit(work, TaskKey(ID)).result()
            found.append((outcome.value, outcome.source))

    with machines(address, 3) as several:
        threads = [threading.Thread(target=ask, args=(one,)) for one in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert len(runs) == 1
    assert sorted(found) == [("an explanation", "cache")] * 2 + [("an explanation", "computed")]


def test_who_waits_does_so_for_half_of_its_time(address: str) -> None:
    clock = Clock()

    def pause(seconds: float) -> None:
        clock.seconds += seconds

    with machines(address, 2) as (first, second), first(ID, NO_DEADLINE):
        waiting = Leases(second._connection, pause)
        context = RequestContext.within(10, clock)
        with waiting(ID, context) as contended:
            assert contended
            assert 4.5 < context.remaining() <= 5


def test_a_client_that_leaves_waits_no_longer(address: str) -> None:
    def leave() -> None:
        raise ClientLeft("gone")

    context = RequestContext.within(10, raise_if_cancelled=leave)
    with (
        machines(address, 2) as (first, second),
        first(ID, NO_DEADLINE),
        pytest.raises(ClientLeft),
        second(ID, context),
    ):
        raise AssertionError("it was let in")


def test_a_claim_ends_with_its_machine_and_lasts_while_it_is_renewed(address: str, server: SharedServer) -> None:
    with machines(address, 1) as (one,), Redis(port=server.port) as client, one(ID, NO_DEADLINE):
        assert 0 < client.pttl(CLAIM + ID) <= LASTS
        client.pexpire(CLAIM + ID, 50)
        one.renew()
        assert client.pttl(CLAIM + ID) > 50
    assert not client.exists(CLAIM + ID)


def test_a_claim_that_went_to_another_is_left_alone(address: str, server: SharedServer) -> None:
    with machines(address, 1) as (one,), Redis(port=server.port) as client:
        with one(ID, NO_DEADLINE):
            client.set(CLAIM + ID, "another's")
            one.renew()
        assert client.get(CLAIM + ID) == b"another's"


def test_alone_nothing_is_claimed(address: str, server: SharedServer) -> None:
    with machines(address, 1) as (one,):
        server.kill()
        with one(ID, NO_DEADLINE) as contended:
            assert not contended
