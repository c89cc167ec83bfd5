"""What is pinned: the same releases for every purpose, each with its hashes, from no particular index."""

import re

import pytest

from tests.support.processes.servers import ROOT

Pins = dict[str, set[str]]  # name, release and marker -> hashes
LITE = "requirements-lite.txt"
ALL = sorted(path.name for path in ROOT.glob("requirements*.txt"))
HEAVY = {"tensorflow", "keras", "lime", "shap", "scikit-learn", "numba", "llvmlite", "matplotlib", "pandas", "h5py"}


def pins(text: str) -> Pins:
    """Every pin of a locked file."""
    found: Pins = {}
    for line in text.splitlines():
        if line.startswith("    --hash="):
            found[next(reversed(found))].add(line.strip(" \\"))
        elif line and not line.lstrip().startswith("#"):
            found[line.strip(" \\")] = set()
    return found


def read(name: str) -> Pins:
    return pins((ROOT / name).read_text())


def astray(some: Pins, others: Pins) -> list[str]:
    """Which of `some` are not pinned just so by `others`."""
    return [pin for pin, hashes in some.items() if others.get(pin) != hashes]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-gpu.txt"])
def test_larger_requirements_pin_the_same_releases(name: str) -> None:
    assert astray(read(LITE), read(name)) == []


def test_another_release_or_file_is_found() -> None:
    first = next(iter(read(LITE)))
    assert astray({first: set()}, read(LITE)) == [first]
    assert astray({**read(LITE), "flask==0.1": set()}, read(LITE)) == ["flask==0.1"]


def test_lite_requirements_lack_the_heavy_packages() -> None:
    names = {name: {pin.partition("==")[0] for pin in read(name)} for name in (LITE, "requirements.txt")}
    assert names["requirements.txt"] >= HEAVY
    assert names[LITE] & HEAVY == set()
    assert len(names[LITE]) < len(names["requirements.txt"]) / 2


@pytest.mark.parametrize("name", ALL)
def test_everything_is_pinned_with_hashes_and_no_index_is_named(name: str) -> None:
    found = read(name)
    assert len(found) > 10
    assert [pin for pin in found if not re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==", pin)] == []
    assert [pin for pin, hashes in found.items() if not hashes] == []
