"""What some tests need of the machine."""

import os
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test; where CI is set, fail it: nothing is to pass there without having been tried."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI is set")
    pytest.skip(what)


def lite_python() -> Path:
    """The Python of an environment with nothing but requirements-lite.txt, which `make test` makes."""
    found = Path(__file__).parent.parent.parent / ".venv-lite" / "bin" / "python"
    if not found.exists():
        lacking("there is no .venv-lite (make .venv-lite/stamp installs it)")
    return found
