"""Every link of every page leads somewhere: to a file of this repository, or to a heading."""

from pathlib import Path

import pytest

from tests.docs.links import anchors, broken, leads_to, links
from tests.support.processes.servers import ROOT
from tests.support.readme import PAGES, README

OTHERS = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md", "benchmarks/RESULTS.md", "model_store/README.md")
LINKED = (*PAGES, *(ROOT / name for name in OTHERS))


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, ROOT) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = {README}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= {leads_to(link, page) for link in links(page.read_text())} & set(LINKED) - reached
    assert set(LINKED) - reached == set()


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "docs" / "other.md"
    other.parent.mkdir()
    other.write_text("# A title, with `code`\n\n## Twice\n\n## Twice\n\n```sh\n# not a title\n```\n")
    good = "# Here\n[a](docs/other.md) [b](docs/other.md#a-title-with-code) [c](docs/other.md#twice-1) [d](#here)\n"
    code = "`[x](no.md)`\n```\n[y](no.md)\n```\n[z](https://example.org/no) [folder](docs)\n"
    page.write_text(good + code)
    assert broken(page, tmp_path) == []
    bad = ["other.md", "docs/other.md#not-a-title", "#there", "docs#here", "..", "docs/other.md#"]
    page.write_text(good + "".join(f"[`{link}`]({link})\n" for link in bad) + code)
    assert broken(page, tmp_path) == bad


def test_headings_become_anchors_as_on_github() -> None:
    assert anchors("# What's `in_distribution`?\n## Keys, limits & logs\n## Twice\n## Twice\n") == {
        "whats-in_distribution", "keys-limits--logs", "twice", "twice-1",
    }  # fmt: skip
