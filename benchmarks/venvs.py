"""The virtual environments of the libraries that can not be installed beside ours; made on first use under runs/."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PLACE = HERE.parent / "runs" / "bench"


@dataclass(frozen=True)
class Environment:
    """What pip installs: the requirements of peers/<name>.txt, then `alone` without what it asks for itself."""

    name: str
    alone: str | None = None


ENVIRONMENTS = {
    "bentoml": Environment("bentoml"),
    "captum": Environment("captum"),
    "litserve": Environment("litserve"),
    "mlserver": Environment("mlserver"),
    "xplique": Environment("xplique", alone="xplique==2.0.2"),  # it demands TensorFlow's CUDA libraries
}


def python_for(module: str) -> Path:
    """The interpreter that has the library of peers/<module>.py; its environment is made if need be."""
    environment = ENVIRONMENTS.get(module)
    if environment is None:
        return Path(sys.executable)
    folder = PLACE / environment.name
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not _has(python, module):
        _make(environment, folder, python)
    return python


def _has(python: Path, module: str) -> bool:
    """Whether all is installed: the library itself comes last."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return python.exists() and subprocess.run([python, "-c", find], cwd=PLACE, check=False).returncode == 0


def _make(environment: Environment, folder: Path, python: Path) -> None:
    print(f"installing {environment.name} into an environment of its own ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", HERE / "peers" / f"{environment.name}.txt"], check=True)
    if environment.alone is not None:
        subprocess.run([*install, "--no-deps", environment.alone], check=True)
