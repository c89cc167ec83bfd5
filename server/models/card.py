"""Reads the card of a version, and checks every file against the hash that the card lists.

Must not run the model: a card is read before TensorFlow is imported.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from server.models.reference import parse_reference
from server.models.trial import parse_trial
from server.types import (
    Array,
    ConformalScores,
    ImageSpec,
    LiteRTFile,
    ModelCard,
    Quantization,
    Reference,
    Role,
    Trial,
    Views,
)

if TYPE_CHECKING:
    from server.models.trust import Trust

CARD = Path("assets.extra", "model_card.json")
SIGNATURES = Path("assets.extra", "signatures")  # a file KEY.sig for each key that signed the card
BACKGROUND = Path("assets.extra", "background.npz")
TWIN = Path("assets.extra", "model.tflite")
GRAPH = Path("saved_model.pb")
FORMATS = (1, 2)
VERBS = ("forward", "gradient", "features")
MOST_SIGNATURE = 1024  # bytes that are read of one
MOST_ROWS = 1024  # of one call; each function is tried when its version is opened
ROLES: frozenset[Role] = frozenset({"predict", "explain"})
LEAST_SAME = 0.995  # of the labels that a quantised file gives are the SavedModel's
TWIN_MEMORY = 32 << 20  # bytes; cards of format 1 do not say it, and an unrolled net's took half
UNREADABLE = (OSError, EOFError, BadZipFile, RecursionError, ValueError, KeyError, TypeError, AttributeError)


class BrokenVersion(Exception):
    """A folder that is not a complete, untouched version; the message says what is wrong with it."""


def read_card(folder: Path, trust: "Trust | None" = None) -> ModelCard:
    """The card of the version in `folder`; with `trust`, one that a trusted key has signed.

    Raises:
        BrokenVersion: the card is missing, unreadable, of another format or not signed, or a file differs from its hash
            or has none. The message names no place on this machine.
    """
    try:
        text = (folder / CARD).read_bytes()
        if trust is not None:
            _check_signed(folder, text, trust)
        stored = json.loads(text)
        json.dumps(stored, ensure_ascii=False).encode()  # fails for half a surrogate pair, which is no text
        if stored.get("format") not in FORMATS:
            raise BrokenVersion(f"{CARD} has format {stored.get('format')!r}; expected {FORMATS[0]} or {FORMATS[1]}")
        _check_files(folder, stored["files"], complete=trust is not None)
        card = _card(stored, "sha256:" + hashlib.sha256(text).hexdigest(), folder)
    except BrokenVersion:
        raise
    except Exception as error:  # foreign files may raise anything; other versions must go on
        message = str(error).replace(f"{folder}{os.sep}", "")  # the message must not reveal where the store lies
        raise BrokenVersion(f"{CARD} cannot be used ({type(error).__name__}: {message})") from None
    if card.background.shape[1:] != (card.image.height, card.image.width) or not len(card.background):
        shape = f"(m, {card.image.height}, {card.image.width})"
        raise BrokenVersion(f"{BACKGROUND} has shape {card.background.shape}; expected {shape} as the card says")
    return card


def _card(stored: Mapping[str, Any], digest: str, folder: Path) -> ModelCard:
    background = _background(folder)
    return ModelCard(
        name=stored["name"],
        version=stored["version"],
        digest=digest,
        architecture=stored["architecture"],
        classes=tuple(stored["classes"]),
        image=_image(stored["image"]),
        temperature=_number("temperature", stored["temperature"], above=0.0),
        energy_threshold=_number("threshold", stored["in_distribution"]["threshold"]),
        background=background,
        verbs=frozenset(stored["verbs"]),
        litert=_twin(folder)
        if stored["format"] == 1
        else tuple(_litert(one, stored["files"]) for one in stored["litert"]),
        metrics=stored["metrics"],
        training=stored["training"],
        trial=_trial(folder, stored),
        conformal=_conformal(stored.get("prediction_sets")),
        views=_views(folder, stored, len(background)),
        reference=_reference(folder, stored),
    )


def _conformal(stored: Mapping[str, Any] | None) -> ConformalScores | None:
    if stored is None:
        return None
    n, lowest = stored["n"], tuple(float(value) for value in stored["lowest"])
    ascending = all(0 <= one <= other <= 1 for one, other in zip(lowest, (*lowest[1:], 1.0), strict=True))
    if type(n) is not int or not 0 < len(lowest) <= n or not ascending:
        raise BrokenVersion(
            f"{CARD} has prediction_sets of {n!r} digits with {len(lowest)} probabilities; expected some of them, in "
            "ascending order from 0 to 1"
        )
    return ConformalScores(n, lowest)


def _image(stored: Mapping[str, Any]) -> ImageSpec:
    """Cards of format 1 say no more than the size."""
    preprocessing, low_high = stored.get("preprocessing", "digit"), stored.get("range", [0, 1])
    if preprocessing not in ("digit", "resize"):
        raise BrokenVersion(f"{CARD} has preprocessing {preprocessing!r}; expected digit or resize")
    if low_high != [0, 1]:
        raise BrokenVersion(f"{CARD} has the range {low_high!r}; expected [0, 1], 0 = paper and 1 = ink")
    return ImageSpec(stored["height"], stored["width"], preprocessing)


def _twin(folder: Path) -> tuple[LiteRTFile, ...]:
    """What format 1 knows: one forward, which was compared as closely as those of today."""
    if not (folder / TWIN).is_file():
        return ()
    return (LiteRTFile(TWIN.as_posix(), ROLES, {"forward": (1,)}, TWIN_MEMORY),)


def _litert(stored: Mapping[str, Any], files: Mapping[str, str]) -> LiteRTFile:
    path, rows, memory = stored["file"], stored["rows"], stored["memory_bytes"]
    if path not in files:
        raise BrokenVersion(f"{path} has no SHA-256 in its card")
    if not (roles := frozenset(stored["roles"])) or not roles <= ROLES:
        raise BrokenVersion(f"{path} has the roles {stored['roles']!r}; expected some of {', '.join(sorted(ROLES))}")
    numbers = [number for several in rows.values() for number in several]
    known = bool(rows) and set(rows) <= set(VERBS) and all(type(one) is int and 0 < one <= MOST_ROWS for one in numbers)
    if not known or type(memory) is not int or memory <= 0:
        raise BrokenVersion(
            f"{path} has rows {rows!r} and memory_bytes {memory!r}; expected numbers of rows, at most {MOST_ROWS}, for "
            f"some of {', '.join(VERBS)}, and bytes"
        )
    quantized = _quantized(path, roles, stored.get("quantized"))
    return LiteRTFile(path, roles, {verb: tuple(sorted(several)) for verb, several in rows.items()}, memory, quantized)


def _quantized(path: str, roles: frozenset[Role], stored: Mapping[str, Any] | None) -> Quantization | None:
    if stored is None:
        return None
    found = Quantization(
        str(stored["scheme"]),
        stored["images"],
        _number("same_labels", stored["same_labels"]),
        _number("max_error", stored["max_error"]),
    )
    if roles != {"predict"} or type(found.images) is not int or found.images <= 0:
        raise BrokenVersion(f"{path} is quantized {stored!r:.200}; expected the one role predict, and images above 0")
    if not LEAST_SAME <= found.same_labels <= 1 or found.max_error < 0:
        raise BrokenVersion(
            f"{path} gives {found.same_labels:g} of {found.images} images the label that the SavedModel gives, and "
            f"logits that differ by {found.max_error:g}; expected at least {LEAST_SAME:g}, and no less than 0"
        )
    return found


def _trial(folder: Path, stored: Mapping[str, Any]) -> Trial | None:
    path = stored.get("trial")
    if path is None:
        return None
    if not isinstance(path, str) or path not in stored["files"]:
        raise BrokenVersion(f"{CARD} has the trial {path!r:.100}, which has no SHA-256 in its card")
    try:
        return parse_trial((folder / path).read_bytes())
    except ValueError as error:
        raise BrokenVersion(f"{path} {error}") from None


def _reference(folder: Path, stored: Mapping[str, Any]) -> Reference | None:
    path = stored.get("reference")
    if path is None:
        return None
    if not isinstance(path, str) or path not in stored["files"]:
        raise BrokenVersion(f"{CARD} has the reference {path!r:.100}, which has no SHA-256 in its card")
    try:
        return parse_reference((folder / path).read_bytes(), len(stored["classes"]))
    except ValueError as error:
        raise BrokenVersion(f"{path} {error}") from None


def _views(folder: Path, stored: Mapping[str, Any], count: int) -> Views | None:
    """Of so many centroids."""
    path = stored.get("views")
    if path is None:
        return None
    if not isinstance(path, str) or path not in stored["files"]:
        raise BrokenVersion(f"{CARD} has the views {path!r:.100}, which has no SHA-256 in its card")
    with np.load(BytesIO((folder / path).read_bytes()), allow_pickle=False) as arrays:
        floats = {name: arrays[name].astype(np.float64) for name in ("positions", "embeddings", "prototypes")}
        found = Views(classes=arrays["classes"].astype(np.int64), **floats)
    image, classes = stored["image"], len(stored["classes"])
    fits = (
        found.positions.shape == (count, 2)
        and found.classes.shape == (count,)
        and found.embeddings.ndim == 2
        and len(found.embeddings) == count
        and found.prototypes.shape == (classes, image["height"], image["width"])
    )
    if not fits or not all(np.isfinite(part).all() for part in vars(found).values()):
        shapes = {name: part.shape for name, part in vars(found).items()}
        raise BrokenVersion(f"{path} has {shapes}; expected finite numbers for {count} centroids and all classes")
    if found.classes.min() < 0 or found.classes.max() >= classes:
        raise BrokenVersion(f"{path} has classes beyond the {classes} of the card")
    return found


def _number(name: str, value: Any, above: float = -math.inf) -> float:
    number = float(value)
    if not above < number < math.inf:
        raise BrokenVersion(f"{CARD} has {name} {number}; expected a finite number{' above 0' if above == 0 else ''}")
    return number


def _check_signed(folder: Path, card: bytes, trust: "Trust") -> None:
    found = {path.stem: path.read_bytes()[:MOST_SIGNATURE] for path in (folder / SIGNATURES).glob("*.sig")}
    try:
        trust.check_card(card, found)
    except ValueError as error:
        raise BrokenVersion(str(error)) from None


def _check_files(folder: Path, files: Mapping[str, str], complete: bool) -> None:
    """Check the hashes of all files that the card lists; where that is to be `complete`, there must be no others."""
    for name, expected in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BrokenVersion(f"{name} is listed in the card, but lies outside of the version's folder")
        got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if got != expected:
            raise BrokenVersion(f"{name} has SHA-256 {got[:12]}..., its card says {expected[:12]}...")
    for path in _files_in(folder) if complete else (GRAPH, BACKGROUND, TWIN):
        if path.as_posix() not in files and (folder / path).exists():
            raise BrokenVersion(f"{path} has no SHA-256 in its card")


def _files_in(folder: Path) -> set[Path]:
    """All but the card and its signatures."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    return {path for path in found if path != CARD and path.parent != SIGNATURES}


def _background(folder: Path) -> Array:
    # from memory: np.load leaves the file open when it is broken
    with np.load(BytesIO((folder / BACKGROUND).read_bytes()), allow_pickle=False) as stored:
        centroids: Array = stored["centroids"]
    if centroids.ndim != 3 or not np.isfinite(centroids).all():
        raise BrokenVersion(f"{BACKGROUND} has shape {centroids.shape}; expected finite (m, H, W)")
    return centroids
