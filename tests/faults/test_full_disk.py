"""A disk that is full where the workers tell each other what they serve."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.faults.disks import disk
from tests.faults.processes import eventually, workers
from tests.support.processes.servers import ROOT, ask, serving

MIB = 1 << 20
SEVEN = (ROOT / "examples" / "7.png").read_bytes()


def filled(folder: Path) -> Path:
    """What takes all the room that is left, to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return ballast


def test_a_worker_that_dies_while_the_disk_is_full_is_replaced_and_harms_nobody(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 24 * MIB) as folder:
        settings = {"EXPLAIN": "off", "WORKERS": "2", "RUN_DIR": str(folder / "run"), "KEEP": "off"}
        with serving(tmp_path, settings) as server:

            def predicts() -> bool:
                return all(ask(f"{server.url}/v1/predict?model={name}", SEVEN)[0] == 200 for name in ("cnn", "lstm"))

            eventually(lambda: len(workers(server)) == 2 and predicts(), "both are there")
            ballast = filled(folder)
            for _ in range(3):
                before = set(workers(server))
                os.kill(min(before), signal.SIGKILL)
                eventually(lambda before=before: len(set(workers(server)) - before) == 1, "it is replaced")  # type: ignore[misc]
                other = min(set(workers(server)) & before)
                os.kill(other, signal.SIGSTOP)  # so that the new one answers
                try:
                    assert all(predicts() for _ in range(5))
                finally:
                    os.kill(other, signal.SIGCONT)
            ballast.unlink()
            assert server.process.poll() is None and predicts()
            log = server.log.read_text()
            assert "No space left on device" in log and "it is tried again" in log
