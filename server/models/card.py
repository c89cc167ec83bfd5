"""A version's folder -> its ModelCard, with every file checked against the hash that the card lists.

Must not run the model: a card is read before TensorFlow is imported.
"""

import hashlib
import json
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
FORMAT = 1
UNREADABLE = (OSError, EOFError, BadZipFile, RecursionError, ValueError, KeyError, TypeError, AttributeError)


class BrokenVersion(Exception):
    """A folder that is not a complete, untouched version; the message says what is wrong with it."""


def read_card(folder: Path) -> ModelCard:
    """The card of the version in `folder`.

    Raises:
        BrokenVersion: the card is missing, unreadable or of another format, or a file differs from its hash.
    """
    try:
        text = (folder / CARD).read_bytes()
        stored = json.loads(text)
        if stored.get("format") != FORMAT:
            raise BrokenVersion(f"{folder}: card of format {stored.get('format')!r}; expected {FORMAT}")
        _check_files(folder, stored["files"])
        return _card(stored, "sha256:" + hashlib.sha256(text).hexdigest(), _background(folder))
    except UNREADABLE as error:
        raise BrokenVersion(f"{folder}: {CARD} can not be used ({type(error).__name__}: {error})") from error


def _card(stored: Mapping[str, Any], digest: str, background: Array) -> ModelCard:
    return ModelCard(
        name=stored["name"],
        version=stored["version"],
        digest=digest,
        architecture=stored["architecture"],
        classes=tuple(stored["classes"]),
        image=ImageSpec(stored["image"]["height"], stored["image"]["width"]),
        temperature=float(stored["temperature"]),
        energy_threshold=float(stored["in_distribution"]["threshold"]),
        background=background,
        verbs=frozenset(stored["verbs"]),
        metrics=stored["metrics"],
        training=stored["training"],
    )


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if got != expected:
            raise BrokenVersion(f"{folder}: {name} has SHA-256 {got[:12]}..., its card says {expected[:12]}...")


def _background(folder: Path) -> Array:
    # from memory: np.load leaves the file open when it is broken
    with np.load(BytesIO((folder / BACKGROUND).read_bytes()), allow_pickle=False) as stored:
        centroids: Array = stored["centroids"]
    if centroids.ndim != 3 or not np.isfinite(centroids).all():
        raise BrokenVersion(f"{folder}: background of shape {centroids.shape}; expected finite (m, H, W)")
    return centroids
