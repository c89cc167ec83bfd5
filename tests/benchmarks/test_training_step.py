"""The benchmark of a training step needs MNIST, and says so."""

import os
import subprocess
import sys

from tests.support.processes.servers import ROOT


def test_it_says_what_it_needs() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "INKLING_MNIST"}
    command = [sys.executable, "-m", "benchmarks.training_step", "mlp"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "set INKLING_MNIST" in done.stderr
