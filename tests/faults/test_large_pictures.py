"""Large pictures posted all at once: the server takes memory for one at a time, answers all of them and small ones
meanwhile, and gives the memory back, also after files that are cut short and clients that leave.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.faults.processes import eventually, resident, workers
from tests.support.models.stores import draw_seven, encoded
from tests.support.processes.servers import ROOT, Running, ask, serving

MB = 10**6
SIDE = 7071  # pixels; 50 million
AT_ONCE = 8
MOST = 400  # MB more than before, of all processes together
LEFT = 60  # MB of it that may stay
SMALL = (ROOT / "examples" / "7.png").read_bytes()
SLOWEST = 0.5  # seconds that the middle one of the small pictures takes at most, alone a hundredth


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("large"), {"WORKERS": "2"}, explain="ready") as running:
        for _ in range(50):  # both workers have what they need for a prediction
            assert predicted(running, SMALL) == 200
        yield running


@pytest.fixture(scope="module")
def large() -> bytes:
    return encoded(draw_seven(280).convert("RGB").resize((SIDE, SIDE)), compress_level=1)


def predicted(server: Running, body: bytes, timeout: float = 60) -> int:
    return ask(f"{server.url}/v1/predict", body, timeout)[0]


def held(server: Running) -> float:
    """Megabytes of all processes of the server."""
    return sum(resident(process) for process in (server.process.pid, *workers(server))) / MB


@contextmanager
def watched(server: Running) -> Iterator[list[float]]:
    """Megabytes in the first place, and then again and again in the block."""
    found, over = [held(server)], threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            found.append(held(server))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_large_pictures_at_once_take_turns(server: Running, large: bytes, record_property: Any) -> None:
    seconds: list[float] = []
    with watched(server) as found, ThreadPoolExecutor(AT_ONCE) as pool:
        posted = [pool.submit(predicted, server, large) for _ in range(AT_ONCE)]
        while not all(one.done() for one in posted):
            start = time.perf_counter()
            assert predicted(server, SMALL) == 200
            seconds.append(time.perf_counter() - start)
    record_property("MB more", round(max(found) - found[0]))
    record_property("ms for a small picture", f"{1000 * median(seconds):.0f}, {1000 * max(seconds):.0f} at most")
    assert [one.result() for one in posted] == [200] * AT_ONCE
    assert max(found) - found[0] < MOST
    assert len(seconds) > 2 * AT_ONCE and median(seconds) < SLOWEST
    eventually(lambda: held(server) < found[0] + LEFT, "the memory is given back")


def test_turns_are_given_back_whatever_becomes_of_a_picture(server: Running, large: bytes) -> None:
    cut, few = large[: len(large) // 2], AT_ONCE // 2

    def leave() -> None:
        with suppress(OSError):
            predicted(server, large, 0.3)

    with watched(server) as found, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(few):
            pool.submit(leave)
        assert list(pool.map(predicted, [server] * few, [cut] * few)) == [400] * few
    assert max(found) - found[0] < MOST
    assert predicted(server, large) == 200
    eventually(lambda: held(server) < found[0] + LEFT, "the memory is given back")
    assert "Traceback" not in Path(server.log).read_text()
