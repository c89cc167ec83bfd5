"""A load of equal requests, by wrk on loopback, and what it measured."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


Loads = dict[tuple[str, int], list[Measured]]
"""By the name of a load and the number of connections: what each round measured."""


def wrk() -> str:
    """Raises SystemExit: it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("make bench-serve needs wrk, a load generator: apt-get install wrk")
    return found


def loaded(folder: Path, url: str, question: Question, connections: int, seconds: int) -> Measured:
    """`connections` clients ask without pause."""
    body, script = folder / "body", folder / "script.lua"
    body.write_bytes(question.body)
    headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in question.headers.items())
    script.write_text(SCRIPT.format(body=str(body), headers=headers))
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url + question.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return Measured(told["requests"] / told["seconds"], told["p50"], told["p99"], told["wrong"])
