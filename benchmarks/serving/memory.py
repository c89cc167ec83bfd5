"""What memory a worker takes, and what a photo of a telephone takes of memory and time."""

import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.running import children
from benchmarks.serving.bodies import EXAMPLES, TELEPHONE, Body
from benchmarks.serving.servers import ours

PICTURES = 200  # of each kind
TIMES = 20  # that the large photo is timed
PEAKS = 3  # times that its memory is measured
ROUNDS = 3  # of all methods with all nets
GIVEN_BACK = 3.0  # seconds after which a worker has given back what it needs no more: it does so every two
SEVEN = (EXAMPLES / "7.png").read_bytes()


@dataclass(frozen=True)
class Memory:
    """Megabytes resident of a worker that only predicts and of one that has explained; for one photo of a telephone
    alone, milliseconds and the megabytes that it takes at most on top. NaN where it was not measured."""

    predicting: float
    explaining: float
    large_ms: float = math.nan
    large_mb: float = math.nan


def memory(posted: Sequence[Body]) -> Memory:
    """Of a worker after some hundred of each of the pictures, and of one that has explained by every method with every
    net."""
    with ours(1, EXPLAIN="off") as url:
        worker = _worker(url)
        for _, body in product(range(PICTURES), posted):
            _ask(url, "/v1/predict", body.content)
        time.sleep(GIVEN_BACK)
        predicting = _megabytes(worker, "VmRSS")
        large = [body.content for body in posted if body.name == TELEPHONE]
        taken = (_milliseconds(url, large[0]), _peak(url, worker, large[0])) if large else ()
    return Memory(predicting, _explaining(), *taken)


def _milliseconds(url: str, picture: bytes) -> float:
    """Median of an answer's time over HTTP, nothing else being asked."""
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        _ask(url, "/v1/predict", picture)
        times.append((time.perf_counter() - begun) * 1000)
    return median(times)


def _peak(url: str, worker: int, picture: bytes) -> float:
    """Megabytes by which a worker is larger at most while it answers; NaN where the system does not tell."""
    found = []
    for _ in range(PEAKS):
        time.sleep(GIVEN_BACK)
        try:
            Path(f"/proc/{worker}/clear_refs").write_text("5")  # the highest so far is now what there is
        except OSError:
            return math.nan
        before = _megabytes(worker, "VmRSS")
        _ask(url, "/v1/predict", picture)
        found.append(_megabytes(worker, "VmHWM") - before)
    return median(found)


def _explaining() -> float:
    with ours(1) as url:
        for _, method, net in product(range(ROUNDS), _methods(url), ("cnn", "mlp", "lstm")):
            with suppress(HTTPError):  # not every net can do every method
                _ask(url, f"/v1/explain?method={method}&model={net}", SEVEN)
        return _megabytes(_worker(url), "VmRSS")


def _methods(url: str) -> list[str]:
    with urlopen(f"{url}/v1/methods", timeout=10) as answer:
        return [one["name"] for one in json.load(answer)["methods"]]


def _megabytes(process: int, name: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))


def _ask(url: str, path: str, picture: bytes) -> None:
    with urlopen(Request(f"{url}{path}", picture), timeout=10) as answer:
        answer.read()


def _worker(url: str) -> int:
    """The process of the only worker of the gunicorn at `url`: the child of the one that has its port in its
    settings."""
    wanted = f"INKLING_PORT={url.rpartition(':')[2]}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0") and (found := children(int(folder.name))):
                return found[0]
        except OSError:
            continue
    sys.exit("no worker found")
