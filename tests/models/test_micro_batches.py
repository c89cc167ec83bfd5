"""Memory that is exhausted halves what is put forward at once."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import tensorflow as tf

from server.errors import OutOfMemory
from server.models.micro_batches import BACKOFF, MicroBatcher
from server.types import Array
from tests.support.clock import Clock
from tests.support.models.nets import digits, net


class Exhausted(Exception):
    pass


@dataclass
class Device:
    """Three times each row, while it is asked for no more than `room` of them."""

    room: int
    error: Callable[[], Exception] = Exhausted
    tried: list[int] = field(default_factory=list)

    def __call__(self, rows: Array) -> dict[str, Array]:
        self.tried.append(len(rows))
        if len(rows) > self.room:
            raise self.error()
        return {"out": rows * 3}


ROWS = np.arange(100, dtype=np.float32)


def test_half_of_the_rows_go_on_where_all_have_no_room() -> None:
    reported: list[int] = []
    device, batcher = Device(13), MicroBatcher(40, Exhausted, reported.append)
    assert np.array_equal(batcher.run(device, ROWS)["out"], ROWS * 3)
    assert device.tried == reported == [40, 20] + 10 * [10]


def test_it_is_remembered_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    device, clock = Device(13), Clock()
    batcher = MicroBatcher(40, Exhausted, now=clock)
    with caplog.at_level(logging.WARNING):
        batcher.run(device, ROWS[:40])
    assert "no memory for 40 rows; 20 at once" in caplog.text
    device.tried.clear()
    clock.seconds += BACKOFF - 1
    batcher.run(device, ROWS[:40])
    assert device.tried == [10, 10, 10, 10]
    device.tried.clear()
    clock.seconds += 2
    device.room = 100
    batcher.run(device, ROWS[:40])
    assert device.tried == [40]


def test_a_rest_that_has_no_room_is_halved_itself() -> None:
    device = Device(13)
    assert np.array_equal(MicroBatcher(40, Exhausted).run(device, ROWS[:31])["out"], ROWS[:31] * 3)
    assert device.tried == [31, 15, 7, 7, 7, 7, 3]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_error_says_that_there_is_no_room_for_two_rows(rows: int) -> None:
    device = Device(1)
    with pytest.raises(OutOfMemory, match="no memory") as caught:
        MicroBatcher(40, Exhausted).run(device, ROWS[:rows])
    assert (caught.value.status, caught.value.retry_after) == (503, 5)
    assert device.tried[-1] == 2


def test_another_error_is_not_taken_for_it() -> None:
    with pytest.raises(ZeroDivisionError):
        MicroBatcher(40, Exhausted).run(Device(3, ZeroDivisionError), ROWS)


def test_what_failed_is_let_go_before_the_next_try() -> None:
    """The error's traceback holds the rows that had no room."""
    alive: list[bool] = []

    class Held(Exception):
        def __init__(self) -> None:
            alive.append(True)

        def __del__(self) -> None:
            alive.pop()

    def graph(rows: Array) -> dict[str, Array]:
        assert not alive
        if len(rows) > 10:
            raise Held
        return {"out": rows}

    assert len(MicroBatcher(40, Held).run(graph, ROWS)["out"]) == 100


@pytest.mark.parametrize("verb", ["forward", "gradient", "features"])
def test_a_savedmodel_goes_on_with_fewer_rows(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's own error, raised by its graph where more than 30 rows are put forward."""
    model = net("mlp")
    images, weights = digits()[:100], np.eye(10, dtype=np.float32)[np.arange(100) % 10]
    arguments = (images,) if verb == "forward" else (images, weights)
    first = {"forward": "_serving", "gradient": "_gradient", "features": "_features"}[verb]
    graph, tried = getattr(model, first), []

    def small(*arrays: object, **named: object) -> object:
        rows = int((*arrays, *named.values())[0].shape[0])  # type: ignore[attr-defined]
        tried.append(rows)
        if rows > 30:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return graph(*arrays, **named)

    expected = getattr(model, verb)(*arguments)
    batcher = "_forwards" if verb == "forward" else "_gradients"
    kept = getattr(model, batcher)
    monkeypatch.setattr(model, batcher, MicroBatcher(kept.size, tf.errors.ResourceExhaustedError))
    monkeypatch.setattr(model, first, small)
    found = getattr(model, verb)(*arguments)
    assert tried == [100, 50, 25, 25, 25, 25]
    computed, reference = (found.embedding, expected.embedding) if verb == "features" else (found, expected)
    assert computed == pytest.approx(reference, abs=1e-5)
