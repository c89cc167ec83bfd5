"""model_store/ -> handles: which versions there are, which one answers, and whether it can already explain.

Takes the functions that load a twin and a SavedModel, so that it imports neither LiteRT nor TensorFlow.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from server.errors import NotReady, UnknownModel
from server.handles import LaneName
from server.models.card import TWIN, UNREADABLE, BrokenVersion, read_card
from server.types import Model, ModelCard, Verb

log = logging.getLogger(__name__)

LoadModel = Callable[[Path, ModelCard], Model]
STABLE = "stable"


@dataclass
class Version:
    """One version and what of it is loaded; `failure` says why its SavedModel is not and will not be."""

    card: ModelCard
    folder: Path
    twin: Model | None = None
    full: Model | None = None
    failure: str | None = None

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.card.verbs if self.full is None else self.full.verbs

    @property
    def explain(self) -> Literal["ready", "loading", "off"]:
        """Whether this version can explain: now, shortly, or never."""
        return "ready" if self.full is not None else "loading" if self.failure is None else "off"

    def lane(self, name: LaneName) -> Model:
        """The twin for predictions where there is one; the SavedModel for everything else.

        Raises:
            NotReady: the SavedModel is still loading, or could not be loaded.
        """
        if name == "predict" and self.twin is not None:
            return self.twin
        if self.full is not None:
            return self.full
        which = f"{self.card.name} version {self.card.version}"
        if self.failure is not None:
            raise NotReady(f"{which} can not {name}: {self.failure}", retry_after=60)
        raise NotReady(f"{which} is loading and will {name} in a few seconds; try again")


@dataclass
class Family:
    """The versions of one name, and the labels that point at them."""

    versions: dict[str, Version] = field(default_factory=dict)  # ascending
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def default(self) -> str:
        """The label `stable` where it points at a version, else the latest."""
        stable = self.labels.get(STABLE)
        return stable if stable in self.versions else list(self.versions)[-1]

    @property
    def served(self) -> Version:
        """The default version."""
        return self.versions[self.default]


class Store:
    """All usable versions under `root`; a broken one is logged and left out."""

    def __init__(self, root: Path, load_twin: LoadModel) -> None:
        self.families = {name: family for name, family in _families(root, load_twin) if family.versions}

    @contextmanager
    def handle(self, name: str, version: str | None = None) -> Iterator[Version]:
        """One version, kept for the length of one request; `version` is a number, a label, or None for the default.

        Raises:
            UnknownModel: no such name, version or label; the message lists those that there are.
        """
        family = self.families.get(name)
        if family is None:
            known = ", ".join(sorted(self.families)) or "none"
            raise UnknownModel(f"unknown model {name!r}; this server has {known}")
        number = family.default if version is None else version
        if number not in family.versions:
            number = family.labels.get(number, number)
        if number not in family.versions:
            known = ", ".join([*family.versions, *(one for one, to in family.labels.items() if to in family.versions)])
            raise UnknownModel(f"{name} has no version or label {version!r}; it has {known}")
        yield family.versions[number]

    def load_nothing(self, reason: str) -> None:
        """Serve predictions only; whoever asks for more is told the reason."""
        for family in self.families.values():
            for version in family.versions.values():
                version.failure = reason

    def load_full(self, load: LoadModel) -> None:
        """Load every SavedModel, default versions first. A failure is logged and told to whoever asks that version."""
        every = [version for family in self.families.values() for version in family.versions.values()]
        defaults = {id(family.served) for family in self.families.values()}
        for version in sorted(every, key=lambda one: id(one) not in defaults):
            try:
                version.full = load(version.folder, version.card)
            except Exception:  # whatever a foreign SavedModel raises, the others must go on
                log.exception("%s: its SavedModel could not be loaded", version.folder)
                version.failure = "its SavedModel could not be loaded; the server's log says why"


def _families(root: Path, load_twin: LoadModel) -> Iterator[tuple[str, Family]]:
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            numbers = sorted(
                (p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()), key=lambda p: int(p.name)
            )
            versions = {version.card.version: version for version in _usable(numbers, load_twin)}
            yield folder.name, Family(versions, _labels(folder / "labels.json"))


def _usable(folders: list[Path], load_twin: LoadModel) -> Iterator[Version]:
    for folder in folders:
        try:
            card = read_card(folder)
            if (card.name, card.version) != (folder.parent.name, folder.name):
                raise BrokenVersion(f"{folder}: its card is that of {card.name} version {card.version}")
            yield Version(card, folder, _twin(folder / TWIN, card, load_twin))
        except BrokenVersion as error:
            log.error("left out: %s", error)


def _twin(path: Path, card: ModelCard, load: LoadModel) -> Model | None:
    """The version's twin; without one its SavedModel predicts. One that does not load breaks the version."""
    if not path.is_file():
        return None
    try:
        return load(path, card)
    except Exception as error:  # whatever a runtime raises, other versions must go on
        raise BrokenVersion(f"{path}: can not be loaded ({type(error).__name__}: {error})") from error


def _labels(path: Path) -> Mapping[str, str]:
    """{"stable": 3} as {"stable": "3"}; a broken file is logged and counts as empty."""
    try:
        labels = json.loads(path.read_text())
        for label, version in labels.items():
            if type(version) is not int and not (isinstance(version, str) and version.isdecimal()):
                raise ValueError(f"{label!r} points at {version!r}; expected the number of a version")
        return {label: str(version) for label, version in labels.items()}
    except FileNotFoundError:
        return {}
    except UNREADABLE as error:
        log.error("%s is ignored: %s", path, error)
        return {}
