"""Bulk runs on Ray: the rows that processes give, all of them there when a node is lost; an end where Ray hangs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bulk.pictures import digits, rows_in, write_npz
from tests.bulk.test_runs import QUICK, SLOWEST, explain_many, shards
from tests.faults.processes import eventually
from tests.support.processes.servers import ROOT

MANY = 140
CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
lost = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
print(cluster.address, flush=True)
for line in sys.stdin:
    if line == "lose\\n":
        cluster.remove_node(lost, allow_graceful=False)
        print("lost", flush=True)
cluster.shutdown()
"""


HOG = """
import ray, time
ray.init()
wait = ray.remote(num_cpus=1)(lambda: time.sleep(600))
waiting = [wait.remote() for _ in range(2)]
print("all CPUs are taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def cluster() -> "Iterator[subprocess.Popen[str]]":
    """A cluster of two nodes, of which one is lost when it is told so; its address is the first line that it prints."""
    command = [sys.executable, "-c", CLUSTER]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lost_node_loses_no_row(tmp_path: Path, cluster: "subprocess.Popen[str]") -> None:
    source, out = write_npz(tmp_path / "in.npz", images=digits(MANY)), tmp_path / "out"
    environment = {**os.environ, "RAY_ADDRESS": line_of(cluster)}
    command = [sys.executable, "-m", "server", "explain-many", str(source), str(out), *QUICK, "--engine", "ray"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: shards(out) >= 1, "a first file", SLOWEST)
        assert cluster.stdin is not None
        cluster.stdin.write("lose\n")
        cluster.stdin.flush()
        assert line_of(cluster) == "lost"
        _, said = process.communicate(timeout=SLOWEST)
    assert process.returncode == 0, said[-3000:]
    explain_many(source, tmp_path / "expected", *QUICK)
    assert rows_in(out).equals(rows_in(tmp_path / "expected"))


def test_where_nothing_comes_it_gives_up_with_a_sentence(tmp_path: Path, cluster: "subprocess.Popen[str]") -> None:
    """More is asked of each node than any has, for which Ray waits without a word."""
    source, out = write_npz(tmp_path / "in.npz", images=digits(MANY)), tmp_path / "out"
    environment = {**os.environ, "RAY_ADDRESS": line_of(cluster)}
    with subprocess.Popen(
        [sys.executable, "-c", HOG], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as holder:
        try:
            line_of(holder)
            command = [sys.executable, "-m", "server", "explain-many", str(source), str(out), *QUICK]
            done = subprocess.run(
                [*command, "--engine", "ray", "--stall-seconds", "20"], cwd=ROOT, env=environment, capture_output=True,
                text=True, timeout=SLOWEST,
            )  # fmt: skip
        finally:
            holder.kill()
    assert done.returncode == 1
    assert "no shard has come from Ray for 20 s" in " ".join(done.stderr.split())
    assert "begin again: it goes on" in " ".join(done.stderr.split())
