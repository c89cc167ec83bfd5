"""Temporary folders: a later server removes those of one that was killed, and no others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.process.temporary_folders import make_folder
from tests.support.processes.servers import ROOT

FORKS = """
import os, sys, time
from server.process.temporary_folders import make_folder
folder = make_folder("inkling-", sys.argv[1])
child = os.fork()
if child:
    print(folder, child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def others(tmp_path: Path) -> list[Path]:
    """What lies beside, and is nobody's business here."""
    (tmp_path / "inkling-file").touch()
    (tmp_path / "inkling-other").mkdir()
    (tmp_path / "inkling-link").symlink_to(ROOT)
    return list(tmp_path.iterdir())


def test_what_a_killed_server_left_is_removed_when_its_last_process_has_ended(
    tmp_path: Path, others: list[Path]
) -> None:
    command = [sys.executable, "-c", FORKS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left, child = process.stdout.readline().split()
        Path(left, "records").touch()
        held = make_folder("inkling-", str(tmp_path))
        process.kill()
        process.wait()
        assert Path(make_folder("inkling-", str(tmp_path))).is_dir() and Path(left).is_dir()
        os.kill(int(child), signal.SIGKILL)
        process.stdout.read()  # until the child has closed it too
    make_folder("inkling-", str(tmp_path))
    assert not Path(left).exists() and Path(held).is_dir() and all(one.exists() for one in others)
    assert Path(held).stat().st_mode & 0o777 == 0o700


def test_folders_with_another_prefix_stay(tmp_path: Path) -> None:
    left = tmp_path / "inkling-x"
    left.mkdir()
    (left / "server.lock").touch()
    make_folder("other-", str(tmp_path))
    assert left.exists()
    make_folder("inkling-", str(tmp_path))
    assert not left.exists()
