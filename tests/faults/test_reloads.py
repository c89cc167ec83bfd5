"""A hundred versions take each other's place under load: no request fails, none is answered by what is not served, and
memory stays where it was. And versions that are broken in every way that files are."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from server.models.card import BACKGROUND, CARD, TWIN
from tests.faults.load import load
from tests.faults.processes import eventually, resident, workers
from tests.support.models.stores import copy_version, point
from tests.support.models.tiny import save, sign, write_tiny
from tests.support.processes.servers import ROOT, Running, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
RELOADS = 100
WARM = 20  # reloads before the memory is first looked at
GROWTH = 64 << 20  # bytes; TensorFlow would keep 10 MB and more of each of them
LOOKS = 0.3  # seconds in which each worker looks at the folder
KEPT = 2  # versions beside the latest
SETTINGS = {"WORKERS": "2", "MODEL": "tiny", "POLL_MS": "100", "LOG_LEVEL": "WARNING"}


def reported(server: Running) -> Any:
    return ask(f"{server.url}/v1/models/tiny")[2]


@pytest.mark.timeout(570)
def test_a_hundred_reloads_under_load(
    tmp_path: Path, nets: Path, record_property: Callable[[str, object], None]
) -> None:
    store, newest = tmp_path / "models", 1
    copy_version(store, newest, "tiny", nets / "tiny" / "1")
    with serving(tmp_path, {**SETTINGS, "MODEL_STORE": str(store)}, explain="ready") as server:
        eventually(lambda: all(ask(f"{server.url}/readyz")[2]["explain"] == "ready" for _ in range(20)), "both explain")
        questions = [(f"{server.url}/v1/predict", SEVEN), (f"{server.url}/v1/explain?method=saliency", SEVEN)]
        memory = {}
        with load(questions, clients=2, pause=0.02) as outcome:
            for newest in range(2, RELOADS + 2):
                copy_version(store, newest, "tiny", nets / "tiny" / "1")
                point(store, {"stable": newest}, "tiny")
                eventually(lambda newest=newest: reported(server)["default"] == str(newest), "it is served")  # type: ignore[misc]
                if newest > KEPT + 1:
                    shutil.rmtree(store / "tiny" / str(newest - KEPT - 1))
                if newest - 1 in (WARM, RELOADS):
                    memory[newest - 1] = [resident(one) for one in sorted(workers(server))]
        assert set(outcome.statuses) == {200} and outcome.failures == []
        answered = [int(answer["model"]["version"]) for answer in outcome.answers]  # type: ignore[index]
        assert set(answered) <= set(range(1, RELOADS + 2)) and len(set(answered)) > RELOADS / 2
        growth = [after - before for before, after in zip(memory[WARM], memory[RELOADS], strict=True)]
        record_property("answered", len(outcome.statuses))
        record_property("MB grown in 80 reloads at most", round(max(growth) / 1e6, 1))
        assert max(growth) < GROWTH, memory


def cut(name: str | Path) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate((folder / name).stat().st_size // 2)

    return change


def tampered(name: str | Path) -> Callable[[Path], None]:
    """One bit of the file is another, and its size and its time are as they were."""

    def change(folder: Path) -> None:
        path = folder / name
        before, body = path.stat(), bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def wrong(outputs: Callable[[Any], dict[str, Any]]) -> Callable[[Path], None]:
    """A SavedModel of other outputs under right hashes: only its signature and its answers can tell."""

    def change(folder: Path) -> None:
        save(folder, outputs=outputs)
        sign(folder)

    return change


def with_a_nan_among_its_weights(folder: Path) -> None:
    """As a training that diverged leaves it, under right hashes; the twin is still the good one."""
    net = tf.saved_model.load(str(folder))
    net.inner[0, 0].assign(np.nan)
    tf.saved_model.save(net, str(folder), net.signatures)
    sign(folder)


def with_a_twin_of_nans(folder: Path) -> None:
    body = bytearray((folder / TWIN).read_bytes())
    middle = len(body) // 2 // 4 * 4  # within the weights, which are most of it
    body[middle : middle + 4096] = b"\xff" * 4096
    (folder / TWIN).write_bytes(body)
    sign(folder)


def with_another_background(folder: Path) -> None:
    np.savez(folder / BACKGROUND, centroids=np.zeros((3, 14, 14), np.float32))
    sign(folder)


WEIGHTS = Path("variables", "variables.data-00000-of-00001")
BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a truncated graph": (cut("saved_model.pb"), "saved_model.pb has SHA-256"),
    "truncated weights": (cut(WEIGHTS), "00000-of-00001 has SHA-256"),
    "a truncated card": (cut(CARD), "JSONDecodeError"),
    "a missing twin": (lambda folder: (folder / TWIN).unlink(), "FileNotFoundError"),
    "truncated weights, signed": (lambda folder: (cut(WEIGHTS)(folder), sign(folder)), "could not be loaded"),
    "tampered weights": (tampered(WEIGHTS), "00000-of-00001 has SHA-256"),
    "a tampered graph": (tampered("saved_model.pb"), "saved_model.pb has SHA-256"),
    "a tampered twin": (tampered(TWIN), "model.tflite has SHA-256"),
    "a NaN among its weights": (with_a_nan_among_its_weights, "the SavedModel gave logits that are not finite"),
    "answers of NaN": (
        wrong(lambda logits: {"logits": logits * np.nan}),
        "the SavedModel gave logits that are not finite",
    ),
    "a twin with NaN": (with_a_twin_of_nans, "model.tflite gave logits that are not finite"),
    "fewer classes": (wrong(lambda logits: {"logits": logits[:, :9]}), "serving_default gives logits"),
    "another net than the twin": (wrong(lambda logits: {"logits": logits + 0.01}), "differ by 0.01"),
    "a background of another shape": (with_another_background, "(3, 14, 14)"),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 of a net that loads in a moment, and its like, broken, as versions 2 and following."""
    root = tmp_path_factory.mktemp("nets")
    source = write_tiny(root)
    for number, (change, _) in enumerate(BREAKS.values(), 2):
        change(copy_version(root, number, "tiny", source))
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, nets: Path) -> Path:
    root = tmp_path_factory.mktemp("models")
    copy_version(root, 1, "tiny", nets / "tiny" / "1")
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("broken"), {**SETTINGS, "MODEL_STORE": str(store)}, "ready") as running:
        yield running


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_version_is_refused_and_harms_nobody(server: Running, store: Path, nets: Path, name: str) -> None:
    number = str(2 + list(BREAKS).index(name))
    with load([(f"{server.url}/v1/predict", SEVEN)], clients=1, pause=0.02) as outcome:
        shutil.copytree(nets / "tiny" / number, store / "tiny" / f".{number}.aside")
        (store / "tiny" / f".{number}.aside").rename(store / "tiny" / number)
        eventually(lambda: all(number in reported(server)["refused"] for _ in range(20)), "both refuse it")
    assert BREAKS[name][1] in reported(server)["refused"][number]
    assert reported(server)["versions"] == ["1"] and set(outcome.statuses) == {200} and outcome.failures == []
    assert ask(f"{server.url}/v1/explain?method=saliency", SEVEN)[0] == 200


def test_a_version_that_is_copied_slowly_is_served_when_it_is_whole(server: Running, store: Path, nets: Path) -> None:
    """Card first, file by file, as no export writes it, but as people copy; while others ask."""
    source = copy_version(nets, 50, "tiny", nets / "tiny" / "1")
    files = sorted((one for one in source.rglob("*") if one.is_file()), key=lambda one: one.name != CARD.name)
    parts = [(path, part) for path in files for part in (0.5, 1)]
    with load([(f"{server.url}/v1/predict", SEVEN)], clients=1, pause=0.02) as outcome:
        for path, part in parts:
            target = store / "tiny" / "50" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            body = path.read_bytes()
            target.write_bytes(body[: int(len(body) * part)])
            if (path, part) != parts[-1]:
                eventually(lambda: all("50" in reported(server)["refused"] for _ in range(10)), "it is refused by both")
                looked = time.monotonic() + LOOKS
                while time.monotonic() < looked:
                    assert "50" not in reported(server)["versions"], (path, part)
    assert set(outcome.statuses) == {200} and outcome.failures == []
    eventually(lambda: all(reported(server)["default"] == "50" for _ in range(20)), "it is served by both")
    assert "50" not in reported(server)["refused"]
