"""A request's budget inside a model: batches grow small towards its deadline, so that it ends soon after it, and what
is computed does not depend on the time that was left."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from server.errors import OutOfTime
from server.models.micro_batches import ALIGNED, MicroBatcher
from server.protocols import NO_DEADLINE, RequestContext
from server.types import Array
from tests.support.clock import Clock
from tests.support.models.nets import digits, net

MOST = 512
ROWS = np.arange(2000, dtype=np.float32)
PACE = 0.001  # seconds a row


class Never(Exception):
    pass


@dataclass
class Device:
    """Three times each row, in `seconds` for so many rows."""

    clock: Clock
    seconds: Callable[[int], float] = lambda rows: PACE * rows
    tried: list[int] = field(default_factory=list)

    def __call__(self, rows: Array) -> dict[str, Array]:
        self.tried.append(len(rows))
        self.clock.seconds += self.seconds(len(rows))
        return {"out": rows * 3}

    def run(self, batcher: MicroBatcher, rows: Array, seconds: float) -> Array:
        return batcher.run(self, rows, context=RequestContext.within(seconds, self.clock))["out"]


def warm(seconds: Callable[[int], float] = lambda rows: PACE * rows) -> tuple[Device, MicroBatcher, Clock]:
    """A batcher that has computed a batch before."""
    clock = Clock()
    device, batcher = Device(clock, seconds), MicroBatcher(MOST, Never, now=clock)
    batcher.run(device, ROWS[:64])
    device.tried.clear()
    return device, batcher, clock


def test_with_time_enough_batches_are_as_large_as_without_a_deadline() -> None:
    for seconds in (2.1, 30.0, np.inf):
        device, batcher, _ = warm()
        assert np.array_equal(device.run(batcher, ROWS, seconds), ROWS * 3)
        assert device.tried == [512, 512, 512, 464]


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 0.515, 1.1, 1.9])
def test_it_ends_a_few_rows_after_the_deadline_and_not_before(seconds: float) -> None:
    device, batcher, clock = warm()
    end = clock.seconds + seconds
    with pytest.raises(OutOfTime):
        device.run(batcher, ROWS, seconds)
    assert end <= clock.seconds <= end + PACE * ALIGNED
    assert {rows % ALIGNED for rows in device.tried} == {0}


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.7])
def test_nor_long_after_it_where_each_batch_has_a_price_of_its_own(seconds: float) -> None:
    """As TensorFlow has: the pace of a large batch promises too much of a small one."""
    price = 0.004
    device, batcher, clock = warm(lambda rows: price + PACE * rows)
    end = clock.seconds + seconds
    with pytest.raises(OutOfTime):
        device.run(batcher, ROWS, seconds)
    assert end <= clock.seconds <= end + 2 * price + PACE * ALIGNED


def test_a_pace_that_was_wrong_is_corrected_by_the_next_batch() -> None:
    device, batcher, clock = warm()
    batcher.run(Device(clock, lambda rows: 0.1 * rows), ROWS[:2])  # slow: 0.1 s a row
    assert np.array_equal(device.run(batcher, ROWS, 10.0), ROWS * 3)
    assert device.tried == [96, 512, 512, 512, 368]


def test_before_the_first_batch_nothing_is_known_and_all_rows_are_tried() -> None:
    clock = Clock()
    device, batcher = Device(clock), MicroBatcher(MOST, Never, now=clock)
    assert len(device.run(batcher, ROWS[:300], 0.1)) == 300
    assert device.tried == [300]


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 31, 33, 100, 127, 300])
def test_what_is_finished_in_a_hurry_is_cut_where_no_sum_changes(rows: int) -> None:
    """Into multiples of ALIGNED, and a rest that is no less."""
    device, batcher, _ = warm()
    device.seconds = lambda count: 0.5 * PACE * count  # quicker than before, so that all is done in time
    found = device.run(batcher, ROWS[:rows], 0.75 * PACE * rows)
    assert np.array_equal(found, ROWS[:rows] * 3)
    *full, rest = device.tried
    assert {count % ALIGNED for count in full} <= {0} and (rest >= ALIGNED or not full)
    assert len(full) > 0 or rows < 100


def test_a_request_that_is_cancelled_ends_between_two_batches() -> None:
    device, batcher, clock = warm()

    def cancelled() -> None:
        if len(device.tried) == 2:
            raise ConnectionError

    context = RequestContext.within(30, clock, cancelled)
    with pytest.raises(ConnectionError):
        batcher.run(device, ROWS, context=context)
    assert device.tried == [512, 512]


@pytest.mark.parametrize("verb", ["forward", "gradient", "features"])
def test_a_savedmodel_is_bound_to_one_request(verb: str) -> None:
    model, images = net("mlp"), digits()[:60]
    arguments = (images,) if verb == "forward" else (images, np.eye(10, dtype=np.float32)[np.arange(60) % 10])
    clock = Clock()
    bound = model.for_explain(RequestContext.within(1, clock))
    answer, again = (getattr(one, verb)(*arguments) for one in (model, bound))
    if verb == "features":
        answer, again = answer.embedding, again.embedding
    assert np.array_equal(answer, again)
    clock.seconds += 2
    with pytest.raises(OutOfTime):
        getattr(bound, verb)(*arguments)
    assert getattr(model.for_explain(NO_DEADLINE), verb)(*arguments) is not None


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_rows_cut_so_have_the_same_outputs(name: str) -> None:
    images, model = digits()[:117], net(name)
    cuts = [images[:16], images[16:64], images[64:96], images[96:]]
    whole = model.forward(images)
    assert np.concatenate([model.forward(part) for part in cuts]) == pytest.approx(whole, abs=1e-5)
