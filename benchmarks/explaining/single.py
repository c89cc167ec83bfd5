"""Figures of ours alone: exact Shapley values of many digits, and a slope inside the real server over HTTP."""

import http.client
import io
import re
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from benchmarks.case import Array
from benchmarks.explaining.ours import answered
from server.explainers import build
from server.types import Model, Target
from tests.support.processes.servers import serving

ASKED = 100  # times over one connection
WARMING = 20
DURATION = re.compile(r"(\w+);dur=([\d.]+)")


def exact_shapley(model: Model, images: Array) -> dict[str, float]:
    """Milliseconds of `shapley` with its defaults over images (n, H, W), and the share that came out exact."""
    explainer = build("shapley", {}, model.card, model.verbs)
    targets = [Target.of_class(int(index), model.card.classes) for index in model.forward(images).argmax(axis=1)]
    for image, target in zip(images[:8], targets, strict=False):
        answered(explainer, model, image, target, 0)
    ms, exact = [], []
    for image, target in zip(images, targets, strict=True):
        start = time.perf_counter()
        found = answered(explainer, model, image, target, 0)
        ms.append((time.perf_counter() - start) * 1000)
        exact.append(found.state == "exact")
    median, p90 = np.percentile(ms, [50, 90])
    return {"shapley_median": float(median), "shapley_p90": float(p90), "shapley_exact": float(np.mean(exact))}


def saliency_served(images: Array) -> dict[str, float]:
    """Median milliseconds of `saliency` behind gunicorn: each stage and the whole request as the server tells them, and
    the round trip as the asker sees it. Every request is another one of images (n, H, W), n >= 120: an answer that was
    kept, or a graph that was compiled for one picture, would not be what users meet."""
    bodies = [_png(image) for image in images[: WARMING + ASKED]]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), {}, explain="ready") as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        timings = [_ask(connection, body) for body in bodies][WARMING:]
        connection.close()
    return {f"server_{name}": float(np.median([one[name] for one in timings])) for name in timings[0]}


def _png(image: Array) -> bytes:
    """A digit (H, W) in [0, 1] as a file, black ink on white paper."""
    file = io.BytesIO()
    Image.fromarray(np.round(255 * (1 - image)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> dict[str, float]:
    """Milliseconds of each stage as the server tells them, and of the round trip."""
    start = time.perf_counter()
    connection.request("POST", "/v1/explain?method=saliency&model=cnn", body, {"Content-Type": "image/png"})
    response = connection.getresponse()
    answer = response.read()
    round_trip = (time.perf_counter() - start) * 1000
    if response.status != 200:
        raise RuntimeError(f"the server answered {response.status}: {answer[:200]!r}")
    reported = {name: float(value) for name, value in DURATION.findall(response.headers["Server-Timing"])}
    return {**reported, "round_trip": round_trip}
