"""What tests of the service stand on: versions on disk whose models are fakes, and a picture to send to them."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from server.models.card import BACKGROUND, CARD, TWIN
from server.types import ModelCard
from tests.fakes import EVERYTHING, Fake, Linear, make_card

SIDE, CLASSES = 28, 10
GRADIENT = frozenset({"forward", "gradient"})
TOLD = {"metrics": {"accuracy": 0.9}, "training": {"epochs": 1}}


def card_28(name: str = "fake", version: str = "1") -> ModelCard:
    return make_card(name, version, SIDE, classes=CLASSES)


def linear(path: Path, card: ModelCard) -> Fake:
    """A loader: `Linear` with what the card says."""
    return Linear(card, card.verbs)


def write_version(
    root: Path,
    name: str = "fake",
    version: str = "1",
    verbs: frozenset[str] = EVERYTHING,
    twin: bool = True,
    **changes: Any,
) -> Path:
    """A version as an export leaves it, its card last; `changes` replace fields of the card. Returns its folder."""
    card = card_28(name, version)
    folder = root / name / version
    (folder / BACKGROUND).parent.mkdir(parents=True)
    np.savez(folder / BACKGROUND, centroids=card.background)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    if twin:
        (folder / TWIN).write_bytes(b"a twin")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stored = {
        "format": 1,
        "name": name,
        "version": version,
        "architecture": card.architecture,
        "classes": list(card.classes),
        "image": {"height": SIDE, "width": SIDE},
        "verbs": sorted(verbs),
        "temperature": card.temperature,
        "in_distribution": {"threshold": card.energy_threshold},
        **TOLD,
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / CARD).write_text(json.dumps({**stored, **changes}))
    return folder


def write_labels(root: Path, labels: Mapping[str, Any], name: str = "fake") -> None:
    (root / name / "labels.json").write_text(json.dumps(labels))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def draw_seven(side: int = 140) -> Image.Image:
    """L: a dark 7 on white paper."""
    paper = Image.new("L", (side, side), 255)
    stroke = [(side * x, side * y) for x, y in ((0.25, 0.15), (0.75, 0.15), (0.45, 0.85))]
    ImageDraw.Draw(paper).line(stroke, fill=20, width=side // 12)
    return paper


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def form(*bodies: bytes) -> dict[str, Any]:
    """A multipart form with these files, all named `image`."""
    return {"image": [(BytesIO(body), f"{number}.png") for number, body in enumerate(bodies)]}


SEVEN = encoded(draw_seven())
