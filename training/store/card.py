"""Writes and checks the card of a version, the last of its files, which has the hashes of all others. No TensorFlow."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import DataError

EXTRA, CARD = "assets.extra", "model_card.json"
SIGNATURES = "signatures"  # the folder beside the card: whose they are is no part of the version


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """The card, with the hashes of all files beside it: the last file of a version."""
    text = json.dumps({**card, "files": hashes(folder)}, indent=1)
    (folder / EXTRA / CARD).write_text(text + "\n")


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in it but signatures, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder / EXTRA / SIGNATURES)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def checked_card(version: Path) -> dict[str, Any]:
    """Of a version whose files are those of its card. Raises DataError."""
    try:
        card: dict[str, Any] = json.loads((version / EXTRA / CARD).read_text())
        listed = card["files"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{version} is no version: its card cannot be read ({error})") from error
    there = hashes(version)
    if wrong := [name for name, expected in listed if there.get(name) != expected]:
        raise DataError(f"{version} is damaged: {', '.join(wrong)} is not what its card says")
    return card
