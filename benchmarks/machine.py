"""The machine and the software that numbers were made on, in words: numbers without them cannot be compared."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

OWN = ("tensorflow", "keras", "numpy", "scikit-image")


def machine() -> dict[str, str]:
    """Processor, cores, system, Python and our libraries."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{_system()}, {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in OWN},
    }


def _processor() -> str:
    """The name as Linux tells it; elsewhere what Python knows."""
    return _field(Path("/proc/cpuinfo"), "model name", ":") or platform.processor() or platform.machine()


def _system() -> str:
    return _field(Path("/etc/os-release"), "PRETTY_NAME", "=") or f"{platform.system()} {platform.release()}"


def _field(path: Path, name: str, sign: str) -> str:
    lines = path.read_text().splitlines() if path.is_file() else []
    values = [line.partition(sign)[2].strip().strip('"') for line in lines if line.partition(sign)[0].strip() == name]
    return values[0] if values else ""
