"""A peer as the driver sees it: a process that explains when it is asked to, and waits meanwhile."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.protocol import Burst
from benchmarks.running import ROOT
from benchmarks.venvs import PLACE, python_for


class PeerFailed(Exception):
    """A library could not do what it was asked; the message is its own."""


class Worker:
    """A running peer; `versions` of its libraries, and its `methods`."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log
        greeting = self._read()
        self.versions: dict[str, str] = greeting["versions"]
        self.methods: list[str] = greeting["methods"]

    def burst(self, method: str, seed: int) -> Burst:
        """Raises PeerFailed."""
        assert self._process.stdin is not None  # opened as a pipe
        self._process.stdin.write(json.dumps({"method": method, "seed": seed}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return Burst(**answer)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # opened as a pipe
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer has ended; its last words are in {self._log}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def worker(module: str, *arguments: Path | str) -> Iterator[Worker]:
    """Start peers/<module>.py with `arguments`; it ends with the block. GPUs are hidden from all alike."""
    PLACE.mkdir(parents=True, exist_ok=True)
    log = PLACE / f"{module}.log"
    kept = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}  # explain.py: of ours
    environment = {**kept, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [python_for(module), "-m", f"benchmarks.peers.{module}", *arguments], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield Worker(process, log)
        finally:
            process.kill()
