"""Writes the next version of a model: the same net, with its trial beside it.

A version is never changed, so what is found of it later becomes part of the next one, whose card names the file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data import Array
from training.errors import DataError
from training.referee.planted import SIDE
from training.referee.trial import Subject, put_on_trial
from training.store.card import CARD, EXTRA, checked_card
from training.store.next_version import with_file

FORMAT = 1  # of the trial
TRIAL = f"{EXTRA}/trial.json"
ARCHITECTURES = ("mlp", "cnn", "lstm")  # of architectures.py, which imports Keras: siblings are made elsewhere


def certify(version: Path, train: Array, test: Array, **sizes: Any) -> Path:
    """Put the version in the folder MODEL/NUMBER on trial, on images (n, 28, 28), and write the next version with the
    result; returns its folder. `sizes` are those of `put_on_trial`.

    Raises:
        DataError: `version` is none, is of another architecture than training's, or takes other images.
        TrialError: a sibling does not follow its cause.
    """
    return with_trial(version, put_on_trial(subject_of(version), train, test, **sizes))


def with_trial(version: Path, found: Mapping[str, Any]) -> Path:
    """Write the next version of the model in the folder MODEL/NUMBER: the same one with what a trial found, which
    takes over the labels that the other had; returns its folder.

    Raises:
        DataError: `version` is none, or the labels beside it cannot be read.
    """
    checked_card(version)
    digest = hashlib.sha256((version / EXTRA / CARD).read_bytes()).hexdigest()
    trial = {"format": FORMAT, "of": f"sha256:{digest}", **found}
    return with_file(version, "trial", TRIAL, json.dumps(trial, indent=1), "certified_from")


def subject_of(version: Path) -> Subject:
    """The version in the folder MODEL/NUMBER as what can be put on trial.

    Raises:
        DataError: `version` is none, is of another architecture than training's, or takes other images.
    """
    card = checked_card(version)
    if card["architecture"] not in ARCHITECTURES or (card["image"]["height"], card["image"]["width"]) != (SIDE, SIDE):
        raise DataError(
            f"{version} is a {card['architecture']} of {card['image']['height']} x {card['image']['width']}; siblings "
            f"can be made of {', '.join(ARCHITECTURES)} of {SIDE} x {SIDE}"
        )
    return Subject(version, card["architecture"], card["options"])
