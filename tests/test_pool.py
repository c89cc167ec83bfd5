"""A pool lends each thing to one thread at a time, in the order in which they ask."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from server.models.pool import Pool

PATIENCE = 10


def numbers() -> Iterator[int]:
    return count()


def waiting(pool: Pool[int], many: int) -> None:
    """Until so many threads wait."""
    while len(pool._waiting) < many:
        threading.Event().wait(0.001)


def test_another_is_built_only_where_none_is_idle_and_no_more_than_may_be() -> None:
    made = numbers()
    pool = Pool(lambda: next(made), 2)
    first = pool.take()
    pool.give_back(first)
    assert pool.take() == first == 0
    assert pool.take() == 1
    pool.give_back(1)
    assert pool.take() == 1 and next(made) == 2


def test_who_waits_comes_before_who_asks_again() -> None:
    """A request of many rows gives its interpreter back after each of them."""
    pool, order = Pool(int, 1), list[str]()

    def one(name: str) -> None:
        thing = pool.take()
        order.append(name)
        pool.give_back(thing)

    held = pool.take()
    others = []
    for number in range(3):
        others.append(threading.Thread(target=one, args=(f"other {number}",)))
        others[-1].start()
        waiting(pool, number + 1)
    pool.give_back(held)
    one("again")
    for other in others:
        other.join(PATIENCE)
    assert order == ["other 0", "other 1", "other 2", "again"]
    assert pool.take() == held


def test_one_that_can_not_be_built_takes_no_place() -> None:
    made = iter([7])
    pool = Pool(lambda: next(made), 2)
    pool.take()
    for _ in range(3):
        with pytest.raises(StopIteration):
            pool.take()
    pool.give_back(7)
    assert pool.take() == 7
