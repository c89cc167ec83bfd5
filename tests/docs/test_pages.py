"""The pages do what they say: their commands are run against the server that `make serve` starts, and tables hold.

Left out: make serve and make test themselves (this is make test), training on MNIST, GPU and Docker.
"""

import ast
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from server.attacks import ATTACKS
from server.cache.explanation_cache import MAX_AGE
from server.config import Settings, shown_settings
from server.errors import FeedbackNotKept, ServiceError
from server.explainers import EXPLAINERS
from server.images import THUMBNAIL
from server.openapi import document
from server.rollout.drift import WINDOW
from server.rollout.shadow import WAITING
from server.types import Target
from tests.docs.links import CODE, FENCED
from tests.docs.tables import TABLES
from tests.support.models.fakes import Linear, ink
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT, Running, serving
from tests.support.readme import CHINESE, PAGES, README, around, commands, remade, run, tables

SHOWN = [(page.name, command, output) for page in PAGES for command, output in commands(page.read_text())]
CHROMIUM = shutil.which("chromium")
ALONE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--virtual-time-budget=8000",
)
CHOOSE = """<script>
  const chosen = new DataTransfer(), bytes = Uint8Array.from(atob("CHOSEN"), one => one.charCodeAt(0))
  chosen.items.add(new File([bytes], "3.png", { type: "image/png" }))
  why.onload = () => { document.title = `${why.naturalWidth} x ${why.naturalHeight}` }
  file.files = chosen.files
  file.dispatchEvent(new Event("change"))
</script>
"""
STARTS = {".png": b"\x89PNG", ".svg": b"<svg", ".npz": b"PK"}


@pytest.mark.parametrize("server", ["explaining", "without_tensorflow"])
@pytest.mark.parametrize(("command", "output"), [one[1:] for one in SHOWN], ids=[" ".join(one[:2]) for one in SHOWN])
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
        assert output, "the page shows no output"
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
    names: dict[str, Any] = {"__name__": "server.explainers.gradient_x_input"}
    exec(compile(shown(ROOT / "CONTRIBUTING.md", "python"), "CONTRIBUTING.md", "exec"), names)
    model = Linear()
    (found,) = names["GradientXInput"]().refine(model, ink(), Target.of_class(1, model.card.classes), 0)
    assert found.values == pytest.approx(model.directions()[1] * ink())
    assert found.rows == model.rows


def shown(page: Path, language: str, having: str = "") -> str:
    """The one block of a page in that language that has these letters."""
    blocks = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if having in block]
    return str(code)


def test_the_shown_python_asks_the_server(explaining: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        shown(README, "python")
        .replace("http://localhost:8000", explaining.url)
        .replace("examples/", f"{ROOT}/examples/")
    )
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"7 0\.99\d+ Predicted 7 ", capsys.readouterr().out)


