"""Decoders take turns by the bytes that they hold: small ones never wait, large ones in their order, the largest alone
in the whole server; and every turn ends, whatever happens in it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from server.errors import Busy, DamagedImage
from server.images import decode, plain_pixels
from server.images.files.in_flight import CAPACITY, IN_FLIGHT, SMALL, BytesInFlight
from server.types import ImageSpec
from tests.faults.processes import eventually
from tests.support.clock import PATIENCE
from tests.support.models.stores import draw_seven, encoded
from tests.support.processes.servers import ROOT

SPEC = ImageSpec(28, 28)
MB = 10**6


@contextmanager
def holding(limit: BytesInFlight, size: int) -> Iterator[Event]:
    """A thread asks for so many bytes, and holds them until the block ends; the event says that it has them."""
    has, over = Event(), Event()

    def hold() -> None:
        with limit.taken(size):
            has.set()
            over.wait(PATIENCE)

    thread = Thread(target=hold)
    thread.start()
    try:
        yield has
    finally:
        over.set()
        thread.join()


def test_small_pictures_never_wait() -> None:
    limit = BytesInFlight(max_waiting=0)
    with limit.taken(CAPACITY), limit.taken(SMALL):
        pass
    with limit.taken(2 * CAPACITY), limit.taken(SMALL):
        pass


def test_as_much_is_held_at_once_as_there_is() -> None:
    limit = BytesInFlight(max_waiting=0)
    with ExitStack() as stack:
        for _ in range(CAPACITY // (8 * MB)):
            stack.enter_context(limit.taken(8 * MB))
        with pytest.raises(Busy, match="0 large pictures wait"), limit.taken(8 * MB):
            pass
    assert limit.free == CAPACITY


def test_a_large_one_is_not_overtaken() -> None:
    limit, order = BytesInFlight(), list[int]()

    def ask(size: int) -> None:
        with limit.taken(size):
            order.append(size)

    with ThreadPoolExecutor(2) as pool, limit.taken(40 * MB):
        for number, size in enumerate((60 * MB, 8 * MB), 1):  # there is room for the second
            pool.submit(ask, size)
            eventually(lambda number=number: limit.waiting == number, "it waits")  # type: ignore[misc]
    assert order == [60 * MB, 8 * MB]


def test_who_waits_too_long_is_told_to_come_again() -> None:
    limit = BytesInFlight(patience=0.01)
    with limit.taken(CAPACITY):
        with pytest.raises(Busy, match="try again in 5 s") as error, limit.taken(CAPACITY):
            pass
        assert error.value.retry_after == 5
        assert limit.waiting == 0
    assert limit.free == CAPACITY


def test_who_gives_up_lets_the_next_one_pass() -> None:
    limit = BytesInFlight(patience=0.2)
    with limit.taken(40 * MB), ThreadPoolExecutor(1) as pool:
        large = pool.submit(ExitStack().enter_context, limit.taken(60 * MB))
        eventually(lambda: limit.waiting == 1, "it waits")
        later = BytesInFlight.taken(limit, 8 * MB)
        limit.patience = PATIENCE
        with later:
            assert isinstance(large.exception(), Busy)
    assert limit.free == CAPACITY


@pytest.mark.parametrize("size", [CAPACITY, 3 * CAPACITY])
def test_a_turn_ends_with_an_error_too(size: int, tmp_path: Path) -> None:
    limit = BytesInFlight(max_waiting=0)
    limit.share(tmp_path / "lock", max_waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limit.taken(size):
            raise ZeroDivisionError
    assert limit.free == CAPACITY


def shared(path: Path) -> BytesInFlight:
    """As another process has it."""
    limit = BytesInFlight()
    limit.share(path, max_waiting=8)
    return limit


def test_the_largest_are_alone_in_all_processes(tmp_path: Path) -> None:
    one, other = shared(tmp_path / "lock"), shared(tmp_path / "lock")
    with holding(other, CAPACITY), one.taken(CAPACITY + 1):
        pass  # what fits into a process does not matter to others
    with ExitStack() as stack:
        with one.taken(CAPACITY + 1):
            has = stack.enter_context(holding(other, CAPACITY + 1))
            eventually(lambda: other.free == 0, "it waits for the other process")
            assert not has.is_set()
        assert has.wait(PATIENCE)


HOLDS = """
import sys
from pathlib import Path
from server.images.files.in_flight import CAPACITY, BytesInFlight
limit = BytesInFlight()
limit.share(Path(sys.argv[1]), max_waiting=1)
with limit.taken(CAPACITY + 1):
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"holds\n"
        with holding(shared(tmp_path / "lock"), CAPACITY + 1) as has:
            assert not has.wait(0.1)
            process.kill()
            assert has.wait(PATIENCE)


def test_without_the_shared_folder_pictures_are_decoded_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = shared(tmp_path / "gone" / "lock")
    with limit.taken(CAPACITY + 1):
        pass
    assert "without waiting" in caplog.text
    assert not os.listdir(tmp_path)


LARGE = encoded(draw_seven(2500).convert("RGB"))  # 25 MB


@pytest.mark.parametrize("read", [decode, plain_pixels])
def test_pictures_take_turns(read: object) -> None:
    assert callable(read)
    with ThreadPoolExecutor(1) as pool, IN_FLIGHT.taken(CAPACITY):
        reading = pool.submit(read, LARGE, SPEC)
        eventually(lambda: IN_FLIGHT.waiting == 1, "it waits")
        read(encoded(draw_seven()), SPEC)
        assert not reading.done()
    reading.result()
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        with pytest.raises(DamagedImage):
            read(encoded(draw_seven(2500).convert("RGB"), kind)[:-5000], SPEC)
    assert IN_FLIGHT.free == CAPACITY
