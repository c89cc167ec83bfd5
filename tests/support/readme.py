"""What the README shows, taken out of it; and, as `python -m tests.support.readme`, put into it from a live server."""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from server.config import settings_table
from tests.support.servers import ROOT, serving

PATH = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Every command of the README's console blocks with the output shown below it."""
    blocks = CONSOLE.findall(PATH.read_text())
    return [(found["command"], found["output"].strip()) for block in blocks for found in COMMAND.finditer(block)]


def run(command: str, url: str, folder: Path) -> str:
    """What the command prints when it asks the server at `url`; files that it writes are in `folder`."""
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    line = command.replace("localhost:8000", url.removeprefix("http://"))
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def models_table() -> str:
    """Accuracies from the cards of the shipped versions."""
    rows = ["| model | MNIST's 10,000 test images | the same, distorted | twin |", "|---|---|---|---|"]
    for name in ("cnn", "lstm", "mlp"):
        extra = ROOT / "model_store" / name / "2" / "assets.extra"
        metrics = json.loads((extra / "model_card.json").read_text())["metrics"]
        size = (extra / "model.tflite").stat().st_size
        shares = f"{metrics['accuracy']:.2%} | {metrics['accuracy_augmented']:.2%}".replace("%", " %")
        rows.append(f"| `{name}` | {shares} | {size / 1e6:.1f} MB |")
    return "\n".join(rows) + "\n"


def speed_table() -> str:
    """Our time and the peers' as multiples of it, from the last run of the benchmark."""
    rows = ["| explanation of one digit by the CNN | Inkling | times longer |", "|---|---|---|"]
    for section in RESULTS.read_text().split("\n### ")[1:]:
        lines = [line.split("|")[1:-1] for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
        ours, *peers = [[cell.strip() for cell in cells] for cells in lines if cells[0].strip() != "method"]
        told = ", ".join(f"{peer[0]} {peer[2]}" for peer in peers if len(peer) > 2 and peer[2])
        rows.append(f"| {section.splitlines()[0]} | {ours[1].split(' ')[0]} ms | {told} |")
    return "\n".join(rows) + "\n"


def serving_table() -> str:
    """What predictions over HTTP were expected to reach and did, from the last run of the benchmark."""
    part = RESULTS.read_text().partition("## Targets of serving\n")[2].partition("\n## ")[0]
    return part.strip() + "\n"


def reading_table() -> str:
    """What share of each kind of picture is read right, from the last run of the benchmark."""
    part = RESULTS.read_text().partition("# Posted pictures, read\n")[2].partition("## Kind by kind\n")[2]
    lines = [line.split("|")[1:-1] for line in part.splitlines() if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in cells] for cells in lines]
    shown = [head.index(name) for name in ("cnn", "tutorial", "naive", "surely wrong")]
    told = [
        f"| {' | '.join([row[0].replace('_', ' '), *(row[i] for i in shown)])} |" for row in rows if row[0] != "mnist"
    ]
    return (
        "\n".join(["| percent | Inkling | tutorial | naive | Inkling surely wrong |", "|---|---|---|---|---|", *told])
        + "\n"
    )


TABLES: dict[str, Callable[[], str]] = {
    "models": models_table,
    "speed": speed_table,
    "serving": serving_table,
    "reading": reading_table,
    "settings": lambda: f"| variable | default | |\n|---|---|---|\n{settings_table()}\n",
}


def around(name: str, text: str) -> tuple[str, str, str]:
    """The text before, in and after the table of that name."""
    mark = f"<!-- {name} -->\n"
    start = text.index(mark) + len(mark)
    end = text.index("<!-- end -->", start)
    return text[:start], text[start:end], text[end:]


def rewrite() -> None:
    """Run every command and fill every table again."""
    text = PATH.read_text()
    for name, table in TABLES.items():
        before, _, after = around(name, text)
        text = before + table() + after
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), {}, explain="ready") as server:

        def answered(found: re.Match[str]) -> str:
            output = run(found["command"], server.url, Path(folder))
            return f"$ {found['command']}\n{output}\n" if output else f"$ {found['command']}\n"

        text = CONSOLE.sub(lambda block: COMMAND.sub(answered, block[0]), text)
    PATH.write_text(text)


if __name__ == "__main__":
    rewrite()
