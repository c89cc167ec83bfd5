"""How soon a worker answers its first prediction and its first explanation."""

import time
from statistics import median
from urllib.request import Request, urlopen

from benchmarks.serving.bodies import EXAMPLES
from benchmarks.serving.servers import ours

TIMES = 5
SEVEN = (EXAMPLES / "7.png").read_bytes()


def first_answers() -> dict[str, float]:
    """Median seconds from the start of gunicorn with one worker to its first answer: a prediction, predicting only and
    as usual, and an explanation."""
    commands = {
        "first prediction, predicting only": ({"EXPLAIN": "off"}, "/v1/predict"),
        "first prediction": ({}, "/v1/predict"),
        "first explanation": ({}, "/v1/explain?method=lime"),
    }
    return {what: median(_seconds(*one) for _ in range(TIMES)) for what, one in commands.items()}


def _seconds(settings: dict[str, str], path: str) -> float:
    begun = time.perf_counter()
    with ours(1, **settings) as url:
        with urlopen(Request(f"{url}{path}", SEVEN), timeout=10) as answer:
            answer.read()
        return time.perf_counter() - begun
