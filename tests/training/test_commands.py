"""All commands of `python -m training`: their help is quick, and what users can mend is said in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.commands import COMMANDS, main

HEAVY = ("numpy", "scipy", "sklearn", "keras", "tensorflow")


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from training.commands import main
try:
    main([*{arguments}, "--help"])
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage:") and said.endswith("[]\n")


def test_what_users_can_mend_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"no archive")
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path), "--data", str(tmp_path / "data.npz")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "cannot be read as .npz" in result.output
    assert len(result.output.splitlines()) == 1
