"""What the README and the pages of docs/ show, taken out of them; and, as `python -m tests.support.readme`, put into
them from a live server, the benchmarks' results and the code."""

import re
import subprocess
import tempfile
from pathlib import Path

from tests.docs.tables import TABLES
from tests.support.processes.servers import ROOT, serving

README, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
PAGES = (README, CHINESE, *sorted((ROOT / "docs").glob("*.md")))
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
MARK = re.compile(r"^<!-- (?!end )(\w+) -->$", re.MULTILINE)


def commands(text: str) -> list[tuple[str, str]]:
    """Every command of a page's console blocks with the output shown below it."""
    blocks = CONSOLE.findall(text)
    return [(found["command"], found["output"].strip()) for block in blocks for found in COMMAND.finditer(block)]


def tables(text: str) -> list[str]:
    """The names of a page's generated tables."""
    return [name for name in MARK.findall(text) if name != "end"]


def run(command: str, url: str, folder: Path) -> str:
    """What the command prints when it asks the server at `url`; files that it writes are in `folder`."""
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    line = command.replace("localhost:8000", url.removeprefix("http://"))
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def around(name: str, text: str) -> tuple[str, str, str]:
    """The text before, in and after the table of that name."""
    mark = f"<!-- {name} -->\n"
    start = text.index(mark) + len(mark)
    end = text.index("<!-- end -->", start)
    return text[:start], text[start:end], text[end:]


def remade(text: str, url: str, folder: Path) -> str:
    """A page with every table filled and every command run again."""
    for name in tables(text):
        before, _, after = around(name, text)
        text = before + TABLES[name]() + after

    def answered(found: re.Match[str]) -> str:
        output = run(found["command"], url, folder)
        return f"$ {found['command']}\n{output}\n" if output else f"$ {found['command']}\n"

    return CONSOLE.sub(lambda block: COMMAND.sub(answered, block[0]), text)


def rewrite() -> None:
    """Make all pages again."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), {}, explain="ready") as server:
        for page in PAGES:
            page.write_text(remade(page.read_text(), server.url, Path(folder)))


if __name__ == "__main__":
    rewrite()
