"""A worker keeps its memory under everything that people ask, all at once: predictions of photos and drawings,
explanations by every method of every net, comparisons, attacks, tensors, and clients that leave.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from server.explainers import EXPLAINERS
from tests.faults.processes import resident, workers
from tests.support.models.nets import NAMES
from tests.support.processes.servers import ROOT, Running, serving

SECONDS = 120
CLIENTS = 6
MB = 10**6
MOST = 330  # MB; 200 where explanations come one after the other, the rest is what several hold at once
GROWTH = 15  # MB from the first half to the last, of the middle of many looks: at times several hold much at once
LOOKS = 60

SEEDS = count(1)
PICTURES = [(ROOT / "examples" / name).read_bytes() for name in ("7.png", "3.png", "0.png", "photo.jpg")]
ROWS = json.dumps({"instances": np.random.default_rng(0).random((3, 28, 28)).round(3).tolist()}).encode()


def questions(random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Address and body; each explanation is new, so that it is computed."""
    while True:
        name, method = random.choice(NAMES), random.choice(list(EXPLAINERS))
        picture, seed = PICTURES[random.integers(len(PICTURES))], next(SEEDS)
        yield f"/v1/predict?model={name}", picture
        yield f"/v1/explain?model={name}&method={method}&seed={seed}&budget_ms=3000", picture
        yield f"/v1/explain?model={name}&method=shapley&output=probability&seed={seed}&quality=true&format=png", picture
        yield f"/v1/compare?methods=saliency,lime&model={name}&seed={seed}&budget_ms=3000", PICTURES[0]
        yield f"/v1/compare?models=cnn,lstm&method=integrated_gradients&seed={seed}&budget_ms=3000", PICTURES[2]
        yield f"/v1/adversarial?model={name}&method=pgd&seed={seed}", PICTURES[1]
        yield f"/v1/models/{name}:predict", ROWS
        yield f"/v1/models/{name}:explain", ROWS


def mixed(server: Running, seconds: float) -> tuple[list[float], Counter[Any]]:
    """Megabytes of the worker, LOOKS times on the way, and how often each status was answered."""
    (worker,) = workers(server)
    over, statuses = threading.Event(), Counter[Any]()

    def client(number: int) -> None:
        random = np.random.default_rng(number)
        for path, body in questions(random):
            if over.is_set():
                return
            patience = 0.05 if random.random() < 0.1 else 60.0  # every tenth leaves
            try:
                with urlopen(Request(server.url + path, body), timeout=patience) as answer:
                    answer.read()
                    statuses[answer.status] += 1
            except HTTPError as error:
                statuses[error.code] += 1
                error.close()
            except (URLError, TimeoutError):
                statuses["left"] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    found = []
    try:
        for _ in range(LOOKS):
            time.sleep(seconds / LOOKS)  # the load is what is awaited
            found.append(resident(worker) / MB)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert workers(server) == [worker]
    return found, statuses


def test_a_worker_keeps_its_memory(tmp_path: Path, record_property: Any) -> None:
    with serving(tmp_path, {}, explain="ready") as server:
        found, statuses = mixed(server, SECONDS)
        assert "Traceback" not in server.log.read_text()
    record_property("MB on the way", " ".join(f"{one:.0f}" for one in found))
    record_property("answered", statuses[200])
    assert set(statuses) <= {200, 422, 503, "left"} and statuses[200] > 100, statuses
    assert max(found) < MOST, found
    third = LOOKS // 3  # the first one warms up
    assert median(found[2 * third :]) - median(found[third : 2 * third]) < GROWTH, found
