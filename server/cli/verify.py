"""`python -m server verify`: checks a model store offline as a server would before it serves a version, and its
labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click import ClickException

from server.config import SettingsError
from server.models.card import BrokenVersion
from server.models.checks import check_answers, check_same
from server.models.litert import predictor
from server.models.loading import NOT_LOADED, Loading
from server.models.model_loaders import litert_loader, savedmodel_loader
from server.models.repository.scan import ModelListing, scan
from server.models.repository.version_labels import LABELS, NUMBERED, label_numbers
from server.models.versions import LoadedVersion, LoadSavedModel
from server.process.preflight import has_tensorflow, read_trust

CAPACITY = 256 << 20  # bytes of interpreters


@dataclass(frozen=True)
class Finding:
    """A version or the labels of a model, and what is wrong with it; None where nothing is."""

    path: Path
    reason: str | None
    tried: int = 0  # configurations of methods that the version's trial has

    @property
    def line(self) -> str:
        trial = f", {self.tried} configurations of methods tried" * (self.tried > 0)
        return f"{self.path}: {'good' + trial if self.reason is None else 'broken: ' + self.reason}"


def findings(root: Path, trusted: Path | None = None) -> Iterator[Finding]:
    """One for each version, as they are found, and one for labels that cannot be followed. A store without any
    version is broken too. LiteRT files are compared with the SavedModel where TensorFlow is installed. With a file of
    `trusted` keys, versions and labels have to be signed."""
    load_savedmodel = savedmodel_loader("cpu", 0) if has_tensorflow() else None
    try:
        trust = None if trusted is None else read_trust(trusted)
    except SettingsError as error:
        raise ClickException(str(error)) from error
    litert = litert_loader(None, CAPACITY, partly=False)
    loading = Loading(predictor, load_savedmodel, load_litert=litert, trust=trust)
    listings = scan(root, trust)
    if not any(listing.versions for listing in listings.values()):
        yield Finding(root, "it has no version; expected <name>/<version>/assets.extra/model_card.json")
    for name, listing in listings.items():
        for number in listing.versions:
            yield _checked(loading, root / name / number)
        if (reason := _wrong_labels(listing)) is not None:
            numbered = label_numbers(root / name)
            yield Finding(root / name / (NUMBERED if numbered else LABELS), reason)


def _checked(loading: Loading, folder: Path) -> Finding:
    version: LoadedVersion | None = None
    try:
        version = loading.open(folder)
        if version.explaining is None:
            loading.complete(version)
        elif loading.load_savedmodel is not None:
            _compare(version, loading.load_savedmodel)
    except BrokenVersion as error:
        cause, reason = error.__cause__, str(error).replace("; the server's log says why", "")
        told = "" if cause is None else f" ({type(cause).__name__}: {' '.join(str(cause).split())[:300]})"
        return Finding(folder, reason + told)
    finally:
        if version is not None:
            version.free()
    return Finding(folder, None, 0 if version.card.trial is None else len(version.card.trial.results))


def _compare(version: LoadedVersion, load_savedmodel: LoadSavedModel) -> None:
    """Compare the model that explains without TensorFlow with its SavedModel. Raises BrokenVersion."""
    assert version.explaining is not None  # it was opened with LiteRT files
    try:
        saved = load_savedmodel(version.folder, version.card)
    except BrokenVersion:
        raise
    except Exception as error:  # a SavedModel may raise anything
        raise BrokenVersion(NOT_LOADED) from error
    try:
        check_answers(version.card, version.twin, saved.model, version.card.background)
        check_same(version.card, version.explaining.model, saved.model)
    finally:
        saved.close()


def _wrong_labels(listing: ModelListing) -> str | None:
    if listing.broken is not None:
        return listing.broken
    dangling = [f"{label} points at {to}" for label, to in (listing.labels or {}).items() if to not in listing.versions]
    return f"{', '.join(dangling)}, which is not there" if dangling else None
