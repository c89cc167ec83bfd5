"""What `python -m training referee` prints: tables of the trials of a store, of other packages, or of errors."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results import PATH, write_part
from benchmarks.venvs import python_for
from server.inference.trial import tried
from server.models.card import read_card
from training.errors import DataError
from training.referee import errors as calibration
from training.referee.certify import subject_of
from training.referee.packages import CNN_ONLY, PACKAGES, entrants
from training.referee.planted import HELD_OUT
from training.referee.table import held_out_table, table, trial_of, versions_of
from training.referee.trial import DIGITS, PICTURES, Entrants, own, put_on_trial
from training.store.card import checked_card

log = logging.getLogger(__name__)
RESULTS = PATH
ERRORS_OF = 2  # images
SEEDS = 20  # of each


@dataclass(frozen=True)
class Wanted:
    """What of a store is asked for, of which data; `pictures` and `digits` are sizes of a new trial. `load` gives the
    data by its name."""

    store: Path
    data: str
    load: Callable[[str], Any]
    models: Sequence[str] = ()  # none: all
    methods: Sequence[str] = ()  # packages; of errors, methods of ours
    again: bool = False
    pictures: int | None = None
    digits: int | None = None
    errors: bool = False
    held_out: bool = False


def report(wanted: Wanted, results: Path | None = None) -> str:
    """The tables, which are put into their part of the file `results`, too.

    Raises:
        DataError: a model, version, trial or package that is not there or not possible, or options that exclude others.
        TrialError: a sibling does not follow its cause.
    """
    families = _families(wanted.store, wanted.models)
    if wanted.errors:
        part, title, tables = "referee errors", "Errors as they are told", _errors(wanted, families)
    elif wanted.held_out:
        part, title, tables = "referee of kinds held out", "Kinds held out", _held_out(wanted, families)
    elif wanted.methods:
        part, title, tables = "referee of packages", "Packages on trial", _packages(wanted, families)
    else:
        part, title, tables = "referee", "Methods on trial", [_own(wanted, family) for family in families]
    about = f"By `python -m training referee{_options(wanted)}`; [what it means](../docs/referee.md).\n"
    text = "\n".join([f"# {title}\n", about, *tables])
    if results is not None:
        write_part(part, text, results)
    return text


def _options(wanted: Wanted) -> str:
    """As they were given, but for the store and the data."""
    lists = {"models": ",".join(wanted.models), "methods": ",".join(wanted.methods)}
    given = {**lists, "pictures": wanted.pictures, "digits": wanted.digits}
    flags = [f" --{name.replace('_', '-')}" for name in ("again", "errors", "held_out") if getattr(wanted, name)]
    return "".join([*(f" --{name} {value}" for name, value in given.items() if value), *flags])


def _held_out(wanted: Wanted, families: Sequence[Path]) -> list[str]:
    foreign = {"--again": wanted.again, "--methods": wanted.methods, "--digits": wanted.digits}
    if given := [name for name, value in foreign.items() if value]:
        raise DataError(f"--held-out asks what a trial says to believe, and takes no {', '.join(given)}; leave it out")
    tables = []
    for family in families:
        version, trial = _last_trial(family)
        if trial is None:
            raise DataError(
                f"{family} has no version with a trial, so that none of its methods is believed; certify one"
            )
        card = read_card(version)
        believed = tried(card, card.verbs)
        if not believed:
            raise DataError(f"the trial of {version} is of methods as they were; certify it again")
        subject, data = subject_of(version), wanted.load(wanted.data)
        sizes: dict[str, Any] = {"pictures": wanted.pictures or PICTURES, "digits": 0, "kinds": tuple(HELD_OUT)}
        found = put_on_trial(subject, data.train_images, data.test_images, **sizes)
        tables.append(held_out_table(_title(version), believed, found))
    return tables


def _errors(wanted: Wanted, families: Sequence[Path]) -> list[str]:
    of_trials = ("again", "held_out", "pictures", "digits")
    if given := [f"--{name.replace('_', '-')}" for name in of_trials if getattr(wanted, name)]:
        raise DataError(f"--errors is no trial and takes no {', '.join(given)}; leave one of them out")
    there = list(dict.fromkeys(case.method for case in calibration.CASES))
    if unknown := sorted(set(wanted.methods) - set(there)):
        raise DataError(f"got --methods {','.join(unknown)}; of those that tell errors there are {','.join(there)}")
    cases = [case for case in calibration.CASES if case.method in (wanted.methods or there)]
    images = wanted.load(wanted.data).test_images[:ERRORS_OF]
    versions = [versions_of(family)[0] for family in families]
    return [calibration.table(calibration.measure(versions, images, SEEDS, cases))]


def _packages(wanted: Wanted, families: Sequence[Path]) -> list[str]:
    if unknown := sorted(set(wanted.methods) - set(PACKAGES)):
        raise DataError(f"got --methods {','.join(unknown)}; expected some of {','.join(PACKAGES)}")
    tables = []
    for version in (versions_of(family)[0] for family in families):
        if packages := _possible(wanted.methods, version):
            for package in packages:
                python_for(package)  # its environment is made here: the trial's processes would all make it at once
            tables.append(_tried(version, wanted, partial(entrants, packages)))
    if not tables:
        raise DataError(f"{' and '.join(wanted.methods)} can be asked about the CNN only; choose another of --models")
    return tables


def _own(wanted: Wanted, family: Path) -> str:
    version, trial = _last_trial(family)
    if trial is None or wanted.again:
        return _tried(versions_of(family)[0], wanted)
    if wanted.pictures or wanted.digits:
        raise DataError(
            f"{version} has a trial of {trial['pictures']} pictures of a kind; --pictures and --digits are sizes of a "
            "new one: add --again"
        )
    return table(_title(version), trial)


def _last_trial(family: Path) -> tuple[Path, dict[str, Any] | None]:
    """The version of a model whose trial counts, with it: the default, or else the newest one that has a trial; without
    any, the default."""
    tried = ((version, trial_of(version)) for version in versions_of(family))
    return next((one for one in tried if one[1] is not None), (versions_of(family)[0], None))


def _families(store: Path, models: Sequence[str]) -> list[Path]:
    """The folders of these models, or of all, that have a version."""
    there = (
        {one.name: one for one in sorted(store.iterdir()) if one.is_dir() and versions_of(one)}
        if store.is_dir()
        else {}
    )
    if not there:
        raise DataError(f"{store} is no model store with a version")
    if unknown := [name for name in models if name not in there]:
        raise DataError(f"got --models {','.join(unknown)}; {store} has {','.join(there)}")
    return [there[name] for name in models or there]


def _possible(packages: Sequence[str], version: Path) -> tuple[str, ...]:
    """Those of the packages that can explain this version."""
    cnn = checked_card(version)["architecture"] == "cnn"
    if left := [name for name in packages if name in CNN_ONLY and not cnn]:
        log.warning("%s: %s can be asked about the CNN only", version, " and ".join(left))
    return tuple(name for name in packages if cnn or name not in CNN_ONLY)


def _tried(version: Path, wanted: Wanted, who: Entrants = own) -> str:
    """The table of a trial that is held now; nothing is written to the store."""
    subject = subject_of(version)
    log.warning("%s is put on trial, which takes some minutes", version)
    data = wanted.load(wanted.data)
    sizes: dict[str, Any] = {"pictures": wanted.pictures or PICTURES, "digits": wanted.digits or DIGITS}
    trial = put_on_trial(subject, data.train_images, data.test_images, **sizes, entrants=who)
    return table(_title(version), trial)


def _title(version: Path) -> str:
    return f"`{version.parent.name}` version {version.name}"
