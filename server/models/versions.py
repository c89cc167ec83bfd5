"""One version of a model with its loaded models, and its life from loading to being freed (reference counting)."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from server.errors import NotReady
from server.protocols import KerasView, RequestContext, RequestModels
from server.types import Model, ModelCard, Runtime, Verb


def _nothing() -> None: ...


KerasViewOf = Callable[[RequestContext], KerasView]
"""The SavedModel as a keras.Model, had within the deadline of a request."""


@dataclass(frozen=True)
class LoadedModel:
    """The model that explains a version, and what is no verb on arrays."""

    model: Model
    runtime: Runtime = "tensorflow"
    per_request: RequestModels | None = None  # before `model`, where a request's rows can wait or be dropped
    keras_view: KerasViewOf | None = None
    close: Callable[[], None] = _nothing  # releases what the model holds beside its memory

    def for_predict(self, context: RequestContext) -> Model:
        return self.model if self.per_request is None else self.per_request.for_predict(context)

    def for_explain(self, context: RequestContext) -> Model:
        return self.model if self.per_request is None else self.per_request.for_explain(context)


LoadTwin = Callable[[Path, ModelCard], Model]
LoadSavedModel = Callable[[Path, ModelCard], LoadedModel]
LoadLiteRT = Callable[[Path, ModelCard], LoadedModel | None]
"""None where TensorFlow is to explain."""


@dataclass(eq=False)
class LoadedVersion:
    """One version with the model that predicts and the one that explains; `failure` says why it will never explain.

    Requests hold it while they use it; it is freed when the store has retired it and no request holds it.
    """

    card: ModelCard
    folder: Path
    twin: Model | None = None
    explaining: LoadedModel | None = None
    failure: str | None = None
    began: float = field(default_factory=time.monotonic)  # to be loaded, on the clock of time.monotonic
    _users: int = 0
    _when_idle: Callable[["LoadedVersion"], None] | None = None  # set when it is retired
    _freed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def verbs(self) -> frozenset[Verb]:
        explaining = self.explaining  # another thread may free it
        return self.card.verbs if explaining is None else explaining.model.verbs

    @property
    def explain(self) -> Literal["ready", "loading", "off"]:
        """Whether this version can explain: now, shortly, or never."""
        return "ready" if self.explaining is not None else "loading" if self.failure is None else "off"

    @property
    def predicts(self) -> bool:
        """Whether predictions are answered already."""
        return self.twin is not None or self.explaining is not None

    def for_predict(self, context: RequestContext) -> Model:
        """The LiteRT twin where there is one, whose own interpreters only predict; else the model that explains.

        Raises:
            NotReady: the SavedModel is still loading, or could not be loaded.
        """
        return self.twin if self.twin is not None else self._loaded("predict").for_predict(context)

    def for_explain(self, context: RequestContext) -> Model:
        """The model that explains. Raises NotReady as `for_predict` does."""
        return self._loaded("explain").for_explain(context)

    def keras_view(self, context: RequestContext) -> KerasView | None:
        """The SavedModel as a keras.Model, if it can be had as one. Raises NotReady."""
        view = self._loaded("explain").keras_view
        return None if view is None else view(context)

    @property
    def runtime(self) -> Runtime | None:
        """What computes explanations; None while nothing does."""
        explaining = self.explaining  # another thread may free it
        return None if explaining is None else explaining.runtime

    def _loaded(self, verb: str) -> LoadedModel:
        explaining = self.explaining
        if explaining is not None:
            return explaining
        which = f"{self.card.name} version {self.card.version}"
        if self.failure is not None:
            raise NotReady(f"{which} cannot {verb}: {self.failure}", retry_after=60)
        raise NotReady(f"{which} is loading and will {verb} in a few seconds; try again")

    def hold(self) -> bool:
        """Keep it from being freed until `release`; False if it is freed already."""
        with self._lock:
            self._users += not self._freed
            return not self._freed

    def release(self) -> None:
        """The opposite of a `hold` that gave True."""
        with self._lock:
            self._users -= 1
            when_idle = self._when_idle if self._users == 0 else None
        if when_idle is not None:
            when_idle(self)

    def retire(self, when_idle: Callable[["LoadedVersion"], None]) -> None:
        """Mark it as no longer served: `when_idle` is called as soon as no request holds it, and again after a late
        one."""
        with self._lock:
            self._when_idle = when_idle
            idle = self._users == 0
        if idle:
            when_idle(self)

    def free(self) -> bool:
        """Drop its models, unless a request holds it; True the first time that this happens."""
        with self._lock:
            if self._users or self._freed:
                return False
            self._freed = True
            explaining, self.twin, self.explaining = self.explaining, None, None
            self.failure = "it is served no more"
        if explaining is not None:
            explaining.close()
        return True
