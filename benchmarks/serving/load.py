"""A load of equal requests, by wrk on loopback, and what it measured; several loads in turns."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

AT = 8  # connections at which most targets are set
SCRIPT = """
local file = io.open({body!r}, "rb")
wrk.body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.headers = {{ {headers} }}
done = function(summary, latency, requests)
  io.write(string.format('{{"requests": %d, "seconds": %.6f, "p50": %.4f, "p99": %.4f, "wrong": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Question:
    """One request, asked again and again."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Of one load: requests a second, milliseconds at the median and the 99th percentile, and answers that were no
    2xx or none at all."""

    rate: float
    p50: float
    p99: float
    wrong: int


class Load(NamedTuple):
    """Who was asked, about which picture (a name of bodies.py), by how many at once."""

    server: str
    body: str
    connections: int


Loads = dict[Load, list[Measured]]
"""What each round measured."""


class Run(NamedTuple):
    """A load, the address of its server, what is asked there, and the seconds that it has to last at least."""

    load: Load
    url: str
    question: Question
    least: int = 1


def wrk() -> str:
    """Raises SystemExit: it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("make bench-serve needs wrk, a load generator: apt-get install wrk")
    return found


def interleaved(folder: Path, runs: Sequence[Run], rounds: int, seconds: int) -> Loads:
    """What each load measured in each round. Loads that are compared follow each other, because a machine that is
    shared is faster at one time than at another. A second or more of each before, at AT connections, is not
    counted."""
    for load, url, question, least in runs:
        if load.connections == AT:
            loaded(folder, url, question, AT, least)
    found: Loads = {}
    for _ in range(rounds):
        for load, url, question, least in runs:
            one = loaded(folder, url, question, load.connections, max(seconds, least))
            found.setdefault(load, []).append(one)
    for load, several in found.items():
        rate, p99 = (median(getattr(one, name) for one in several) for name in ("rate", "p99"))
        print(f"{load.server:38s} {load.body:8s} {load.connections:3d} {rate:8.1f}/s  p99 {p99:8.2f} ms", flush=True)
    return found


def loaded(folder: Path, url: str, question: Question, connections: int, seconds: int) -> Measured:
    """`connections` clients ask without pause.

    Raises:
        RuntimeError: nothing was answered meanwhile, so that there is nothing to compare.
    """
    body, script = folder / "body", folder / "script.lua"
    body.write_bytes(question.body)
    headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in question.headers.items())
    script.write_text(SCRIPT.format(body=str(body), headers=headers))
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url + question.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    reported = json.loads(done.stdout.strip().splitlines()[-1])
    if not reported["requests"]:
        raise RuntimeError(f"{url}{question.path} answered nothing to {connections} clients within {seconds} s")
    return Measured(reported["requests"] / reported["seconds"], reported["p50"], reported["p99"], reported["wrong"])
