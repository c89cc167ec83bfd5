"""How soon a worker answers its first prediction, and what memory one takes that only predicts."""

import sys
import time
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from benchmarks import running

TIMES = 5
PREDICTIONS = 500
SEVEN = (running.ROOT / "examples" / "7.png").read_bytes()


def first_prediction() -> dict[str, float]:
    """Median seconds from the start of gunicorn with one worker to its first answer, predicting only and as usual."""
    found = {}
    for what, settings in (("predicting only", {"EXPLAIN": "off"}), ("as usual", {})):
        found[what] = median(_seconds(settings) for _ in range(TIMES))
    return found


def _seconds(settings: dict[str, str]) -> float:
    begun = time.perf_counter()
    with running.ours(1, **settings) as url:
        _predict(url)
        return time.perf_counter() - begun


def resident() -> dict[str, float]:
    """Megabytes of a worker that only predicts, after some hundred pictures: resident, and its share of what is
    shared."""
    with running.ours(1, EXPLAIN="off") as url:
        for _ in range(PREDICTIONS):
            _predict(url)
        worker = _worker(int(url.rpartition(":")[2]))
        lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
    told = {line.split(":")[0]: int(line.split()[1]) / 1000 for line in lines if line.split(":")[0] in ("Rss", "Pss")}
    return {"resident": told["Rss"], "proportional": told["Pss"]}


def _predict(url: str) -> None:
    with urlopen(Request(f"{url}/v1/predict", SEVEN), timeout=10) as answer:
        answer.read()


def _worker(port: int) -> int:
    """The process of the only worker of the gunicorn on that port: the child of the one that has it in its settings."""
    wanted = f"INKLING_PORT={port}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            children = (folder / "task" / folder.name / "children").read_text().split()
            if wanted in (folder / "environ").read_bytes().split(b"\0") and children:
                return int(children[0])
        except OSError:
            continue
    sys.exit("no worker found")
