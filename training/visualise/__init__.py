"""See what a stored version has learned: figures in a folder, and one page of HTML that holds them all.

It shows test images: share the folder only where you may share those.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.models.card import BrokenVersion
from server.types import Array, Model
from training.data import Dataset
from training.errors import DataError
from training.quiet import muted
from training.referee.versions import opened
from training.visualise import embedding, layers, maps, mistakes, preferred, reliability
from training.visualise.figures import Figure
from training.visualise.page import Section, page

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What is looked at: a version, its model, and test images (n, H, W) with labels (n,) and the version's logits."""

    version: Path
    model: Model
    images: Array
    labels: Array
    logits: Array
    seed: int


@dataclass(frozen=True)
class Part:
    """One part of the page: what it is called, what it says, and what draws it."""

    title: str
    about: str
    draw: Callable[["Subject"], list[Figure]]


PARTS = (
    Part("Confusion and reliability", reliability.ABOUT, lambda of: reliability.draw(of.model, of.logits, of.labels)),
    Part(
        "Worst mistakes",
        mistakes.ABOUT,
        lambda of: mistakes.draw(of.model, of.images, of.labels, of.logits, of.seed),
    ),
    Part("Where digits lie", embedding.ABOUT, lambda of: embedding.draw(of.model, of.images, of.labels, of.seed)),
    Part("What classes want to see", preferred.ABOUT, lambda of: preferred.draw(of.model, of.version, of.seed)),
    Part("Through the layers", layers.ABOUT, lambda of: layers.draw(of.version, of.images, of.labels)),
    Part("Maps by class", maps.ABOUT, lambda of: maps.draw(of.model, of.images, of.labels, of.seed)),
)


def visualise(version: Path, data: Dataset, folder: Path, digits: int, seed: int, tell: Tell = print) -> Path:
    """Draw all parts of a stored version for so many of the test images; returns the page, which is written last.

    Raises:
        DataError: the version cannot be opened.
    """
    images, labels = data.test_images[:digits], data.test_labels[:digits]
    try:
        with muted():
            model = opened(version)
            subject = Subject(version, model, images, labels, model.forward(images), seed)
    except BrokenVersion as error:
        raise DataError(f"{version} cannot be opened: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for part in PARTS:
        tell(part.title)
        figures = part.draw(subject)
        for figure in figures:
            (folder / f"{figure.name}.png").write_bytes(figure.png)
        sections.append(Section(part.title, part.about, figures))
    place = folder / "index.html"
    name = f"{model.card.name}, version {model.card.version}"
    place.write_text(page(name, f"{len(images):,} test images of {Path(data.name).name}", sections))
    return place
