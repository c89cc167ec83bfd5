"""Loads a SavedModel when something first needs it (lazy initialisation), in a thread of its own.

Must not import TensorFlow: whether and when that happens is the point.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Literal

from server.errors import NotReady
from server.models.versions import LoadedModel
from server.protocols import KerasView, RequestContext
from server.types import Array

NICENESS = 19  # the maximum: what a package computes yields to everything else
POLL = 0.1  # seconds between two checks whether the request still waits

log = logging.getLogger(__name__)


class OnDemand:
    """The SavedModel of one version beside what explains it, for packages that need a Keras model."""

    def __init__(self, load: Callable[[], LoadedModel]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._done: threading.Event | None = None  # of the load that is under way, or was
        self._model: LoadedModel | None = None
        self._closed = False

    def keras_view(self, context: RequestContext) -> KerasView:
        """A view that loads the SavedModel when it is first asked. It raises NotReady if that is not done before the
        context's deadline, and goes on loading, or if it failed."""

        def view(weights: Array, output: Literal["logit", "probability"]) -> Any:
            keras_view = self._loaded(context).keras_view
            assert keras_view is not None  # a SavedModel can always be had as one
            return keras_view(context)(weights, output)

        return view

    def close(self) -> None:
        """Close what was loaded. To be called when no request uses the version any more."""
        with self._lock:
            self._closed, model, self._model = True, self._model, None
        if model is not None:
            model.close()

    def _loaded(self, context: RequestContext) -> LoadedModel:
        with self._lock:
            if self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._run, args=(self._done,), name="load-models", daemon=True).start()
            done = self._done
        while not done.wait(min(POLL, max(0.0, context.remaining()))):
            context.raise_if_cancelled()
            if context.remaining() <= 0:
                raise NotReady("TensorFlow is loading, which engine=reference needs here; try again in a few seconds")
        with self._lock:
            if self._model is None:
                self._done = None if self._done is done else self._done  # the next request tries again
                raise NotReady("the SavedModel, which engine=reference needs, could not be loaded; the log says why")
            return self._model

    def _run(self, done: threading.Event) -> None:
        if hasattr(os, "setpriority"):  # TensorFlow's threads inherit it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        model = None
        try:
            model = self._load()
        except Exception:  # TensorFlow may raise anything; the request that waits gets NotReady
            log.exception("a SavedModel could not be loaded")
        with self._lock:
            keep = not self._closed
            self._model = model if keep else None
        if model is not None and not keep:
            model.close()
        done.set()
