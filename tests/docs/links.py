"""Links between the pages of a repository: where each leads, and which lead nowhere."""

import re
from pathlib import Path

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
ELSEWHERE = ("http://", "https://", "mailto:")


def links(text: str) -> list[str]:
    """The targets of all links and pictures of a page but those in code."""
    return LINK.findall(CODE.sub("", FENCED.sub("", text)))


def anchors(text: str) -> set[str]:
    """What can stand after # in a link to a page, as GitHub makes it of the page's headings."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (f"{name}-{count}" for count in range(1, len(found) + 2))
        found.add(name if name not in found else next(one for one in numbered if one not in found))
    return found


def leads_to(link: str, page: Path) -> Path:
    """The file that a link of `page` leads to, whether it is there or not."""
    name = link.partition("#")[0]
    return (page.parent / name).resolve() if name else page


def broken(page: Path, root: Path) -> list[str]:
    """The links of a page that lead nowhere within `root`; addresses of the web are taken as they are."""
    found = [link for link in links(page.read_text()) if not link.startswith(ELSEWHERE)]
    return [link for link in found if not _is_there(leads_to(link, page), link, root)]


def _is_there(target: Path, link: str, root: Path) -> bool:
    if not target.exists() or not target.is_relative_to(root):
        return False
    anchor = link.partition("#")[2]
    return "#" not in link or (target.suffix == ".md" and anchor in anchors(target.read_text()))
