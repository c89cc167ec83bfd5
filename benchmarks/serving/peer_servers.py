"""LitServe, MLServer and BentoML, each in an environment of its own, from when it answers until its block ends.

They find our server/images by PYTHONPATH, so that all make the same digit of a picture; and one thread of OpenBLAS a
process, as ours has it, so that this takes them no longer.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.running import ROOT, answers, free_port, started
from benchmarks.serving.load import Question
from benchmarks.venvs import python_for

SERVED = Path(__file__).parent.parent / "served"
SHARED = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
KIND = {"Content-Type": "application/json"}

Start = Callable[[Path, int, int, Question, Path], AbstractContextManager[str]]
"""(SavedModel, workers, rows of a batch, what is asked, an empty folder) -> its address."""


@dataclass(frozen=True)
class Peer:
    """How a server is started, how it is asked about a file in base64, and where its answer has the probabilities."""

    start: Start
    path: str
    ask: Callable[[str], Mapping[str, Any]]
    read: Callable[[Any], list[float]]
    settings: tuple[tuple[int, int], ...]  # workers, rows of a batch; the better one counts

    def question(self, text: str) -> Question:
        return Question(self.path, json.dumps(self.ask(text)).encode(), KIND)


@contextmanager
def litserve(model: Path, workers: int, batch: int, probe: Question, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python_for("litserve"), "litserve_app.py", model, port, workers, batch]
    with started(command, SERVED, SHARED, "litserve", answers(url + probe.path, probe.body)):
        yield url


@contextmanager
def bentoml(model: Path, workers: int, batch: int, probe: Question, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"MODEL": str(model), "WORKERS": str(workers), "BATCH": str(batch), "BENTOML_DO_NOT_TRACK": "True"}
    command = [
        python_for("bentoml").parent / "bentoml", "serve", "bentoml_app:Digits", "--port", port, "--host", "127.0.0.1",
    ]  # fmt: skip
    with started(command, SERVED, {**SHARED, **settings}, "bentoml", answers(url + probe.path, probe.body)):
        yield url


@contextmanager
def mlserver(model: Path, workers: int, batch: int, probe: Question, folder: Path) -> Iterator[str]:
    """`workers` 0 = the model runs in the process that answers."""
    port, home = free_port(), folder / f"mlserver-{workers}-{batch}"
    url = f"http://127.0.0.1:{port}"
    home.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (home / "settings.json").write_text(json.dumps({"parallel_workers": workers, "host": "127.0.0.1", **ports}))
    batching = {"max_batch_size": batch, "max_batch_time": 0.001} if batch > 1 else {}
    (home / "model-settings.json").write_text(
        json.dumps({"name": "cnn", "implementation": "runtime.Digits", **batching})
    )
    path = f"{SERVED / 'mlserver'}:{SERVED}:{ROOT}"
    command = [python_for("mlserver").parent / "mlserver", "start", home]
    settings = {**SHARED, "MODEL": str(model), "PYTHONPATH": path}
    with started(command, home, settings, "mlserver", answers(url + probe.path, probe.body)):
        yield url


PEERS = {
    "LitServe": Peer(
        litserve, "/predict", lambda text: {"image": text}, lambda answer: answer["probabilities"], ((1, 32), (2, 1))
    ),
    "MLServer": Peer(
        mlserver,
        "/v2/models/cnn/infer",
        lambda text: {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]},
        lambda answer: answer["outputs"][0]["data"],
        ((0, 32), (2, 1)),
    ),
    "BentoML": Peer(bentoml, "/predict", lambda text: {"image": [text]}, lambda answer: answer[0], ((2, 1), (1, 32))),
}
