"""Which version of a model answers by default: the one that the label `stable` points at, else the latest."""

import json
import os
from pathlib import Path

from training.errors import DataError

LABELS = "labels.json"
STABLE = "stable"


def default_of(family: Path) -> Path | None:
    """The version of the model in this folder that answers by default; None where there is none.

    Raises:
        DataError: labels.json is not what it should be.
    """
    numbers = [int(path.name) for path in family.iterdir() if path.name.isdecimal()] if family.is_dir() else []
    labelled = pointed(family, STABLE)
    number = labelled if labelled in numbers else max(numbers, default=None)
    return None if number is None else family / str(number)


def version_in(store: Path, name: str) -> Path:
    """The version that `name` means: MODEL/NUMBER, MODEL/LABEL, or MODEL for the one that answers by default; or, where
    the store has no such model, the folder of a version or of a model.

    Raises:
        DataError: there is none, or labels.json is not what it should be.
    """
    model, _, which = name.partition("/")
    family, folder = store / model, Path(name).resolve()
    found = None
    if model and model not in (".", "..") and default_of(family) is not None:
        number = int(which) if which.isdecimal() else pointed(family, which) if which else None
        found = default_of(family) if not which else None if number is None else family / str(number)
    elif folder.is_dir():
        found = (None if folder.name.isdecimal() else default_of(folder)) or folder  # what it lacks is said later
    if found is None or not found.is_dir():
        there = sorted(str(path.relative_to(store)) for path in store.glob("*/*") if path.name.isdecimal())
        raise DataError(f"got {name}; {store} has {', '.join(there) or 'no versions'}")
    return found


def pointed(family: Path, label: str) -> int | None:
    """The version that a label points at; None where there is no such label. Raises DataError as `default_of` does."""
    return all_of(family).get(label)


def point(family: Path, label: str, version: int) -> None:
    """Let a label point at a version, at once for everybody who reads the file.

    Raises:
        DataError: labels.json is not what it should be.
    """
    _write(family, {**all_of(family), label: version})


def remove(family: Path, label: str) -> None:
    """Take a label away; there need not be one. Raises DataError as `default_of` does."""
    _write(family, {name: version for name, version in all_of(family).items() if name != label})


def _write(family: Path, labels: dict[str, int]) -> None:
    aside = family / f".{LABELS}.{os.getpid()}.aside"
    aside.write_text(json.dumps(labels, indent=1) + "\n")
    os.replace(aside, family / LABELS)


def all_of(family: Path) -> dict[str, int]:
    """The versions that labels point at. Raises DataError as `default_of` does."""
    path = family / LABELS
    if not path.exists():
        return {}
    try:
        labels = json.loads(path.read_text())
        if isinstance(labels, dict) and all(map(_is_number, labels.values())):
            return {label: int(number) for label, number in labels.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); mend or remove it") from error
    raise DataError(f'{path} is {labels!r:.100}; expected an object such as {{"stable": 3}}')


def _is_number(value: object) -> bool:
    """As the server takes it: 3 or "3"."""
    return type(value) is int or (isinstance(value, str) and value.isdecimal())
