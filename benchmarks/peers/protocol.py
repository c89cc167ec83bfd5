"""How an explanation is timed, and how a process answers when it is asked for some: a line of JSON in, one out.

Ours are timed by the same `burst`, so that what is counted is the same for all. Must need nothing but numpy.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TextIO

from benchmarks.case import Array

Explain = Callable[[int, int], tuple[Array, int]]
"""(number of the image, seed) -> values, and the rows that were put through the model."""


TRIED = 2  # images, to find the batch size


@dataclass(frozen=True)
class Method:
    """A method of a library, and the batch sizes of which the fastest shall count."""

    make: Callable[[Any], Explain]
    batches: tuple[Any, ...] = (None,)


@dataclass(frozen=True)
class Burst:
    """One explanation of each image: milliseconds, the same of all cores together, rows and flat values."""

    ms: list[float]
    cpu_ms: list[float]
    rows: list[int]
    values: list[list[float]]


def burst(explain: Explain, images: int, seed: int) -> Burst:
    """Explain every image once. One explanation before is not counted: another process ran meanwhile and has taken the
    caches."""
    explain(0, seed)
    found = Burst([], [], [], [])
    for index in range(images):
        start, busy = time.perf_counter(), time.process_time()
        values, rows = explain(index, seed)
        found.ms.append((time.perf_counter() - start) * 1000)
        found.cpu_ms.append((time.process_time() - busy) * 1000)
        found.rows.append(int(rows))
        found.values.append([float(value) for value in values.reshape(-1)])
    return found


def fastest(method: Method, images: int) -> Explain:
    """The method with the batch size that suits it, each tried on some images when warm."""
    candidates = [method.make(batch) for batch in method.batches]
    if len(candidates) == 1:
        return candidates[0]
    some = min(images, TRIED)
    for candidate in candidates:
        burst(candidate, some, 0)
    times = [median(burst(candidate, some, 0).ms) for candidate in candidates]
    return candidates[times.index(min(times))]


def serve(versions: Mapping[str, str], methods: Mapping[str, Method], images: int) -> None:
    """Say who is there and what they can do; then answer {"method", "seed"} with a Burst, or {"error"}, until the input
    ends."""
    out = _own_stdout()
    _answer(out, {"versions": dict(versions), "methods": list(methods)})
    ready: dict[str, Explain] = {}
    for command in _lines(sys.stdin):
        name = command["method"]
        try:
            if name not in ready:
                ready[name] = fastest(methods[name], images)
            answer = asdict(burst(ready[name], images, command["seed"]))
        except Exception as error:  # a stranger's; the driver shall say which method cannot be compared, and why
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        _answer(out, answer)


def _own_stdout() -> TextIO:
    """Standard output for answers alone: what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def _lines(stream: TextIO) -> Iterator[dict[str, Any]]:
    while line := stream.readline():
        yield json.loads(line)


def _answer(out: TextIO, answer: Mapping[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()
