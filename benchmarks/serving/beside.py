"""Predictions while others ask for explanations without pause."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from urllib.request import Request, urlopen

from benchmarks.serving.load import AT, Measured, Question, loaded
from benchmarks.serving.servers import ours
from server.config import Settings

EXPLAINERS = 8  # clients for each worker that ask for explanations without pause: twice as many as it has slots
IMPATIENCE = 1.0  # seconds after which they ask again: the least that Retry-After says, so that few slots stay free
BESIDE = {
    "rise": "/v1/explain?method=rise&n_samples=8000&seed={seed}",
    "shapley": "/v1/explain?method=shapley&seed={seed}",
    "lime": "/v1/explain?method=lime&seed={seed}",
}
LONG = "rise"  # takes so long that every slot is taken nearly all the time

Busy = Mapping[str, Sequence[tuple[Measured, Measured]]]
"""By the method that was asked for beside: what each round measured idle, and beside explanations."""


def beside_explanations(folder: Path, picture: bytes, workers: int, rounds: int, seconds: int) -> Busy:
    """Predictions at AT connections, idle and beside explanations by each method: a pair for each round."""
    question = Question("/v1/predict?model=cnn", picture, {"Content-Type": "image/png"})
    found: dict[str, list[tuple[Measured, Measured]]] = {method: [] for method in BESIDE}
    with ours(workers, KEEP="off") as url:
        ready(url)
        for _, (method, path) in itertools.product(range(rounds), BESIDE.items()):
            idle = loaded(folder, url, question, AT, seconds)
            with explaining(url + path, picture, EXPLAINERS * workers), slots_taken(url) as taken:
                found[method].append((idle, loaded(folder, url, question, AT, 2 * seconds)))
            if method == LONG and median(taken) < 0.75 * workers * Settings().explain_slots:
                raise SystemExit(f"explanations took {taken} slots; expected nearly all of them, for most of the time")
    return found


@contextmanager
def slots_taken(url: str) -> Iterator[list[float]]:
    """Filled with how many slots all workers together had taken, every half second until the block ends."""
    stop, taken = Event(), list[float]()

    def look() -> None:
        while not stop.wait(0.5):
            with urlopen(f"{url}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            taken.extend(float(line.split()[1]) for line in lines if line.startswith("inkling_explain_slots_in_use "))

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield taken
    finally:
        stop.set()
        watcher.join()


def ready(url: str) -> None:
    """Wait until both workers explain."""
    seen = 0
    while seen < 20:
        with urlopen(f"{url}/readyz", timeout=10) as answer:
            seen = seen + 1 if json.load(answer)["explain"] == "ready" else 0


@contextmanager
def explaining(url: str, picture: bytes, count: int) -> Iterator[None]:
    """`count` clients that ask for explanations at `url`, which has a place for the seed, without pause.

    Raises:
        SystemExit: none was explained; then predictions had nothing beside them.
    """
    stop, answered = Event(), Event()

    def client(number: int) -> None:
        seed = 1000 * number
        while not stop.is_set():
            seed += 1
            try:
                urlopen(Request(url.format(seed=seed), picture), timeout=60).close()
                answered.set()
            except OSError:  # a refusal too
                stop.wait(IMPATIENCE)

    clients = [Thread(target=client, args=(number,)) for number in range(count)]
    for one in clients:
        one.start()
    stop.wait(1)
    try:
        yield
    finally:
        stop.set()
        for one in clients:
            one.join()
    if not answered.is_set():
        raise SystemExit("no explanation was answered, so that predictions were measured beside nothing")
