"""A pool lends each interpreter to one thread at a time, in the order in which they ask, within its capacity."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.models.interpreters import InterpreterPool
from tests.support.clock import PATIENCE


class Thing:
    """Stands for an interpreter."""


class Scene:
    """A pool of `capacity`, and what it built and let go of."""

    def __init__(self, capacity: int, max_lent: float = 99) -> None:
        self.built, self.evictions = list[str](), 0
        self.pool = InterpreterPool(capacity, max_lent, self._evicted)

    def _evicted(self) -> None:
        self.evictions += 1

    @contextmanager
    def lent(self, key: str, size: int = 1) -> Iterator[Thing]:
        def build() -> Thing:
            self.built.append(key)
            return Thing()

        with self.pool.lend(key, size, build) as thing:
            yield thing

    def use(self, key: str, size: int = 1) -> Thing:
        with self.lent(key, size) as thing:
            return thing


class Waiting:
    """A thread that asks for `key`, and tells when it has it."""

    def __init__(self, scene: Scene, key: str, order: list[str], size: int = 1) -> None:
        self.has = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(scene, key, order, size))
        waiting = scene.pool.waiting
        self._thread.start()
        while scene.pool.waiting == waiting and not self.has.is_set():
            threading.Event().wait(0.001)

    def _run(self, scene: Scene, key: str, order: list[str], size: int) -> None:
        with scene.lent(key, size):
            order.append(key)
            self.has.set()

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert self.has.is_set()


def test_another_is_built_only_where_none_is_idle() -> None:
    scene = Scene(2)
    first = scene.use("a")
    assert scene.use("a") is first
    with scene.lent("a") as one, scene.lent("a") as other:
        assert one is first and other is not first
        assert scene.pool.lent == 2
    assert scene.built == ["a", "a"] and scene.pool.lent == 0


def test_the_least_recently_used_goes() -> None:
    scene = Scene(3)
    for key in ("a", "b", "c", "a"):
        scene.use(key)
    scene.use("d")
    for key in ("a", "c", "d"):
        scene.use(key)
    assert scene.built == ["a", "b", "c", "d"] and scene.evictions == 1
    scene.use("b")
    assert scene.built[-1] == "b" and scene.pool.used == 3


def test_as_many_go_as_there_is_need_for() -> None:
    scene = Scene(4)
    for key in ("a", "b", "c", "d"):
        scene.use(key)
    scene.use("large", 3)
    scene.use("d")
    assert scene.built == ["a", "b", "c", "d", "large"] and scene.pool.used == 4


def test_one_alone_may_be_larger_than_the_capacity() -> None:
    scene, order = Scene(2), list[str]()
    scene.use("a")
    with scene.lent("huge", 5):
        other = Waiting(scene, "a", order)
        assert not other.has.is_set()
    other.join()
    assert scene.built == ["a", "huge", "a"] and scene.pool.used == 1


def test_lent_interpreters_are_not_evicted_and_others_wait_for_their_room() -> None:
    scene, order = Scene(2), list[str]()
    with scene.lent("a", 2):
        other = Waiting(scene, "b", order)
        assert not other.has.is_set() and scene.pool.used == 2
    other.join()
    assert scene.evictions == 1


def test_no_more_are_lent_at_once_than_may_be_although_there_is_room() -> None:
    scene, order = Scene(9, max_lent=2), list[str]()
    scene.use("c")
    with scene.lent("a"):
        with scene.lent("b"):
            third = Waiting(scene, "c", order)
            assert not third.has.is_set() and scene.pool.lent == 2
        third.join()
        assert scene.pool.lent == 1
    assert scene.built == ["c", "a", "b"]


def test_a_waiting_thread_comes_before_one_that_returns() -> None:
    """A request of many blocks gives its interpreter back after each of them."""
    scene, order = Scene(1), list[str]()
    with scene.lent("a"):
        others = [Waiting(scene, key, order) for key in ("b", "c", "d")]
    again = Waiting(scene, "a", order)
    for other in (*others, again):
        other.join()
    assert order == ["b", "c", "d", "a"]


def test_one_that_cannot_be_built_takes_no_room() -> None:
    scene = Scene(1)

    def fails() -> Thing:
        raise ArithmeticError

    for _ in range(3):
        with pytest.raises(ArithmeticError), scene.pool.lend("a", 1, fails):
            pass
    assert (scene.pool.used, scene.pool.lent) == (0, 0)
    scene.use("a")


def test_what_fails_while_it_is_lent_is_given_back() -> None:
    scene = Scene(1)
    with pytest.raises(ArithmeticError), scene.lent("a"):
        raise ArithmeticError
    scene.use("a")
    assert scene.built == ["a"]


def test_what_is_forgotten_is_built_anew() -> None:
    scene = Scene(3)
    scene.use("a")
    scene.use("b")
    scene.pool.forget("a")
    assert scene.pool.used == 1
    scene.use("b")
    scene.use("a")
    assert scene.built == ["a", "b", "a"]
