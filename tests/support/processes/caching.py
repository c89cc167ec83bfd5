"""Another process that keeps explanations in a file, as another worker does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from server.cache import SqliteCache
from server.cache.entry import decode, encode
from server.types import Explanation
from tests.support.explanations import explanation

ROOT = Path(__file__).parent.parent.parent.parent
ROUNDS = 20


def numbered(found: Explanation, number: int) -> Explanation:
    """The same under an id of its own, and with values by which to know it."""
    values = np.full_like(found.attribution.values, number)
    return replace(found, id=f"{number:032x}", attribution=replace(found.attribution, values=values))


def noisy(found: Explanation, side: int = 128) -> Explanation:
    """The same upon a picture that cannot be made smaller: 3 side^2 bytes."""
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return replace(found, digit=replace(found.digit, placement=replace(found.digit.placement, draw=lambda: picture)))


@contextmanager
def caching(path: Path, max_bytes: int, numbers: range, found: Explanation) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that keeps `found` under each of the numbers, and prints a line for each: whether it was kept."""
    command = [
        sys.executable,
        "-m",
        "tests.support.processes.caching",
        str(path),
        str(max_bytes),
        str(numbers.start),
        str(numbers.stop),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(encode(found))
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()


def keep(path: Path, max_bytes: int, first: int, last: int) -> None:
    """What that process does."""
    entry, hours = sys.stdin.buffer.read(), count(0.0, 3600.0)  # a clock by which it never backs off
    found = decode(entry, f"{0:032x}")
    cache = SqliteCache(path, max_bytes, now=lambda: next(hours))
    for number in range(first, last):
        sys.stdout.write(f"{number} {cache.put(numbered(found, number)).kept}\n")
        sys.stdout.flush()


def make_files(folder: Path, number: int, barrier: Any, done: Any) -> None:
    """One process of several that, ROUNDS times, begin a file at the same moment; whether each kept its entry."""
    found = numbered(explanation(), number)
    caches = [SqliteCache(folder / f"{one}.sqlite", 8 << 20) for one in range(ROUNDS)]
    kept = []
    for cache in caches:
        barrier.wait()
        kept.append(cache.put(found).kept)
    done.put(kept)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), *map(int, sys.argv[2:]))
