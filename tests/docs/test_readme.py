"""The README does what it says: its commands are run against the server that `make serve` starts, its tables are true.

Left out: make serve and make test themselves (this is make test), training on MNIST, GPU and Docker.
"""

import ast
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server.cache.sqlite_cache import MAX_AGE
from server.config import Settings, shown_settings
from server.explainers import EXPLAINERS
from server.images import THUMBNAIL
from server.types import Target
from tests.support.models.fakes import Linear, ink
from tests.support.readme import PATH, TABLES, around, commands, run
from tests.support.servers import ROOT, Running

README = PATH.read_text()
STARTS = {".png": b"\x89PNG", ".svg": b"<svg", ".npz": b"PK"}


@pytest.mark.parametrize("server", ["explaining", "without_tensorflow"])
@pytest.mark.parametrize(("command", "output"), commands(), ids=[command for command, _ in commands()])
def test_a_command_gives_what_is_shown(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, command: str, output: str
) -> None:
    if server == "without_tensorflow" and "engine=reference" in command:
        return  # lime and shap are not installed there either; tests/e2e/test_lite.py sees what is answered
    running: Running = request.getfixturevalue(server)
    printed = run(command, running.url, tmp_path)
    if "-o" in shlex.split(command):
        name = command.split(" -o ")[1]
        assert (tmp_path / name).read_bytes().startswith(STARTS[Path(name).suffix])
    else:
        assert output, "the README shows no output"
        assert_alike(parsed(printed), parsed(output))


def parsed(text: str) -> Any:
    """JSON as data; other text line by line, with Python's dictionaries as data."""
    try:
        return json.loads(text)
    except ValueError:
        return [ast.literal_eval(line) if line.startswith("{") else line for line in text.split("\n")]


def assert_alike(found: Any, shown: Any) -> None:
    """Equal, numbers to a thousandth; a request id is new each time."""
    if isinstance(shown, dict):
        assert list(found) == list(shown)
        for key in shown:
            if key != "request_id":
                assert_alike(found[key], shown[key])
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one, other in zip(found, shown, strict=True):
            assert_alike(one, other)
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, rel=1e-3, abs=1e-3)
    else:
        assert found == shown


def test_the_shown_explainer_works_as_shown() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {"__name__": "server.explainers.gradient_x_input"}
    exec(compile(code, "README.md", "exec"), names)
    model = Linear()
    (found,) = names["GradientXInput"]().refine(model, ink(), Target.of_class(1, model.card.classes), 0)
    assert found.values == pytest.approx(model._directions()[1] * ink())
    assert found.rows == model.rows


@pytest.mark.parametrize("name", ["draw", "figures"])
def test_what_draws_the_pictures_finds_what_it_imports(name: str) -> None:
    assert callable(runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"])


def test_every_method_is_in_the_table() -> None:
    assert [name for name in EXPLAINERS if f"| `{name}`" not in README] == []


@pytest.mark.parametrize("name", TABLES)
def test_tables_say_what_holds(name: str) -> None:
    assert around(name, README)[1] == TABLES[name]()


def test_what_is_kept_is_told_with_the_figures_that_hold() -> None:
    told = " ".join(README.partition("\n## What is kept\n")[2].partition("\n## ")[0].split())
    assert f"at most {THUMBNAIL} pixels" in told
    assert re.findall(r"\b\d[\d.,]*\b", told) == [str(THUMBNAIL), "28", "28"]  # whoever adds a figure pins it here
    assert "for an hour" in told and MAX_AGE == 60 * 60
    assert Settings().keep == "on" and "`INKLING_KEEP=off` keeps nothing" in told
    assert Settings().keep_seconds == 0 and "until then, or `INKLING_KEEP_SECONDS` at most" in told
    names = {one.variable for one in shown_settings(Settings())}
    assert set(re.findall(r"INKLING_\w+", told)) - names == set()


def test_the_offline_training_commands_run(tmp_path: Path) -> None:
    shown = re.findall(r"^python (-m training .*--data digits.*?)(?: +#.*)?$", README, re.MULTILINE)
    assert len(shown) == 2
    python = shlex.quote(sys.executable)
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in shown:
        line = f"{python} {arguments}"
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "store" / "tiny" / "1" / "saved_model.pb").is_file()
    accuracy = re.search(r"^accuracy +(\S+)", done.stdout, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.8
