"""What inference asks of others: a store of models, of which it gets one version for the length of one request, and a
place where explanations are kept.

Lives apart from types.py, which every file imports: only those who serve need a store.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from server.types import Explanation, Model, ModelCard, Verb

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


class Records(Protocol):
    """Explanations that are kept for a while, by their id. To keep one never fails: what can not be kept is not."""

    @property
    def gone(self) -> str:
        """Why an explanation may not be here (any more), for people."""
        ...

    @property
    def max_age(self) -> int:
        """Seconds for which whoever got one may take it to be still the same."""
        ...

    def get(self, identity: str) -> Explanation | None:
        """None where there is none, or it can not be looked up just now."""
        ...

    def find(self, identity: str) -> Explanation | None:
        """None where there is none. Raises NotReady where it can not be looked up just now."""
        ...

    def put(self, explanation: Explanation) -> bool:
        """Keep it in place of what has its id; whether it is kept."""
        ...


@dataclass(frozen=True)
class NoRecords:
    """Keeps nothing."""

    gone: str = "this server keeps no explanations"
    max_age: int = 0

    def get(self, identity: str) -> Explanation | None:
        return None

    def find(self, identity: str) -> Explanation | None:
        return None

    def put(self, explanation: Explanation) -> bool:
        return False
