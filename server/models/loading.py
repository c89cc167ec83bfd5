"""Loads a version from its folder in two steps: `open` (card, hashes, LiteRT files, checks: milliseconds), and where
TensorFlow explains `complete` with the SavedModel (seconds). Takes the functions that load as parameters, so that it
imports neither LiteRT nor TensorFlow.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from server.models.card import BrokenVersion, read_card
from server.models.checks import Check, check_answers, check_explains
from server.models.versions import LoadedModel, LoadedVersion, LoadLiteRT, LoadSavedModel, LoadTwin
from server.types import Model, ModelCard

if TYPE_CHECKING:
    from server.models.trust import Trust

NO_EXPLANATIONS = "explanations are switched off on this server (INKLING_EXPLAIN=off)"
NO_TWIN = (
    "it has no model.tflite, and this server reads no SavedModels (INKLING_EXPLAIN=off, INKLING_RUNTIME=litert, or no "
    "TensorFlow is installed); `python -m training convert` makes one"
)
NO_EXPLAINER = (
    "it has no LiteRT file that explains, and this server reads no SavedModels (INKLING_RUNTIME=litert, or no "
    "TensorFlow is installed); `python -m training convert` makes the next version with such files"
)
NOT_LOADED = "its SavedModel could not be loaded; the server's log says why"


@dataclass(frozen=True)
class Loading:
    """How versions are loaded. The model that explains comes from `load_litert` where that gives one, else from
    `load_savedmodel` if that is set. A server that does not explain calls neither."""

    load_twin: LoadTwin
    load_savedmodel: LoadSavedModel | None
    check: Check = check_answers
    explains: bool = True
    load_litert: LoadLiteRT | None = None
    check_explains: Callable[[ModelCard, Model | None, Model], None] = check_explains
    trust: "Trust | None" = None  # whose signatures a version needs; None = nobody's

    def open(self, folder: Path) -> LoadedVersion:
        """The version, ready to predict if it has a twin.

        Raises:
            BrokenVersion: what is wrong with its files, or with what its twin answers.
        """
        began = time.monotonic()
        card = read_card(folder, self.trust)
        if (card.name, card.version) != (folder.parent.name, folder.name):
            raise BrokenVersion(f"its card is that of {card.name} version {card.version}")
        twin = self._twin(folder, card)
        explaining = self._litert(folder, card)
        if twin is None and not (self.explains and (explaining or self.load_savedmodel)):
            raise BrokenVersion(NO_TWIN)
        if explaining is None:
            self.check(card, twin, None, card.background[:1])  # finds most of what can be wrong
        else:
            try:
                self.check_explains(card, twin, explaining.model)
            except BrokenVersion:
                explaining.close()
                raise
        return LoadedVersion(card, folder, twin, explaining, failure=self._failure(explaining), began=began)

    def complete(self, version: LoadedVersion) -> None:
        """Load its SavedModel where it explains, and check all that it and its twin answer.

        Raises:
            BrokenVersion: it does not load, or what it answers is wrong.
        """
        if version.explaining is not None:
            return
        explaining = self._savedmodel(version)
        try:
            self.check(
                version.card, version.twin, None if explaining is None else explaining.model, version.card.background
            )
        except BrokenVersion:
            if explaining is not None:
                explaining.close()
            raise
        version.explaining = explaining
        version.failure = self._failure(explaining)

    def _failure(self, explaining: LoadedModel | None) -> str | None:
        """Why a version will never explain; None if it will."""
        if not self.explains:
            return NO_EXPLANATIONS
        return NO_EXPLAINER if explaining is None and self.load_savedmodel is None else None

    def _twin(self, folder: Path, card: ModelCard) -> Model | None:
        """The twin, which predicts; without one the SavedModel does. A twin that does not load breaks the version."""
        if not any("predict" in file.roles for file in card.litert):
            return None
        try:
            return self.load_twin(folder, card)
        except Exception as error:  # a runtime may raise anything; other versions must go on
            raise BrokenVersion(f"model.tflite cannot be loaded ({type(error).__name__})") from error

    def _litert(self, folder: Path, card: ModelCard) -> LoadedModel | None:
        """The model that explains by LiteRT. Files that do not load break the version."""
        if not self.explains or self.load_litert is None:
            return None
        try:
            return self.load_litert(folder, card)
        except Exception as error:  # a runtime may raise anything; other versions must go on
            raise BrokenVersion(f"its LiteRT files cannot be loaded ({type(error).__name__})") from error

    def _savedmodel(self, version: LoadedVersion) -> LoadedModel | None:
        if not self.explains or self.load_savedmodel is None:
            return None
        try:
            return self.load_savedmodel(version.folder, version.card)
        except BrokenVersion:
            raise
        except Exception as error:  # a SavedModel may raise anything; other versions must go on
            raise BrokenVersion(NOT_LOADED) from error
