"""Is a model store fit to be served? All that a server checks before it serves a version, and the labels, offline."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.models import savedmodel
from server.models.card import BrokenVersion
from server.models.compiled import Programs
from server.models.litert import Twin
from server.models.loading import Loading
from server.models.shelves import LABELS, Shelf, look
from server.models.versions import LoadedModel, LoadedVersion
from server.types import ModelCard


@dataclass(frozen=True)
class Finding:
    """A version or the labels of a model, and what is wrong with it; None where nothing is."""

    path: Path
    reason: str | None

    @property
    def line(self) -> str:
        return f"{self.path}: {'good' if self.reason is None else 'broken: ' + self.reason}"


def findings(root: Path) -> Iterator[Finding]:
    """One for each version, as they are found, and one for labels that can not be followed. A store without any
    version is broken too."""
    savedmodel.configure("cpu")
    programs = Programs()

    def load(folder: Path, card: ModelCard) -> LoadedModel:
        model = savedmodel.SavedModel(folder, card, programs)
        return LoadedModel(model, close=model.close)

    loading = Loading(Twin, load)
    shelves = look(root)
    if not any(shelf.versions for shelf in shelves.values()):
        yield Finding(root, "it has no version; expected <name>/<version>/assets.extra/model_card.json")
    for name, shelf in shelves.items():
        for number in shelf.versions:
            yield Finding(root / name / number, _wrong(loading, root / name / number))
        if (reason := _wrong_labels(shelf)) is not None:
            yield Finding(root / name / LABELS, reason)


def _wrong(loading: Loading, folder: Path) -> str | None:
    version: LoadedVersion | None = None
    try:
        version = loading.open(folder)
        loading.complete(version)
    except BrokenVersion as error:
        cause, told = error.__cause__, str(error).replace("; the server's log says why", "")
        return told if cause is None else f"{told} ({type(cause).__name__}: {' '.join(str(cause).split())[:300]})"
    finally:
        if version is not None:
            version.free()
    return None


def _wrong_labels(shelf: Shelf) -> str | None:
    if shelf.broken is not None:
        return shelf.broken
    astray = [f"{label} points at {to}" for label, to in (shelf.labels or {}).items() if to not in shelf.versions]
    return f"{', '.join(astray)}, which is not there" if astray else None
