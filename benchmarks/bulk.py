"""python -m benchmarks.bulk: rows a second of `explain-many` beside the same pictures over HTTP; needs INKLING_MNIST.

Both have as many processes: the command its workers, the server its own, with twice as many clients, each on a
connection of its own, that post a picture, read the JSON and post the next. All starts are counted in.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.case import Array
from benchmarks.machine import machine
from benchmarks.results import write_part
from benchmarks.running import ROOT, answers, free_port, started
from training.data import load

PART = "bulk"
CASES = (  # model, method, pictures in a round for each process
    ("mlp", "saliency", 1000),
    ("mlp", "integrated_gradients", 1000),
    ("cnn", "integrated_gradients", 400),
    ("cnn", "shapley", 100),
)


@dataclass(frozen=True)
class Rates:
    """Pictures a second, by the median of rounds."""

    model: str
    method: str
    processes: int
    bulk: float
    http: float
    ratio: float  # median of the rounds' ratios


def main() -> None:
    given = arguments()
    named = os.environ.get("INKLING_MNIST")
    if not named:
        raise SystemExit("needs MNIST: set INKLING_MNIST to an mnist.npz")
    images = load(named).test_images
    found = []
    for processes in given.processes:
        for model, method, each in CASES:
            found.append(measured(model, method, processes, images[: each * processes], given.rounds))
            print(found[-1], flush=True)
    text = document(found, given.rounds)
    if given.write:
        write_part(PART, text)
    sys.stdout.write(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    return parser.parse_args()


def measured(model: str, method: str, processes: int, images: Array, rounds: int) -> Rates:
    levels = np.rint(images * 255).astype(np.uint8)
    taken = [
        (by_command(model, method, processes, levels), over_http(model, method, processes, levels))
        for _ in range(rounds)
    ]
    bulk, http = ([len(levels) / seconds for seconds in each] for each in zip(*taken, strict=True))
    ratio = median(one / other for one, other in zip(bulk, http, strict=True))
    return Rates(model, method, processes, median(bulk), median(http), ratio)


def by_command(model: str, method: str, processes: int, levels: Array) -> float:
    """Seconds of `explain-many`, from its start to its end."""
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "in.npz")
        np.savez(source, images=levels)
        command = [sys.executable, "-m", "server", "explain-many", source, Path(place, "out"), "--model", model]
        before = time.perf_counter()
        subprocess.run(
            [*map(str, command), "--method", method, "--workers", str(processes)], cwd=ROOT, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - before


def over_http(model: str, method: str, processes: int, levels: Array) -> float:
    """Seconds until all are answered, and those of the server's start."""
    port = free_port()
    settings = {"INKLING_PORT": str(port), "INKLING_WORKERS": str(processes), "INKLING_KEEP": "off"}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    probe = json.dumps({"pixels": levels[0].tolist()}).encode()
    before = time.perf_counter()
    with started(command, ROOT, settings, "bulk", answers(f"http://127.0.0.1:{port}/v1/explain?model={model}", probe)):
        post_all(port, f"/v1/explain?model={model}&method={method}", levels, 2 * processes)
        return time.perf_counter() - before


def post_all(port: int, address: str, levels: Array, clients: int) -> None:
    """Post each picture once, by so many clients."""
    bodies = iter([json.dumps({"pixels": one.tolist()}) for one in levels])
    lock, failed = threading.Lock(), []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                body = next(bodies, None)
            if body is None:
                return
            connection.request("POST", address, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if answer.status != 200:
                failed.append(found)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"{len(failed)} were not answered: {failed[0]}")


def document(found: Sequence[Rates], rounds: int) -> str:
    facts = machine()
    lines = [
        "# Many pictures\n",
        f"Written by `make bench-bulk`: {facts['processor']}, {facts['cores']} cores; {facts['system']}.",
        f"MNIST's test digits as 28 x 28 numbers, pictures a second with all starts, medians of {rounds} rounds; over",
        "HTTP with twice as many clients as processes, and nothing kept.\n",
        "| net | method | processes | `explain-many` | over HTTP | ratio |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{one.model}` | `{one.method}` | {one.processes} | {one.bulk:.1f} | {one.http:.1f} | {one.ratio:.2f} |"
            for one in found
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
