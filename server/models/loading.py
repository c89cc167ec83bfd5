"""A version's folder -> a LoadedVersion that may serve, in two steps: opened (card, hashes, twin: milliseconds) and
complete (SavedModel, all checks: seconds). Takes the functions that load, so that it imports neither LiteRT nor
TensorFlow.
"""

from dataclasses import dataclass
from pathlib import Path

from server.models.card import TWIN, BrokenVersion, read_card
from server.models.checks import Check, check_answers
from server.models.versions import LoadedModel, LoadedVersion, LoadFull, LoadTwin
from server.types import Model, ModelCard

NO_EXPLANATIONS = "explanations are switched off on this server (INKLING_EXPLAIN=off)"
NO_TWIN = "it has no model.tflite, and this server reads no SavedModels (INKLING_EXPLAIN=off)"
NOT_LOADED = "its SavedModel could not be loaded; the server's log says why"


@dataclass(frozen=True)
class Loading:
    """How versions are loaded; what does not explain predicts by its twins, refuses what has none, and never calls
    `load_full`."""

    load_twin: LoadTwin
    load_full: LoadFull
    check: Check = check_answers
    explains: bool = True

    def open(self, folder: Path) -> LoadedVersion:
        """The version as it can predict already; one without a twin can not.

        Raises:
            BrokenVersion: what is wrong with its files, or with what its twin answers.
        """
        card = read_card(folder)
        if (card.name, card.version) != (folder.parent.name, folder.name):
            raise BrokenVersion(f"its card is that of {card.name} version {card.version}")
        twin = self._twin(folder / TWIN, card)
        if twin is None and not self.explains:
            raise BrokenVersion(NO_TWIN)
        self.check(card, twin, None, card.background[:1])  # finds most of what can be wrong
        return LoadedVersion(card, folder, twin, failure=None if self.explains else NO_EXPLANATIONS)

    def complete(self, version: LoadedVersion) -> None:
        """Load its SavedModel, and check all that it and its twin answer.

        Raises:
            BrokenVersion: it does not load, or what it answers is wrong.
        """
        full = self._full(version)
        try:
            self.check(version.card, version.twin, None if full is None else full.model, version.card.background)
        except BrokenVersion:
            if full is not None:
                full.close()
            raise
        version.full = full
        version.failure = None if self.explains else NO_EXPLANATIONS

    def _twin(self, path: Path, card: ModelCard) -> Model | None:
        """The version's twin; without one its SavedModel predicts. One that does not load breaks the version."""
        if not path.is_file():
            return None
        try:
            return self.load_twin(path, card)
        except Exception as error:  # whatever a runtime raises, other versions must go on
            raise BrokenVersion(f"model.tflite can not be loaded ({type(error).__name__})") from error

    def _full(self, version: LoadedVersion) -> LoadedModel | None:
        if not self.explains:
            return None
        try:
            return self.load_full(version.folder, version.card)
        except BrokenVersion:
            raise
        except Exception as error:  # whatever a foreign SavedModel raises, the others must go on
            raise BrokenVersion(NOT_LOADED) from error
