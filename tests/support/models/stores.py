"""What tests of the service stand on: versions on disk whose models are fakes, and a picture to send to them."""

import hashlib
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.store import shipped
from server.models.card import BACKGROUND, CARD, TWIN
from server.models.loading import Loading
from server.models.repository.shared_state import SharedState
from server.models.repository.store import Action, LoadedModel, LoadSavedModel, LoadTwin, Store
from server.models.repository.version_policy import VersionPolicy
from server.types import REFERENCE_BOUNDS, Model, ModelCard
from tests.support.models.fakes import EVERYTHING, Fake, Linear, make_card

if TYPE_CHECKING:
    from server.models.trust import Trust

SHIPPED = Path(__file__).parent.parent.parent.parent / "model_store"
SIDE, CLASSES = 28, 10
GRADIENT = frozenset({"forward", "gradient"})
TRIAL = Path("assets.extra", "trial.json")
REASONS = {"metrics": {"accuracy": 0.9}, "training": {"epochs": 1}}


def card_28(name: str = "fake", version: str = "1") -> ModelCard:
    return make_card(name, version, SIDE, classes=CLASSES)


def linear(path: Path, card: ModelCard) -> Fake:
    """A loader: `Linear` with what the card says."""
    return Linear(card, card.verbs)


LoadAny = Callable[[Path, ModelCard], "Model | LoadedModel"]


def as_loaded(load: LoadAny) -> LoadSavedModel:
    """A loader of SavedModels from one that gives no more than a model."""

    def full(folder: Path, card: ModelCard) -> LoadedModel:
        found = load(folder, card)
        return found if isinstance(found, LoadedModel) else LoadedModel(found)

    return full


def make_store(
    root: Path,
    load_twin: LoadTwin = linear,
    load_savedmodel: LoadAny = linear,
    policy: str = "all",
    now: Callable[[], float] = time.monotonic,
    wait: bool = True,
    explains: bool = True,
    trust: "Trust | None" = None,
    on_request: Callable[[str, Action], None] = lambda name, action: None,
) -> Store:
    """One worker's store, which polls on command only; stores over one root are the workers of one server. Returned
    when loading is done, unless `wait` is False."""
    loading = Loading(load_twin, as_loaded(load_savedmodel), explains=explains, trust=trust)
    store = Store(root, loading, SharedState(root / ".run", now), VersionPolicy.parse(policy), on_request)
    if wait:
        loaded()
    return store


def loaded() -> None:
    """Wait until every background loader is done."""
    for thread in threading.enumerate():
        if thread.name == "load-models":
            thread.join(60)  # TensorFlow takes its time on a busy machine
            assert not thread.is_alive()


def poll_all(*stores: Store) -> None:
    """Let each look twice in turn, and load what it wants: after that all know of each other what there is to know."""
    for store in 2 * stores:
        store.poll()
        loaded()
    for store in stores:
        store.poll()


VIEWS = Path("assets.extra", "views.npz")


def write_version(
    root: Path,
    name: str = "fake",
    version: str = "1",
    verbs: frozenset[str] = EVERYTHING,
    twin: bool = True,
    trial: Any = None,
    **changes: Any,
) -> Path:
    """A version as an export leaves it, its card last, and with a trial where one is given; `changes` replace fields of
    the card. Returns its folder."""
    card = card_28(name, version)
    folder = root / name / version
    (folder / BACKGROUND).parent.mkdir(parents=True)
    np.savez(folder / BACKGROUND, centroids=card.background)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    if twin:
        (folder / TWIN).write_bytes(b"a twin")
    if trial is not None:
        (folder / TRIAL).write_text(json.dumps(trial))
        changes = {"trial": TRIAL.as_posix(), **changes}
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
        **REASONS,
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / CARD).write_text(json.dumps({**stored, **changes}))
    return folder


def add_views(folder: Path, **changes: Any) -> Path:
    """The version in this folder with a map: centroids on a circle, of all classes by turns; `changes` replace arrays
    of it."""
    with np.load(folder / BACKGROUND) as stored:
        shape = stored["centroids"].shape
    turns, random = np.linspace(0, 2 * np.pi, shape[0], endpoint=False), np.random.default_rng(0)
    views: dict[str, Any] = {
        "positions": 0.5 + 0.5 * np.stack([np.cos(turns), np.sin(turns)], axis=1),
        "classes": np.arange(shape[0]) % 10,
        "embeddings": random.normal(size=(shape[0], 4)),
        "prototypes": random.random((10, *shape[1:])),
    }
    np.savez_compressed(folder / VIEWS, **(views | changes))
    card = json.loads((folder / CARD).read_text())
    card["files"][VIEWS.as_posix()] = sha256(folder / VIEWS)
    (folder / CARD).write_text(json.dumps({**card, "views": VIEWS.as_posix()}))
    return folder


def add_reference(folder: Path, **changes: Any) -> Path:
    """The version in this folder with what is usual for it: everything alike; `changes` replace fields of it."""
    path, bins = folder / "assets.extra" / "reference.json", len(REFERENCE_BOUNDS) + 1
    stored: dict[str, Any] = {
        "format": 1,
        "images": 100,
        "classes": [1 / CLASSES] * CLASSES,
        "confidence": [1 / bins] * bins,
        "out_of_distribution": 0.01,
        "evidence": {"method": "shapley", "cells": [[1 / 16] * 16] * CLASSES},
    }
    path.write_text(json.dumps({**stored, **changes}))
    card = json.loads((folder / CARD).read_text())
    card["files"]["assets.extra/reference.json"] = sha256(path)
    (folder / CARD).write_text(json.dumps({**card, "reference": "assets.extra/reference.json"}))
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


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip with these files."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, body in files.items():
            opened.writestr(name, body)
    return archive.getvalue()


def form(*bodies: bytes) -> dict[str, Any]:
    """A multipart form with these files, all named `image`."""
    return {"image": [(BytesIO(body), f"{number}.png") for number, body in enumerate(bodies)]}


SEVEN = encoded(draw_seven())


def copy_version(root: Path, number: int, name: str = "mlp", source: Path | None = None) -> Path:
    """A version under another number, by default the shipped one, as an export leaves it: made aside, and renamed when
    it is whole."""
    aside, folder = root / name / f".{number}.aside", root / name / str(number)
    shutil.copytree(source or shipped(name), aside)
    card = json.loads((aside / CARD).read_text())
    (aside / CARD).write_text(json.dumps({**card, "version": str(number)}))
    return aside.rename(folder)


def add_trial(folder: Path, trial: Any) -> None:
    """Put a trial into a version that nobody serves yet."""
    (folder / TRIAL).write_text(json.dumps(trial))
    card = json.loads((folder / CARD).read_text())
    files = {**card["files"], TRIAL.as_posix(): sha256(folder / TRIAL)}
    (folder / CARD).write_text(json.dumps({**card, "files": files, "trial": TRIAL.as_posix()}))


def drop_trial(folder: Path) -> None:
    """Make a version that nobody serves yet one without a trial."""
    card = json.loads((folder / CARD).read_text())
    del card["trial"]
    (folder / CARD).write_text(json.dumps(card))


def point(root: Path, labels: Mapping[str, Any], name: str = "mlp") -> None:
    """Move labels at once, as a careful operator does."""
    aside = root / name / ".labels.aside"
    aside.write_text(json.dumps(labels))
    aside.rename(root / name / "labels.json")
