"""What `python -m training referee` prints: tables of the trials of a store, of other packages, or of errors."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from training.data import DataError
from training.next_version import checked_card
from training.referee import errors as calibration
from training.referee.certify import subject_of
from training.referee.packages import CNN_ONLY, PACKAGES, entrants
from training.referee.table import latest, table, trial_of
from training.referee.trial import DIGITS, PICTURES, Entrants, own, put_on_trial

log = logging.getLogger(__name__)
ERRORS_OF = 2  # images
SEEDS = 20  # of each


def report(store: Path, data: str, models: Sequence[str], methods: Sequence[str], again: bool, pictures: int | None,
           digits: int | None, errors: bool, load: Callable[[str], Any]) -> tuple[str, str]:  # fmt: skip
    """The part of benchmarks/RESULTS.md that is asked for, and its text. `load` gives the data of a name.

    Raises:
        DataError: a model, version, trial or package that is not there or not possible, or options that exclude others.
        ValueError: a sibling does not follow its cause.
    """
    families = _families(store, models)
    if errors:
        if given := [name for name, value in _of_a_trial(methods, again, pictures, digits).items() if value]:
            raise DataError(f"--errors is no trial and takes no {', '.join(given)}; leave one of them out")
        versions = [latest(family)[0] for family in families]
        rows = calibration.measure(versions, load(data).test_images[:ERRORS_OF], SEEDS)
        return "referee errors", _page("Errors as they are told", ["--errors"], [calibration.table(rows)])
    if unknown := sorted(set(methods) - set(PACKAGES)):
        raise DataError(f"got --methods {','.join(unknown)}; expected some of {','.join(PACKAGES)}")
    sizes: dict[str, Any] = {"pictures": pictures or PICTURES, "digits": digits or DIGITS}
    if methods:
        chosen = [(latest(family)[0], _possible(methods, latest(family)[0])) for family in families]
        tables = [
            _tried(version, load(data), sizes, partial(entrants, packages)) for version, packages in chosen if packages
        ]
        return "referee of packages", _page("Packages on trial", [f"--methods {','.join(methods)}"], tables)
    tables = []
    for family in families:
        version, trial = _newest_trial(family)
        if trial is None or again:
            version = latest(family)[0]
            log.warning("%s is put on trial, which takes some minutes; nothing is written to the store", version)
            tables.append(_tried(version, load(data), sizes))
        elif pictures or digits:
            raise DataError(f"{version} has a trial of {trial['pictures']} pictures; with --again, another one is held")
        else:
            tables.append(table(_title(version), trial))
    return "referee", _page("Methods on trial", [], tables)


def _of_a_trial(methods: Sequence[str], again: bool, pictures: int | None, digits: int | None) -> dict[str, Any]:
    return {"--methods": methods, "--again": again, "--pictures": pictures, "--digits": digits}


def _families(store: Path, models: Sequence[str]) -> list[Path]:
    """The folders of these models, or of all, that have a version."""
    there = {one.name: one for one in sorted(store.iterdir()) if one.is_dir() and latest(one)} if store.is_dir() else {}
    if not there:
        raise DataError(f"{store} is no model store with a version")
    if unknown := [name for name in models if name not in there]:
        raise DataError(f"got --models {','.join(unknown)}; {store} has {','.join(there)}")
    return [there[name] for name in models or there]


def _newest_trial(family: Path) -> tuple[Path, dict[str, Any] | None]:
    """The latest version with a trial, and that; else the latest version, and None."""
    for version in latest(family):
        if (trial := trial_of(version)) is not None:
            return version, trial
    return latest(family)[0], None


def _possible(packages: Sequence[str], version: Path) -> tuple[str, ...]:
    """Those of the packages that can explain this version."""
    cnn = checked_card(version)["architecture"] == "cnn"
    if left := [name for name in packages if name in CNN_ONLY and not cnn]:
        log.warning("%s: %s can be asked about the CNN only", version, " and ".join(left))
    return tuple(name for name in packages if cnn or name not in CNN_ONLY)


def _tried(version: Path, data: Any, sizes: dict[str, Any], who: Entrants = own) -> str:
    trial = put_on_trial(subject_of(version), data.train_images, data.test_images, entrants=who, **sizes)
    return table(_title(version), trial)


def _title(version: Path) -> str:
    return f"`{version.parent.name}` version {version.name}"


def _page(title: str, options: Sequence[str], tables: Sequence[str]) -> str:
    command = " ".join(["python -m training referee", *options, "--write"])
    return "\n".join([f"# {title}\n", f"Written by `{command}`; [what it means](../docs/referee.md).\n", *tables])
