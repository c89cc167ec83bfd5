"""Large bodies take turns with other requests: what reads them does so in steps, which are seen in nothing else."""

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from server.routes.bodies.base64_text import decoded
from server.routes.bodies.json_reader import STEP, read_json
from tests.routes.bodies.test_bodies import MIB, ROWS, TENSORS, compact

LARGE: dict[str, Callable[[], bytes | str]] = {  # JSON as bytes, base64 as text
    **{
        name: lambda name=name: compact(TENSORS[name](ROWS[:512])[1])  # type: ignore[misc]
        for name in ("rows", "named rows", "flat", "nested")
    },
    "text": lambda: compact({"image": "x" * 6 * MIB}),
    "text with escapes": lambda: compact({"image": "/+AA" * MIB}).replace(b"/", rb"\/"),
    "text of escapes": lambda: compact({"image": "\N{GRINNING FACE}" * (MIB // 4)}),
    "base64": lambda: "A" * 6 * MIB,
    "URL-safe base64 in lines": lambda: "A-_A\n" * MIB,
}


def turns_during(read: Callable[[], Any]) -> int:
    """How often another thread runs meanwhile. None is ever made to release the GIL here: only as `read` lets it."""
    turns, done, interval = [0], threading.Event(), sys.getswitchinterval()

    def take_turns() -> None:
        while not done.is_set():
            time.sleep(0)
            turns[0] += 1

    other = threading.Thread(target=take_turns)
    sys.setswitchinterval(1000)
    try:
        other.start()
        before = turns[0]
        read()
        return turns[0] - before
    finally:
        done.set()
        sys.setswitchinterval(interval)
        other.join()


@pytest.mark.parametrize("name", LARGE)
def test_other_threads_run_between_the_steps_of_a_large_body(name: str) -> None:
    sent = LARGE[name]()
    read = partial(decoded, sent) if isinstance(sent, str) else partial(read_json, sent, ROWS.size)
    # where all processors are busy, the other thread may wake up too late
    assert any(turns_during(read) > len(sent) / STEP / 5 for _ in range(5))


@pytest.mark.parametrize("shift", range(12))
def test_no_escape_is_read_in_two(shift: int) -> None:
    text = "x" * shift + "\N{GRINNING FACE}\n\ud83d-\ude00\\" * STEP
    assert read_json(compact({"text": text})) == {"text": text}
