"""Reads which version labels point at which versions: `labels.json` or, where several write them, numbered files.

`labels/000017.json` is one of those: each is written once and never changed, and the greatest number counts, so that
nobody can overwrite what another has written. Knows no model.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from server.models.trust import Trust

LABELS = "labels.json"
NUMBERED = "labels"  # the folder
FILE = re.compile(r"(\d{6,12})\.json")
FORMAT = 1


class Labels(NamedTuple):
    """The labels that count, and what is to be said of the others."""

    pointed: Mapping[str, str]  # label -> number of a version
    notes: tuple[str, ...] = ()


def read_labels(folder: Path, trust: "Trust | None" = None) -> Labels:
    """The labels of the model in this folder; with `trust`, the greatest numbered ones that a trusted key has signed.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OSError: they cannot be read.
    """
    numbers = label_numbers(folder)
    plain = folder / LABELS
    if not numbers:
        if not plain.exists():
            return Labels({})
        if trust is not None:
            raise ValueError(f"{LABELS} is not signed; `python -m training label` with --key writes labels that are")
        return Labels(_pointed(json.loads(plain.read_bytes())))
    notes = (f"{LABELS} does not count: {NUMBERED}/ has numbered labels",) if plain.exists() else ()
    refused: list[str] = []
    for number in reversed(numbers):
        try:
            found = parse_labels((folder / NUMBERED / f"{number:06}.json").read_bytes(), folder.name, number, trust)
            return Labels(found, (*notes, *refused))
        except ValueError as error:
            if trust is None:
                raise
            refused.append(f"{NUMBERED}/{number:06}.json does not count: {error}")
    raise ValueError(refused[0])


def label_numbers(folder: Path) -> list[int]:
    """The numbers of a model's numbered labels, ascending."""
    try:
        names = [path.name for path in (folder / NUMBERED).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        int(match[1]) for name in names if (match := FILE.fullmatch(name)) and name == numbered(int(match[1]))
    )


def numbered(number: int) -> str:
    """The name of the file with these labels."""
    return f"{number:06}.json"


def parse_labels(content: bytes, model: str, number: int, trust: "Trust | None" = None) -> Mapping[str, str]:
    """What numbered labels point at.

    Raises:
        ValueError: they are no labels, those of another model or number, or not signed by a key of `trust`.
    """
    try:
        stored = json.loads(content)
        form, of, count, labels = (stored[name] for name in ("format", "model", "number", "labels"))
        found = _pointed(labels)
    except (KeyError, TypeError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"they cannot be read ({type(error).__name__}: {error})"[:300]) from error
    if form != FORMAT:
        raise ValueError(f"they have format {form!r:.50}; expected {FORMAT}")
    if (of, count) != (model, number):
        raise ValueError(f"they are labels {count!r:.20} of {of!r:.100}")
    if trust is not None:
        trust.check_labels(model, number, labels, stored.get("signatures"))
    return found


def _pointed(labels: Any) -> Mapping[str, str]:
    """Version labels as strings: {"stable": 3} gives {"stable": "3"}."""
    for label, version in labels.items():
        if type(version) is not int and not (isinstance(version, str) and version.isdecimal()):
            raise ValueError(f"{label!r} points at {version!r}; expected the number of a version")
    return {label: str(version) for label, version in labels.items()}
