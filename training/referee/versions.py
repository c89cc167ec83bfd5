"""A stored version as a model that can be asked: by its LiteRT files, or else by its SavedModel."""

from pathlib import Path

from server.models.card import read_card
from server.models.interpreters import InterpreterPool
from server.models.litert import explaining_model
from server.models.savedmodel import SavedModel
from server.types import Model

MEMORY = 256 << 20  # bytes of interpreters


def opened(folder: Path) -> Model:
    """Raises BrokenVersion."""
    card = read_card(folder)
    if any("gradient" in file.rows for file in card.litert):
        return explaining_model(folder, card, InterpreterPool(MEMORY))
    return SavedModel(folder, card)
