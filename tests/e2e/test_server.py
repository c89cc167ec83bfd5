"""The real thing: gunicorn, our settings, the shipped models, and a client that knows only HTTP."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.faults.processes import eventually
from tests.support.models.stores import draw_seven, encoded
from tests.support.processes.servers import ROOT, Running, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
MODELS = ("cnn", "mlp", "lstm")
MIB, MB = 1 << 20, 10**6


def send_too_much(url: str, body: bytes) -> tuple[int, str, Any]:
    """As `ask`, for a server that answers before it has read all: urllib would stop at the broken pipe."""
    address = urlsplit(url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=20)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", address.path, body)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], json.load(response)


def test_it_starts_answers_refuses_and_stops(tmp_path: Path) -> None:
    with serving(tmp_path, {"EXPLAIN": "off"}) as server:
        # urllib says application/x-www-form-urlencoded, as curl --data-binary does
        status, kind, answer = ask(f"{server.url}/v1/predict", SEVEN)
        assert (status, kind) == (200, "application/json")
        assert (answer["prediction"]["label"], answer["model"]["name"]) == ("7", "cnn")
        assert answer["prediction"]["probability"] > 0.5
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)

        status, kind, answer = send_too_much(f"{server.url}/v1/predict", SEVEN + bytes(12 * MIB))
        assert (status, kind, answer["code"]) == (413, "application/json", "body_too_large")

        status, kind, answer = ask(f"{server.url}/v1/explain", SEVEN)
        assert (status, kind, answer["code"]) == (503, "application/json", "not_ready")
        assert ask(f"{server.url}/v1/predict", SEVEN)[0] == 200

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of a process's memory")
def test_a_worker_that_only_predicts_stays_small(tmp_path: Path) -> None:
    """Every model asked, on photos too; what it has imported is seen in the libraries that it has mapped."""
    with serving(tmp_path, {"EXPLAIN": "off"}) as server:
        photo = encoded(draw_seven(1400))
        for model in MODELS:
            for body in (SEVEN, photo):
                assert ask(f"{server.url}/v1/predict?model={model}", body)[0] == 200
        url = f"{server.url}/v1/predict?model=lstm&preprocess=none"
        with ThreadPoolExecutor(8) as clients:  # each could do with an interpreter of its own
            assert set(clients.map(lambda _: ask(url, SEVEN)[0], range(400))) == {200}
        (worker,) = children(server.process.pid)
        # what the last photo needed is given back in a moment
        eventually(lambda: resident(worker) < 140 * MB, "it is small", 10)
        mapped = Path(f"/proc/{worker}/maps").read_text()
        assert "/ai_edge_litert/" in mapped  # it tells what is imported
        heavy = ("tensorflow", "keras", "skimage", "shap", "lime", "sklearn", "pandas", "numba", "scipy/stats")
        assert [name for name in heavy if f"/{name}/" in mapped] == []


def test_what_explaining_takes_of_the_processor_yields_to_predictions(explaining: Running) -> None:
    """TensorFlow's own threads too."""
    (worker,) = children(explaining.process.pid)
    expected, _, before = niceness(worker, worker), ask(f"{explaining.url}/v1/predict", SEVEN), spent(worker)
    assert ask(f"{explaining.url}/v1/explain?method=rise&n_samples=8000&seed=77", SEVEN)[0] == 200
    took = {thread: ticks - before.get(thread, 0) for thread, ticks in spent(worker).items()}
    yields = sum(ticks for thread, ticks in took.items() if niceness(worker, thread) > expected)
    assert sum(took.values()) > 10 and yields > 0.8 * sum(took.values())


def spent(process: int) -> dict[int, int]:
    """Ticks of the processor that each thread has had."""
    ticks = {}
    for thread in map(int, os.listdir(f"/proc/{process}/task")):
        with suppress(FileNotFoundError):  # it has ended
            found = status(process, thread)
            ticks[thread] = int(found[11]) + int(found[12])
    return ticks


def niceness(process: int, thread: int) -> int:
    return int(status(process, thread)[16])


def status(process: int, thread: int) -> list[str]:
    """Of /proc/PID/task/TID/stat what follows the name."""
    return Path(f"/proc/{process}/task/{thread}/stat").read_text().rpartition(") ")[2].split()


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("digit", range(10))
def test_every_example_is_read_by_every_model(explaining: Running, model: str, digit: int) -> None:
    body = (ROOT / "examples" / f"{digit}.png").read_bytes()
    _, _, answer = ask(f"{explaining.url}/v1/predict?model={model}", body)
    assert answer["prediction"]["class"] == digit
    assert answer["in_distribution"]["ok"]


GREY = ("attention", "grad_cam", "square_grad", "var_grad")  # what has no sign has no colour


@pytest.mark.parametrize("model", MODELS)
def test_every_method_of_every_model_gives_a_heatmap_with_colour_on_it(explaining: Running, model: str) -> None:
    _, _, details = ask(f"{explaining.url}/v1/models/{model}")
    assert details["explain"] == "ready"
    for method in details["methods"]:
        status, kind, body = ask(f"{explaining.url}/v1/explain?model={model}&method={method}&format=png", SEVEN)
        assert (status, kind) == (200, "image/png")
        with Image.open(BytesIO(body)) as picture:
            assert picture.text["Description"].startswith("Predicted 7")  # type: ignore[attr-defined]
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        map_ = pixels[60:400]
        seen = map_.min(axis=2) < 120 if method in GREY else np.ptp(map_, axis=2) > 60
        assert seen.mean() > 0.005  # on the map, and not on the legend only


@pytest.fixture(scope="module")
def computing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that keeps no answer."""
    with serving(
        tmp_path_factory.mktemp("computing"), {"KEEP": "off", "EXPLAIN_SLOTS": "12"}, explain="ready"
    ) as running:
        yield running


def test_an_answer_does_not_depend_on_other_requests(computing: Running) -> None:
    """Every method alone, then all at once, several times over: the same values to 1e-5."""
    _, _, listed = ask(f"{computing.url}/v1/methods")
    questions = [
        f"{computing.url}/v1/explain?model={model}&method={method['name']}&seed=5&versus=2"
        for method in listed["methods"]
        for model in method["models"]
    ]

    def values(question: str) -> Any:
        status, _, answer = ask(question, SEVEN)
        assert status == 200
        return answer["explanation"]["values"]

    single = [np.array(values(question)) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        for expected, found in zip(2 * single, pool.map(values, 2 * questions), strict=True):
            assert np.array(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_map_lies_on_the_stroke_of_the_picture_that_was_sent(explaining: Running, model: str) -> None:
    """Integrated gradients from black are zero where there is no ink: in the sent picture they lie on dark pixels."""
    question = f"{explaining.url}/v1/explain?model={model}&method=integrated_gradients&baseline=black"
    with Image.open(BytesIO(SEVEN)) as opened:
        dark = np.asarray(opened.convert("L")) < 128
    _, _, answer = ask(question, SEVEN)
    values = np.abs(np.array(answer["explanation"]["values"]))
    a, b, c, d, e, f = answer["preprocessing"]["transform"]
    rows, columns = np.mgrid[0:28, 0:28] + 0.5
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    inside = (x >= 0) & (x < dark.shape[1]) & (y >= 0) & (y < dark.shape[0])
    on_ink = dark[y[inside].astype(int), x[inside].astype(int)]
    assert values[inside][on_ink].sum() > 0.7 * values.sum()
    assert on_ink.mean() < 0.25
