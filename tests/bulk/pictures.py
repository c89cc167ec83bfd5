"""Pictures for bulk runs, drawn or made of what the shipped nets have of their training data."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from server.types import Array
from tests.support.models.stores import SHIPPED, encoded

BACKGROUND = SHIPPED / "mlp" / "8" / "assets.extra" / "background.npz"


def digits(count: int) -> Array:
    """(count, 28, 28) uint8: means of digits, each moved by up to two pixels, so that no two are alike."""
    with np.load(BACKGROUND) as stored:
        means = stored[stored.files[0]]
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    found = [np.roll(means[at % len(means)], moves[at // len(means) % len(moves)], (0, 1)) for at in range(count)]
    return np.rint(np.clip(found, 0, 1) * 255).astype(np.uint8)


def as_png(digit: Array) -> bytes:
    """Dark on white and larger, as somebody would send it."""
    return encoded(Image.fromarray(255 - np.kron(digit, np.ones((4, 4), np.uint8))))


def write_npz(path: Path, **arrays: Array) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def npz_bytes(**arrays: Array) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def rows_in(out: Path) -> pa.Table:
    """All rows of a run."""
    return parquet.read_table(out / "data")
