"""The Indexed Job of deploy/training-job.yaml: what its pods tell TensorFlow, and what they run."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.support.processes.servers import ROOT
from training.commands import main
from training.distribute import cluster

SERVICE, JOB = yaml.safe_load_all((ROOT / "deploy" / "training-job.yaml").read_text())
POD: Any = JOB["spec"]["template"]["spec"]
SCRIPT: str = POD["containers"][0]["command"][-1]


def run(index: int, checkpoint: Path) -> tuple[str, list[str]]:
    """TF_CONFIG of a pod, and the arguments that it gives to python."""
    script = SCRIPT.replace("/data/runs/cnn/checkpoint", str(checkpoint)).replace(
        "exec python", 'printf "%s\\n" "$TF_CONFIG"; echo ---; echo'
    )
    environment = {"JOB_COMPLETION_INDEX": str(index), "PATH": "/usr/bin:/bin"}
    said = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=True).stdout
    config, _, arguments = said.partition("---\n")
    return config, shlex.split(arguments)


def test_each_pod_is_one_of_the_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for index in range(JOB["spec"]["completions"]):
        monkeypatch.setenv("TF_CONFIG", run(index, tmp_path / "none")[0])
        assert cluster() == (index, JOB["spec"]["completions"])
    hosts = set(re.findall(r"([\w.-]+):12345", run(0, tmp_path / "none")[0]))
    name, domain = JOB["metadata"]["name"], POD["subdomain"]
    assert hosts == {f"{name}-{index}.{domain}" for index in range(JOB["spec"]["parallelism"])}
    assert SERVICE["metadata"]["name"] == domain and SERVICE["spec"]["selector"] == {"job-name": name}


def test_a_pod_goes_on_where_there_is_a_checkpoint(tmp_path: Path) -> None:
    assert "--resume" not in run(0, tmp_path / "checkpoint")[1]
    (tmp_path / "checkpoint").touch()
    assert run(0, tmp_path / "checkpoint")[1][-1] == "--resume"


def test_the_command_takes_its_options(tmp_path: Path) -> None:
    arguments = run(0, tmp_path / "none")[1]
    assert arguments[:3] == ["-m", "training", "fit"]
    assert CliRunner().invoke(main, [*arguments[2:], "--help"]).exit_code == 0
    known = {name for one in main.get_command(None, "fit").params for name in one.opts}  # type: ignore[arg-type,union-attr]
    assert {one for one in arguments if one.startswith("--")} <= known
