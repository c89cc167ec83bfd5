"""Lists model_store/ as it lies on disk now: versions with a stamp of their files, and version labels. Opens no
model."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from server.models.card import CARD, UNREADABLE
from server.models.repository.version_labels import read_labels

if TYPE_CHECKING:
    from server.models.trust import Trust

FROM_SOURCE = ".source.json"  # what follower.py says of the versions that it could not take
MOST_NOTES, LONGEST_NOTE = 32, 400  # of that file, and characters


@dataclass(frozen=True)
class ModelListing:
    """The folder of one model. The stamp of a version changes when any of its files does."""

    versions: Mapping[str, str] = field(default_factory=dict)  # number -> stamp, ascending
    labels: Mapping[str, str] | None = None  # None where they cannot be read, or there is no folder
    broken: str | None = None  # why they cannot be read
    notes: tuple[str, ...] = ()  # in sentences, for people


def scan(root: Path, trust: "Trust | None" = None) -> dict[str, ModelListing]:
    """The listing of every model. A version without a card is not there yet: its card is written last. With `trust`,
    only labels that are signed count.

    Raises:
        OSError: a folder cannot be read, which does not mean that nothing is there.
    """
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {one.name: _listing(one, trust) for one in folders if one.is_dir() and not one.name.startswith(".")}


def _listing(folder: Path, trust: "Trust | None") -> ModelListing:
    numbers = sorted((one for one in folder.iterdir() if one.name.isdecimal()), key=lambda one: int(one.name))
    stamps = {one.name: stamp(one) for one in numbers}
    versions = {number: found for number, found in stamps.items() if found is not None}
    notes = _notes(folder / FROM_SOURCE)
    try:
        labels = read_labels(folder, trust)
    except UNREADABLE as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "  # ours says it in words
        return ModelListing(versions, None, f"{kind}{error}"[:300], notes)
    return ModelListing(versions, labels.pointed, None, (*notes, *labels.notes))


def _notes(path: Path) -> tuple[str, ...]:
    try:
        return tuple(str(note)[:LONGEST_NOTE] for note in json.loads(path.read_bytes())["notes"][:MOST_NOTES])
    except UNREADABLE:
        return ()


def stamp(folder: Path) -> str | None:
    """A hash of the names, sizes and times of all files; None without a card, or while the folder is being removed."""
    try:
        if not (folder / CARD).is_file():
            return None
        facts = sorted(_facts(folder))
    except FileNotFoundError:
        return None
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _facts(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found = os.stat(path)
            yield os.path.relpath(path, folder), found.st_size, found.st_mtime_ns, found.st_ino
