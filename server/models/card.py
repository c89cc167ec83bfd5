"""A version's folder -> its ModelCard, with every file checked against the hash that the card lists.

Must not run the model: a card is read before TensorFlow is imported.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from server.types import Array, ImageSpec, ModelCard

CARD = Path("assets.extra", "model_card.json")
BACKGROUND = Path("assets.extra", "background.npz")
TWIN = Path("assets.extra", "model.tflite")
GRAPH = Path("saved_model.pb")
FORMAT = 1
UNREADABLE = (OSError, EOFError, BadZipFile, RecursionError, ValueError, KeyError, TypeError, AttributeError)


class BrokenVersion(Exception):
    """A folder that is not a complete, untouched version; the message says what is wrong with it."""


def read_card(folder: Path) -> ModelCard:
    """The card of the version in `folder`.

    Raises:
        BrokenVersion: the card is missing, unreadable or of another format, or a file differs from its hash or has
            none. The message names no place on this machine.
    """
    try:
        text = (folder / CARD).read_bytes()
        stored = json.loads(text)
        if stored.get("format") != FORMAT:
            raise BrokenVersion(f"{CARD} has format {stored.get('format')!r}; expected {FORMAT}")
        _check_files(folder, stored["files"])
        card = _card(stored, "sha256:" + hashlib.sha256(text).hexdigest(), _background(folder))
    except BrokenVersion:
        raise
    except Exception as error:  # whatever foreign text and packed numbers raise, other versions must go on
        told = str(error).replace(f"{folder}{os.sep}", "")  # where the store lies is nobody's business
        raise BrokenVersion(f"{CARD} can not be used ({type(error).__name__}: {told})") from None
    if card.background.shape[1:] != (card.image.height, card.image.width) or not len(card.background):
        shape = f"(m, {card.image.height}, {card.image.width})"
        raise BrokenVersion(f"{BACKGROUND} has shape {card.background.shape}; expected {shape} as the card says")
    return card


def _card(stored: Mapping[str, Any], digest: str, background: Array) -> ModelCard:
    return ModelCard(
        name=stored["name"],
        version=stored["version"],
        digest=digest,
        architecture=stored["architecture"],
        classes=tuple(stored["classes"]),
        image=ImageSpec(stored["image"]["height"], stored["image"]["width"]),
        temperature=_number("temperature", stored["temperature"], above=0.0),
        energy_threshold=_number("threshold", stored["in_distribution"]["threshold"]),
        background=background,
        verbs=frozenset(stored["verbs"]),
        metrics=stored["metrics"],
        training=stored["training"],
    )


def _number(name: str, value: Any, above: float = -math.inf) -> float:
    number = float(value)
    if not above < number < math.inf:
        raise BrokenVersion(f"{CARD} has {name} {number}; expected a finite number{' above 0' if above == 0 else ''}")
    return number


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if got != expected:
            raise BrokenVersion(f"{name} has SHA-256 {got[:12]}..., its card says {expected[:12]}...")
    for path in (GRAPH, BACKGROUND, TWIN):
        if path.as_posix() not in files and (folder / path).exists():
            raise BrokenVersion(f"{path} has no SHA-256 in its card")


def _background(folder: Path) -> Array:
    # from memory: np.load leaves the file open when it is broken
    with np.load(BytesIO((folder / BACKGROUND).read_bytes()), allow_pickle=False) as stored:
        centroids: Array = stored["centroids"]
    if centroids.ndim != 3 or not np.isfinite(centroids).all():
        raise BrokenVersion(f"{BACKGROUND} has shape {centroids.shape}; expected finite (m, H, W)")
    return centroids
