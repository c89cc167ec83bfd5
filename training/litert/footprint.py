"""python -m training.litert.footprint FILE: bytes that an interpreter of it takes once every signature has run.

A process of its own measures it, because what another one has freed would be taken again unseen.
"""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

KIB = 1024


def footprint(file: Path) -> int:
    """Bytes by which a process grows that builds an interpreter of `file` and runs each of its signatures once.

    Raises:
        subprocess.CalledProcessError: LiteRT cannot run it.
    """
    command = [sys.executable, "-m", "training.litert.footprint", str(file.resolve())]
    root = Path(__file__).parent.parent.parent
    return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)


def _grown(content: bytes) -> int:
    before = _peak()
    interpreter = Interpreter(model_content=content, num_threads=1)
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        details = runner.get_input_details()
        runner(**{name: np.zeros(one["shape"], one["dtype"]) for name, one in details.items()})
    return _peak() - before


def _peak() -> int:
    """Bytes that this process has had in memory at most. Linux counts those of the process that started it into
    ru_maxrss, but not into VmHWM."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else KIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * KIB


if __name__ == "__main__":
    sys.stdout.write(str(_grown(Path(sys.argv[1]).read_bytes())))
