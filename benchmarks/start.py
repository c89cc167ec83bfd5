"""How soon a worker answers its first prediction and its first explanation, and what memory one takes."""

import json
import sys
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from statistics import median
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks import running

TIMES = 5
PREDICTIONS = 500
ROUNDS = 3  # of all methods with all nets
SEVEN = (running.ROOT / "examples" / "7.png").read_bytes()


def first_answers() -> dict[str, float]:
    """Median seconds from the start of gunicorn with one worker to its first answer: a prediction, predicting only and
    as usual, and an explanation."""
    asked = {
        "first prediction, predicting only": ({"EXPLAIN": "off"}, "/v1/predict"),
        "first prediction": ({}, "/v1/predict"),
        "first explanation": ({}, "/v1/explain?method=lime"),
    }
    return {what: median(_seconds(*one) for _ in range(TIMES)) for what, one in asked.items()}


def _seconds(settings: dict[str, str], path: str) -> float:
    begun = time.perf_counter()
    with running.ours(1, **settings) as url:
        _ask(url, path)
        return time.perf_counter() - begun


def resident() -> dict[str, float]:
    """Megabytes of a worker that only predicts, after some hundred pictures, and of one that has explained by every
    method with every net: resident."""
    with running.ours(1, EXPLAIN="off") as url:
        for _ in range(PREDICTIONS):
            _ask(url, "/v1/predict")
        predicting = _resident(url)
    with running.ours(1) as url:
        for _, method, net in product(range(ROUNDS), _methods(url), ("cnn", "mlp", "lstm")):
            with suppress(HTTPError):  # not every net can do every method
                _ask(url, f"/v1/explain?method={method}&model={net}")
        explaining = _resident(url)
    return {"that only predicts": predicting, "that has explained by every method with every net": explaining}


def _methods(url: str) -> list[str]:
    with urlopen(f"{url}/v1/methods", timeout=10) as answer:
        return [one["name"] for one in json.load(answer)["methods"]]


def _resident(url: str) -> float:
    worker = _worker(int(url.rpartition(":")[2]))
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


def _ask(url: str, path: str) -> None:
    with urlopen(Request(f"{url}{path}", SEVEN), timeout=10) as answer:
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
