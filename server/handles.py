"""What inference asks of a store: one version of a model, kept alive for the length of one request.

Lives apart from types.py, which every file imports: only those who serve need a store.
"""

from contextlib import AbstractContextManager
from typing import Literal, Protocol

from server.types import Model, ModelCard, Verb

LaneName = Literal["predict", "explain"]


class Served(Protocol):
    """One version of one model, kept alive for the length of one request."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def verbs(self) -> frozenset[Verb]: ...

    def lane(self, name: LaneName) -> Model:
        """The model for this kind of work. Raises NotReady while it is still loading."""
        ...


class ModelStore(Protocol):
    """What inference asks of a store."""

    def handle(self, name: str, version: str | None) -> AbstractContextManager[Served]: ...
