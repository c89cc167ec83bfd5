"""Which version of a model answers by default: the one that the label `stable` points at, else the latest.

Labels are in labels.json or, where labels/ has numbered ones, in the greatest of those; whichever is there is written.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import DataError

if TYPE_CHECKING:
    from training.store.signing import PrivateKey

LABELS = "labels.json"
NUMBERED, FILE = "labels", re.compile(r"(\d{6,12})\.json")  # the folder, and what is in it
LAST = 10**12 - 1
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


def point(family: Path, label: str, version: int | None, key: "PrivateKey | None" = None, adopt: bool = False) -> None:
    """Let a label point at a version, at once for everybody who reads the file; None takes it away. With a key, the
    labels are numbered and signed; `adopt` takes over those that it did not sign.

    Raises:
        DataError: they are not what they should be; they were signed, and there is no key; or there is one, and it did
            not sign what is there.
    """
    before, number = all_of(family), greatest(family)
    labels = moved(before, label, version)
    if number is None and key is None:
        _write(family, labels)
        return
    from training.store.signing import check_base, numbered_labels

    stored = None if number is None else (family / NUMBERED / f"{number:06}.json").read_bytes()
    check_base(family.name, before, stored, key, adopt)
    number = (number or 0) + 1
    content = numbered_labels(family.name, number, labels, key)
    (family / NUMBERED).mkdir(exist_ok=True)
    path = family / NUMBERED / f"{number:06}.json"
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    try:
        os.link(aside, path)  # whole or not at all, and only the first comes through
    except FileExistsError as error:
        raise DataError(f"somebody else has just moved a label of {family.name}; try again") from error
    finally:
        aside.unlink()


def checked_name(label: str) -> str:
    """The name of a label. Raises DataError for what cannot be one."""
    if label.isdecimal() or "/" in label or not label:
        raise DataError(f"got the label {label!r}; expected a word: numbers are versions, and / is between")
    return label


def moved(labels: Mapping[str, int], label: str, version: int | None) -> dict[str, int]:
    """The labels with one of them pointing at a version, or taken away."""
    others = {name: number for name, number in labels.items() if name != label}
    return others if version is None else {**others, label: version}


def greatest(family: Path) -> int | None:
    """The number of the numbered labels that count; None where there are none."""
    folder = family / NUMBERED
    return greatest_of(path.name for path in folder.iterdir()) if folder.is_dir() else None


def greatest_of(names: Iterable[str]) -> int | None:
    """The greatest number of files of labels. Raises DataError where there is none beyond it."""
    found = (int(match[1]) for name in names if (match := FILE.fullmatch(name)) and name == f"{int(match[1]):06}.json")
    number = max(found, default=None)
    if number is not None and number >= LAST:
        raise DataError(
            f"labels {number} leave no number for the next ones; remove that file if nobody wrote it on purpose"
        )
    return number


def _write(family: Path, labels: dict[str, int]) -> None:
    aside = family / f".{LABELS}.{os.getpid()}.aside"
    aside.write_text(json.dumps(labels, indent=1) + "\n")
    os.replace(aside, family / LABELS)


def all_of(family: Path) -> dict[str, int]:
    """The versions that labels point at. Raises DataError as `default_of` does."""
    number = greatest(family)
    path = family / LABELS if number is None else family / NUMBERED / f"{number:06}.json"
    if not path.exists():
        return {}
    try:
        labels = json.loads(path.read_text())
        labels = labels if number is None or not isinstance(labels, dict) else labels.get("labels")
        if isinstance(labels, dict) and all(map(_is_number, labels.values())):
            return {label: int(number) for label, number in labels.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); mend or remove it") from error
    raise DataError(f'{path} is {labels!r:.100}; expected an object such as {{"stable": 3}}')


def _is_number(value: object) -> bool:
    """As the server takes it: 3 or "3"."""
    return type(value) is int or (isinstance(value, str) and value.isdecimal())
