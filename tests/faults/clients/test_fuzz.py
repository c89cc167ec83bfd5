"""Fuzzing guided by coverage, where atheris installs: it finds what mutations at random do not reach."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.clients.mutations import corpus
from tests.support.processes.servers import ROOT

SECONDS = 20


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_no_picture_makes_the_reader_fail(tmp_path: Path) -> None:
    for number, picture in enumerate(corpus()):
        (tmp_path / f"{number}").write_bytes(picture)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.clients.fuzz", tmp_path,
         f"-max_total_time={SECONDS}", "-rss_limit_mb=1024", "-timeout=10",
         f"-artifact_prefix={tmp_path}/found-", "-seed=1", "-print_final_stats=1"],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    runs = next(line for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(runs.split()[-1]) > 500
