"""The server as a pod of the chart runs it, without Kubernetes: it writes nowhere but where the pod has room for it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.deploy.charts import container_of, env_of, pod_of, rendered
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT, ask, serving

# In a mount namespace of its own: all that is mounted is read only, but for a new /dev/shm and, in place of /tmp, where
# this repository may lie, a new folder for temporary files. Root without capabilities may do no more than another user.
SCRIPT = """
mount --make-rprivate /
mount -t tmpfs tmpfs {temporary}
mount -t tmpfs -o size={size} tmpfs /dev/shm
awk '$5 != "{temporary}" && $5 !~ "^/(dev|proc|sys)" {{ print $5 }}' /proc/self/mountinfo | sort -u |
  while read -r at; do mount -o remount,bind,ro "$at"; done
! touch "$PWD/written" 2>&1
exec env TMPDIR={temporary} HOME={temporary} setpriv --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def within(temporary: Path) -> list[str]:
    """What a command is called by to run so."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))):
        lacking("only root may mount a read-only root file system (and unshare and setpriv are in util-linux)")
    (memory,) = [one["emptyDir"] for one in pod_of(rendered())["volumes"] if one["name"] == "memory"]
    script = SCRIPT.format(size=memory["sizeLimit"].replace("Mi", "m"), temporary=temporary)
    return ["unshare", "--mount", "bash", "-euc", script, "bash"]


def test_the_server_answers_on_a_root_file_system_that_it_cannot_write_to(
    tmp_path: Path, temporary: Path, within: list[str]
) -> None:
    pod = pod_of(rendered())
    plain = env_of(pod).plain
    settings = {name.removeprefix("INKLING_"): value for name, value in plain.items() if name != "INKLING_PORT"}
    container = container_of(pod)
    with serving(tmp_path, settings, explain="ready", within=within) as running:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert ask(running.url + container[probe]["httpGet"]["path"])[0] == 200
        seven = (ROOT / "examples" / "7.png").read_bytes()
        status, _, answer = ask(f"{running.url}/v1/explain", seven)
        assert status == 200 and answer["links"] is not None  # it is kept
        assert b"inkling_explain_seconds_count" in ask(f"{running.url}/metrics")[2]
        process = running.process.pid
        mounts = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
        writable = {line.split()[4] for line in mounts if "rw" in line.split()[5].split(",")}
        assert {one for one in writable if not one.startswith(("/dev", "/proc", "/sys"))} == {str(temporary)}
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{process}/status").read_text()
    assert not (ROOT / "written").exists()
    assert "Read-only file system" in running.log.read_text()


def test_a_server_that_writes_elsewhere_does_not_start(tmp_path: Path, within: list[str]) -> None:
    with serving(tmp_path, {"RUN_DIR": str(tmp_path / "kept")}, within=within, ready=False) as running:
        assert running.process.wait(30) != 0
    assert "Inkling does not start" in running.log.read_text()
    assert not (tmp_path / "kept").exists()
