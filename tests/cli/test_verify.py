"""python -m server verify, as people run it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.models.stores import add_trial, copy_version, drop_trial
from tests.support.models.trials import TRIED
from tests.support.processes.servers import ROOT


def verify(store: Path) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "server", "verify", str(store)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_store_is_checked_offline(tmp_path: Path) -> None:
    mlp = tmp_path / "mlp"
    drop_trial(copy_version(tmp_path, 1))
    assert verify(tmp_path) == (0, [f"{mlp / '1'}: good"])

    shutil.copytree(mlp / "1", mlp / "2")
    shutil.copytree(mlp / "1", mlp / "3")
    with (mlp / "3" / "variables" / "variables.data-00000-of-00001").open("r+b") as file:
        file.truncate(1000)
    (mlp / "labels.json").write_text('{"stable": 1, "canary": 4}')
    code, lines = verify(tmp_path)
    assert code == 1
    assert lines[:2] == [f"{mlp / '1'}: good", f"{mlp / '2'}: broken: its card is that of mlp version 1"]
    assert lines[2].startswith(f"{mlp / '3'}: broken: variables/variables.data-00000-of-00001 has SHA-256 ")
    assert lines[3:] == [f"{mlp / 'labels.json'}: broken: canary points at 4, which is not there"]


def test_an_empty_store_is_no_good_one(tmp_path: Path) -> None:
    code, lines = verify(tmp_path)
    assert code == 1 and "no version" in lines[0]
    assert verify(tmp_path / "nowhere")[0] == 2


def test_a_trial_is_told(tmp_path: Path) -> None:
    folder = copy_version(tmp_path, 1)
    add_trial(folder, TRIED)
    assert verify(tmp_path) == (0, [f"{folder}: good, 4 configurations of methods tried"])
