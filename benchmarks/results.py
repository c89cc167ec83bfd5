"""RESULTS.md has a part for each command that measures; each writes its own and leaves the others as they are."""

import re
from pathlib import Path

PATH = Path(__file__).parent / "RESULTS.md"


def write_part(name: str, text: str, path: Path = PATH) -> None:
    """Put `text` into the part `name`; a new one goes to the end."""
    before = path.read_text() if path.exists() else ""
    begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->\n"
    part = f"{begin}{text.rstrip()}\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(before):
        path.write_text(pattern.sub(lambda _: part, before))
    else:
        path.write_text(f"{before.rstrip()}\n\n{part}" if before.strip() else part)
