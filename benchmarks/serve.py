"""python -m benchmarks.serve: predictions a second, ours beside a null handler and other servers; for RESULTS.md."""

import argparse
import base64
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from benchmarks import ours as net
from benchmarks import running, serve_table, start
from benchmarks.load import Loads, Measured, Question, loaded, wrk
from benchmarks.results import write_part
from server.config import Settings

CONNECTIONS = (1, 8, 32)
EXPLAINERS = 8  # clients for each worker that ask for explanations without pause: twice as many as it has slots
IMPATIENCE = 1.0  # seconds after which they ask again: the least that Retry-After says, so that few slots stay free
BESIDE = {
    "rise": "/v1/explain?method=rise&n_samples=8000&seed={seed}",
    "shapley": "/v1/explain?method=shapley&seed={seed}",
    "lime": "/v1/explain?method=lime&seed={seed}",
}
LONG = "rise"  # takes so long that every slot is taken nearly all the time
MODEL = running.ROOT / "model_store" / "cnn" / "2"
SETTINGS = {  # workers, rows of a batch
    "LitServe": [(1, 32), (2, 1)],
    "MLServer": [(0, 32), (0, 1)],
    "BentoML": [(2, 1), (1, 32)],
}


def main() -> None:
    asked = arguments()
    wrk()
    load = os.getloadavg()[0]
    workers = min(4, os.cpu_count() or 1)
    source, digits = net.digits(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        loads = own(folder, png(digits[0]), digits[0], workers, asked)
        beside = {} if asked.alone else peers(folder, png(digits[0]), workers, asked)
        busy = beside_explanations(folder, png(digits[0]), workers, asked)
        first = start.first_answers(), start.resident()
    setting = serve_table.Setting(f"{datetime.now(UTC):%Y-%m-%d}", source, workers, asked.rounds, asked.seconds, load)
    write_part("serving", serve_table.document(loads, beside, busy, first, setting))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    return parser.parse_args()


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(file, "PNG", optimize=True)
    return file.getvalue()


def questions(picture: bytes, image: np.ndarray) -> dict[str, Question]:
    """What ours is asked, by what it is called in the table."""
    raw = image.astype("<f4").tobytes()
    parameters = {"binary_data_size": len(raw)}
    inputs = [{"name": "images", "shape": [1, *image.shape], "datatype": "FP32", "parameters": parameters}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    rows = json.dumps({"instances": np.round(image[None].astype(float), 4).tolist()}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    kind = {"Content-Type": "image/png"}
    predict = {f"/v1/predict, {model}": Question(f"/v1/predict?model={model}", picture, kind) for model in NETS}
    return {
        **predict,
        serve_table.DRAWN: Question("/v1/predict?model=cnn", DRAWING.read_bytes(), kind),
        serve_table.PHOTO: Question("/v1/predict?model=cnn", PHOTO.read_bytes(), {"Content-Type": "image/jpeg"}),
        ":predict with JSON, cnn": Question("/v1/models/cnn:predict", rows, {"Content-Type": "application/json"}),
        "infer with binary tensors, cnn": Question("/v2/models/cnn/infer", head + raw, length),
    }


NETS = ("mlp", "cnn", "lstm")
DRAWING = running.ROOT / "examples" / "7.png"  # 280 x 280, dark on light
PHOTO = running.ROOT / "examples" / "photo.jpg"  # 1200 x 900


def own(folder: Path, picture: bytes, image: np.ndarray, workers: int, asked: argparse.Namespace) -> Loads:
    """Ours and the null handler, in turns."""
    with running.null(workers) as floor, running.ours(workers, EXPLAIN="off") as served:
        loads = [(serve_table.FLOOR, floor, Question("/", picture, {"Content-Type": "image/png"}))]
        loads += [(what, served, question) for what, question in questions(picture, image).items()]
        return rounds(folder, loads, asked)


def rounds(folder: Path, loads: list[tuple[str, str, Question]], asked: argparse.Namespace) -> Loads:
    """What each load measured in each round, by its name and the number of connections. Loads that are compared follow
    each other, because a machine that is shared is faster at one time than at another."""
    found: Loads = {}
    for number in range(asked.rounds + 1):
        for connections in CONNECTIONS:
            for what, url, question in loads:
                one = loaded(folder, url, question, connections, asked.seconds if number else 1)
                if number:  # the first round warms up
                    found.setdefault((what, connections), []).append(one)
    for (what, connections), several in found.items():
        rate, p99 = (median(getattr(one, name) for one in several) for name in ("rate", "p99"))
        print(f"{what:36s} {connections:3d} {rate:8.0f}/s  p99 {p99:7.2f} ms", flush=True)
    return found


def peers(folder: Path, picture: bytes, workers: int, asked: argparse.Namespace) -> dict[str, Loads]:
    """Each peer with each of its settings, in turns with ours."""
    text = base64.b64encode(picture).decode()
    kind = {"Content-Type": "application/json"}
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    ask = {
        "LitServe": Question("/predict", json.dumps({"image": text}).encode(), kind),
        "BentoML": Question("/predict", json.dumps({"image": [text]}).encode(), kind),
        "MLServer": Question("/v2/models/cnn/infer", json.dumps({"inputs": [tensor]}).encode(), kind),
    }
    serve: dict[str, Callable[[int, int], AbstractContextManager[str]]] = {
        "LitServe": lambda count, batch: running.litserve(MODEL, count, batch, ask["LitServe"]),
        "BentoML": lambda count, batch: running.bentoml(MODEL, count, batch, ask["BentoML"]),
        "MLServer": lambda count, batch: running.mlserver(MODEL, count, batch, ask["MLServer"], folder),
    }
    ours = (serve_table.OURS, Question("/v1/predict?model=cnn", picture, {"Content-Type": "image/png"}))
    found = {}
    for name, settings in SETTINGS.items():
        for count, batch in settings:
            what = f"{name}, {count or 'no'} worker{'' if count == 1 else 's'}, batches of {batch}"
            with running.ours(workers, EXPLAIN="off") as served, serve[name](count, batch) as url:
                found[what] = rounds(folder, [(ours[0], served, ours[1]), (what, url, ask[name])], asked)
    return found


def beside_explanations(folder: Path, picture: bytes, workers: int, asked: argparse.Namespace) -> serve_table.Busy:
    """Predictions at 8 connections, idle and beside explanations by each method: a pair for each round."""
    question = Question("/v1/predict?model=cnn", picture, {"Content-Type": "image/png"})
    found: dict[str, list[tuple[Measured, Measured]]] = {method: [] for method in BESIDE}
    with running.ours(workers, KEEP="off") as url:
        ready(url)
        for _, (method, path) in itertools.product(range(asked.rounds), BESIDE.items()):
            idle = loaded(folder, url, question, 8, asked.seconds)
            with explaining(url + path, picture, EXPLAINERS * workers), slots_taken(url) as taken:
                found[method].append((idle, loaded(folder, url, question, 8, 2 * asked.seconds)))
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


if __name__ == "__main__":
    main()
