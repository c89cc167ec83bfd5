"""Figures as PNG files by Matplotlib, drawn without a display. Knows no nets."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas

from training.data import Array

DPI = 110
STYLE: Any = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}


@dataclass(frozen=True)
class Figure:
    """A picture with the name of its file, less .png, and what it shows in words, for who does not see it."""

    name: str
    png: bytes
    caption: str


@contextmanager
def canvas(wide: float, tall: float) -> Iterator[tuple[Canvas, io.BytesIO]]:
    """A figure of so many inches, written into the buffer at the end; equal ones give equal bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Canvas(figsize=(wide, tall), layout="constrained")
        yield figure, buffer
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})


def grid(
    name: str, caption: str, pictures: Sequence[Array], titles: Sequence[str], columns: int = 10, signed: bool = False
) -> Figure:
    """Pictures (H, W) in rows, each under its title: ink dark on light, or signed values red for and blue against, each
    picture to its own scale."""
    rows = -(-len(pictures) // columns)
    with canvas(0.95 * columns, 1.15 * rows) as (figure, buffer):
        places = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for place in places:
            place.set_axis_off()
        for place, picture, title in zip(places, pictures, titles, strict=False):
            show(place, picture, signed)
            place.set_title(title)
    return Figure(name, buffer.getvalue(), caption)


def show(place: Any, picture: Array, signed: bool = False) -> None:
    """One picture (H, W) in its place."""
    if signed:
        limit = float(np.abs(picture).max()) or 1.0
        place.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    else:
        place.imshow(picture, cmap="gray_r", interpolation="nearest")
