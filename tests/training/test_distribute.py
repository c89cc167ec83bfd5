"""Training over several workers: real processes that TF_CONFIG tells of each other, against one that works alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import training.fit
from server.types import Array
from tests.support.processes.servers import ROOT, free_port
from training import data
from training.architectures import mlp
from training.distribute import StrategyError, cluster, spread_over, strategy_of
from training.fit import Fit, FitOptions

EPOCHS, BATCH = 3, 64
EVERY, KILLED_AFTER = 10, 25  # steps
PATIENCE = 180  # seconds


def a_fit(strategy: tf.distribute.Strategy) -> Fit:
    """The same run for one and for several: nothing is drawn that depends on the number of replicas."""
    options = FitOptions(epochs=EPOCHS, batch_size=BATCH, seed=3)
    return Fit(lambda: mlp(28, 28, 10, units=(16,), dropout=0.0), data.load("digits"), options, strategy)


def report(folder: Path, resume: bool, pause_at: int = 0) -> None:
    """What a worker process does: train, and write its losses and weights; wait for a line after a step on the way."""
    training.fit.CHECKPOINT_EVERY = EVERY
    fit = a_fit(strategy_of("multiworker"))
    losses = []
    for progress in fit.run(folder / "run", resume):
        losses.append(progress.loss)
        if progress.step == pause_at:
            sys.stdout.write("there\n")
            sys.stdout.flush()
            sys.stdin.readline()
    np.savez(folder / f"worker-{fit.worker}.npz", losses=np.array(losses), **weights_of(fit))


def weights_of(fit: Fit) -> dict[str, Array]:
    return {f"weight-{number:02}": weight for number, weight in enumerate(fit.model.get_weights())}


def start(folder: Path, resume: bool = False, pause_at: int = 0) -> list["subprocess.Popen[str]"]:
    """Two workers on this machine."""
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    code = (
        f"from tests.training.test_distribute import report, Path; report(Path({str(folder)!r}), {resume}, {pause_at})"
    )
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def ended(processes: list["subprocess.Popen[str]"]) -> list[str]:
    """What each said on standard error, once all have ended."""
    said = []
    for process in processes:
        try:
            said.append(process.communicate(timeout=PATIENCE)[1])
        finally:
            process.kill()
    return said


def results(folder: Path) -> list[dict[str, Any]]:
    return [dict(np.load(folder / f"worker-{index}.npz")) for index in range(2)]


def test_two_workers_learn_what_one_learns(tmp_path: Path) -> None:
    processes = start(tmp_path)
    said = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    first, second = results(tmp_path)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    alone = a_fit(tf.distribute.get_strategy())
    losses = [progress.loss for progress in alone.run(tmp_path / "alone", False)]
    assert first["losses"] == pytest.approx(losses, rel=1e-4)
    for name, weight in weights_of(alone).items():
        assert first[name] == pytest.approx(weight, abs=1e-3), name


def test_a_killed_worker_ends_all_and_they_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    processes = start(tmp_path, pause_at=KILLED_AFTER)
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "there\n"
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait()
    said = ended(processes)  # which ends the other's waiting
    assert processes[0].returncode != 0 and "WorkerGone" in said[0]
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    again = start(tmp_path, resume=True)
    said = ended(again)
    assert [process.returncode for process in again] == [0, 0], said
    alone = a_fit(tf.distribute.get_strategy())
    losses = [progress.loss for progress in alone.run(tmp_path / "copy", True)]
    found = results(tmp_path)[0]
    assert len(losses) == alone.steps - KILLED_AFTER // EVERY * EVERY
    assert found["losses"] == pytest.approx(losses, rel=1e-4)
    for name, weight in weights_of(alone).items():
        assert found[name] == pytest.approx(weight, abs=1e-3), name


# One process.


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {}}', '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}']
)
def test_a_configuration_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(StrategyError, match="expected"):
        cluster()


def test_the_chief_is_first_and_alone_nobody_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster() == (0, 1)
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert cluster() == (2, 3)


@pytest.mark.parametrize(
    ("spread", "words"), [("mirrored", "several GPUs"), ("multiworker", "TF_CONFIG"), ("tpu", "no TPU")]
)
def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, spread: Any, words: str) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(StrategyError, match=words):
        strategy_of(spread)


def test_replicas_of_one_machine_get_every_row_once() -> None:
    """Two logical devices stand for two GPUs."""
    code = """
import tensorflow as tf
from training.distribute import spread_over
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
batches = tf.data.Dataset.from_tensor_slices((tf.range(12), tf.range(12) * 10)).batch(5)
for left, right in spread_over(strategy, batches):
    print([part.numpy().tolist() for part in strategy.experimental_local_results(left)])
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "[[0, 2, 4], [1, 3]]\n[[5, 7, 9], [6, 8]]\n[[10], [11]]\n"


def test_alone_batches_are_as_they_are() -> None:
    batches = tf.data.Dataset.range(3)
    assert spread_over(tf.distribute.get_strategy(), batches) is batches
