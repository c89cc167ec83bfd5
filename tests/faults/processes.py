"""A server's processes as the kernel sees them."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.support.clock import PATIENCE
from tests.support.processes.servers import Running


def workers(server: Running) -> list[int]:
    """The process ids of gunicorn's workers."""
    master = server.process.pid
    return [int(child) for child in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def resident(process: int) -> int:
    """Bytes of memory that the process has resident."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


def eventually(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Poll other processes until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
