"""The next version from an existing one's SavedModel, with LiteRT files and without training."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import shift

from training.data import Array
from training.store import labels
from training.store.card import CARD, EXTRA, SIGNATURES, checked_card, write_card
from training.store.export import COMPARED, DIGIT, FORMAT, made_with, publish, write_litert
from training.store.views import FILE, write_views

ANEW = ("twin", "litert", "compared", "views", "files")  # what a conversion writes anew
SHIFT = 2  # pixels, either way


def convert(version: Path, images: Array | None = None) -> Path:
    """Write the next version of the model in `version` (MODEL/NUMBER), with the same SavedModel; returns its folder.
    Files are compared on images (n, H, W), or, without any, on mixes of the background's centroids.

    Raises:
        DataError: `version` is none.
        ConversionError: the LiteRT files cannot be had, or do not answer like the SavedModel.
    """
    card = checked_card(version)
    source = "validation images" if images is not None else "mixes and shifts of the centroids"
    chosen = _mixed(_centroids(version)) if images is None else images[:COMPARED]
    quantized = next((file for file in card.get("litert", ()) if "quantized" in file), None)

    def write(aside: Path, number: int) -> None:
        shutil.copytree(version, aside, ignore=shutil.ignore_patterns("*.tflite", CARD, SIGNATURES))
        kept = {name: value for name, value in card.items() if name not in ANEW}
        seen = {"views": f"{EXTRA}/{FILE}"} if write_views(aside / EXTRA, _centroids(version)) else {}
        changed: dict[str, Any] = {
            "format": FORMAT,
            "version": str(number),
            "image": {**DIGIT, **card["image"]},
            **_litert(aside, chosen, source, version, quantized),
            **seen,
            "converted_from": version.name,
            "made_with": made_with(),
        }
        write_card(aside, {**kept, **changed})

    return publish(version.parent, write)


def with_file(version: Path, field: str, path: str, content: str, origin: str) -> Path:
    """Write the next version of the model in the folder MODEL/NUMBER: the same one with a file at `path`, which `field`
    of its card names; `origin` names the version before. It takes over the labels of that; returns its folder.

    Raises:
        DataError: `version` is none, or the labels beside it cannot be read.
    """
    card = checked_card(version)

    def write(aside: Path, number: int) -> None:
        shutil.copytree(version, aside, ignore=shutil.ignore_patterns(CARD, SIGNATURES))
        (aside / path).write_text(content + "\n")
        kept = {name: value for name, value in card.items() if name != "files"}
        write_card(aside, {**kept, "version": str(number), field: path, origin: version.name})

    moved = [name for name, number in labels.all_of(version.parent).items() if number == int(version.name)]
    found_at = publish(version.parent, write)
    for label in moved:
        labels.point(version.parent, label, int(found_at.name))
    return found_at


def _litert(aside: Path, images: Array, source: str, version: Path, quantized: dict[str, Any] | None) -> dict[str, Any]:
    """What the card says of the files, written anew but for a quantised one, which is kept: thresholds and metrics are
    of it, and rounding it again by other images would make another."""
    found = write_litert(aside, images, source)
    if quantized is None:
        return found
    predicting, *others = found["litert"]
    kept = aside / EXTRA / "forward.tflite"
    (aside / predicting["file"]).rename(kept)
    shutil.copy(version / quantized["file"], aside / quantized["file"])
    forward = {**predicting, "file": f"{EXTRA}/{kept.name}", "roles": ["explain"]}
    return {**found, "litert": [quantized, forward, *others]}


def _centroids(version: Path) -> Array:
    with np.load(version / EXTRA / "background.npz", allow_pickle=False) as stored:
        centroids: Array = stored["centroids"]
    return centroids


def _mixed(centroids: Array) -> Array:
    """Images (COMPARED, H, W) like digits: each a mix of two centroids, moved a little, from faint to full ink."""
    random = np.random.default_rng(0)
    first, second = (centroids[random.integers(0, len(centroids), COMPARED)] for _ in range(2))
    share, ink = random.random((COMPARED, 1, 1)), random.uniform(0.5, 1.5, (COMPARED, 1, 1))
    mixed = share * first + (1 - share) * second
    ways = random.integers(-SHIFT, SHIFT + 1, (COMPARED, 2))
    moved = np.stack([shift(image, way, order=1) for image, way in zip(mixed, ways, strict=True)])
    images: Array = np.clip(ink * moved, 0, 1).astype(np.float32)
    return images