def test_the_shown_page_explains_a_chosen_picture(tmp_path: Path) -> None:
    if CHROMIUM is None:
        lacking("Chromium is not installed")
    chosen = b64encode((ROOT / "examples" / "3.png").read_bytes()).decode()
    with serving(tmp_path, {"CORS_ORIGINS": "*"}, explain="ready") as running:
        page = tmp_path / "page.html"
        page.write_text(
            shown(ROOT / "docs" / "embedding.md", "html", 'type="file"').replace("http://localhost:8000", running.url)
            + CHOOSE.replace("CHOSEN", chosen)
        )
        command = [CHROMIUM, *ALONE, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert '<b id="digit">3</b>' in done.stdout
    assert re.search(r'<img id="why" alt="Predicted 3 [^"]*" src="http:[^"]*/v1/explanations/\w+.png">', done.stdout)
    assert re.search(r"<title>[1-9]\d+ x [1-9]\d+</title>", done.stdout)  # of the heatmap, as it was loaded


@pytest.mark.parametrize("name", ["draw", "figures", "screenshot"])
def test_what_draws_the_pictures_finds_what_it_imports(name: str) -> None:
    assert callable(runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"])


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_chinese_readme_says_what_the_english_one_does() -> None:
    english, chinese = README.read_text(), CHINESE.read_text()
    for kind in (r"^#+ ", r"^```(\w+)$", r"\]\((?!README)([^)]+)\)", r"^\| "):
        found = [re.findall(kind, text, re.MULTILINE) for text in (english, chinese)]
        assert found[0] == found[1]
    shown = [
        [re.sub("[?&]lang=zh", "", command).replace('"', "") for command, _ in commands(text)]
        for text in (english, chinese)
    ]
    assert [one.replace('"', "") for one in shown[0]] == shown[1]


@pytest.mark.parametrize("page", [README, CHINESE, ROOT / "docs" / "explanations.md"], ids=lambda page: page.name)
def test_every_method_is_told(page: Path) -> None:
    assert [name for name in (*EXPLAINERS, *ATTACKS) if f"`{name}`" not in page.read_text()] == []


def test_every_address_is_told() -> None:
    """Those of a model or a version by their endings."""
    pages = [(ROOT / "docs" / f"{name}.md").read_text() for name in ("http-api", "protocols", "operations")]
    told = {word for page in pages for code in CODE.findall(FENCED.sub("", page)) for word in code.strip("`").split()}
    version = r"(/versions/\{version\}|/labels/\{label\})?"
    ends = {re.sub(rf"^/v[12]/models/\{{model\}}{version}", "", path) for path in document()["paths"]}
    elsewhere = {"", ":{verb}", "/v2/", "/v2/repository/models/{model}/unload", "/docs/{name}", "/favicon.ico"}
    assert {"/v1/compare", ":explain", "/infer", "/livez"} < ends
    assert ends - elsewhere - told == set()


def test_every_error_is_told_with_its_status() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", page, re.MULTILINE)
    told = {code: status for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    known = {error.code: error.status for error in classes(ServiceError)}
    assert told.keys() - {"request_id"} == known.keys() | {"not_found", "method_not_allowed", "not_implemented"}
    assert [code for code, status in known.items() if str(status) not in told[code]] == []


def classes(error: type[ServiceError]) -> list[type[ServiceError]]:
    return [error, *(below for one in error.__subclasses__() for below in classes(one))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_told_is_there(page: Path) -> None:
    names = {one.variable for one in shown_settings(Settings())}
    assert set(re.findall(r"INKLING_\w+", page.read_text())) - names - {"INKLING_MNIST"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_say_what_holds(page: Path) -> None:
    text = page.read_text()
    assert [name for name in tables(text) if around(name, text)[1] != TABLES[name]()] == []


def test_every_table_is_somewhere() -> None:
    assert {name for page in PAGES for name in tables(page.read_text())} == set(TABLES)


def test_another_output_and_another_table_are_noticed(tmp_path: Path) -> None:
    page = "```console\n$ echo 0.5; echo {}\n0.4\n{}\n```\n<!-- models -->\nold\n<!-- end -->\n"
    ((command, output),) = commands(page)
    assert_alike(parsed("0.5\n{}"), parsed(run(command, "", tmp_path)))
    with pytest.raises(AssertionError):
        assert_alike(parsed(run(command, "", tmp_path)), parsed(output))
    with pytest.raises(AssertionError):
        assert_alike(parsed('{"a": 1.0}'), parsed('{"a": 1.01}'))
    assert [around(name, page)[1] for name in tables(page)] == ["old\n"]
    again = remade(page, "", tmp_path)
    assert commands(again) == [("echo 0.5; echo {}", "0.5\n{}")]
    assert around("models", again)[1] == TABLES["models"]()


def test_what_is_kept_is_told_with_the_figures_that_hold() -> None:
    told = " ".join((ROOT / "docs" / "privacy.md").read_text().split())
    assert f"at most {THUMBNAIL} pixels" in told
    trials = ["28", "28", str(WAITING), str(WINDOW)]
    pinned = [str(THUMBNAIL), "28", "28", *trials, "28", "28", str(FeedbackNotKept.status)]
    assert re.findall(r"\b\d[\d.,]*\b", told) == pinned  # a new figure has to be pinned here
    assert "for an hour" in told and MAX_AGE == 60 * 60
    assert Settings().keep == "on" and "`INKLING_KEEP=off` keeps nothing" in told
    assert Settings().keep_seconds == 0 and "or for `INKLING_KEEP_SECONDS` by the clock if that ends first" in told


def test_the_offline_training_commands_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    told = re.findall(r"^python (-m training .*--data digits.*?)(?: +#.*)?$", page, re.MULTILINE)
    assert len(told) == 2
    python = shlex.quote(sys.executable)
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in told:
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
