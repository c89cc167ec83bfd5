"""Asks a second version about pictures that were answered (shadow traffic), and counts where it differs: in the class,
in its confidence, and in where the evidence lies.

One thread of low priority does it, one picture after another; pictures that come while many wait are skipped and
counted. Knows no HTTP.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Full, Queue
from typing import Protocol

import numpy as np

from server.errors import ServiceError
from server.explainers.integrated_gradients import IntegratedGradients
from server.inference.predict import predict_pixels
from server.protocols import NO_DEADLINE, ModelStore, ModelVersion
from server.rollout.evidence import cell_shares
from server.rollout.shares import Share
from server.scheduling import lower_thread_priority
from server.types import Array, ModelCard, Target

WAITING = 64  # pictures at most
NICENESS = 19  # the least priority that there is

log = logging.getLogger(__name__)


class Counts(Protocol):
    """Where it counts."""

    def count_shadow(
        self, model: str, version: str, label: str, changed: bool, confidence_moved: float, moved: float | None
    ) -> None: ...

    def count_shadow_skipped(self, model: str) -> None: ...


@dataclass(frozen=True)
class Answered:
    """A picture (H, W) that a version answered."""

    card: ModelCard
    index: int
    probability: float
    pixels: Array


class Shadow:
    """Asks the versions under the labels of `shares`. `draw` gives numbers in [0, 1), of which the share decides."""

    def __init__(
        self,
        shares: Mapping[str, Share],
        store: ModelStore,
        counts: Counts,
        draw: Callable[[], float] = random.random,
        waiting: int = WAITING,
    ) -> None:
        self.shares = shares
        self._store, self._counts, self._draw = store, counts, draw
        self._queue: Queue[Answered] = Queue(waiting)
        self._start = threading.Lock()
        self._started = False

    def offer(self, answered: Answered) -> None:
        """Perhaps have it compared, some time later; never waits."""
        share = self.shares.get(answered.card.name)
        if share is None or self._draw() >= share.share:
            return
        try:
            self._queue.put_nowait(answered)
        except Full:
            self._counts.count_shadow_skipped(answered.card.name)
            return
        with self._start:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def wait(self) -> None:
        """Wait until all that was taken is compared."""
        self._queue.join()

    def _run(self) -> None:
        lower_thread_priority(NICENESS)
        while True:
            answered = self._queue.get()
            try:
                self._compare(answered, self.shares[answered.card.name].label)
            except ServiceError:  # no such label or version, or it is still loading
                self._counts.count_shadow_skipped(answered.card.name)
            except Exception:  # of a foreign graph; the next picture may be answered
                log.exception("the shadow of %s could not be asked", answered.card.name)
                self._counts.count_shadow_skipped(answered.card.name)
            finally:
                self._queue.task_done()

    def _compare(self, answered: Answered, label: str) -> None:
        card, pixels = answered.card, answered.pixels
        with self._store.handle(card.name, None) as default, self._store.handle(card.name, label) as other:
            if default.card.version != card.version or other.card.version == card.version:
                return  # the request named a version, or was answered by the one on trial
            if other.card.classes != card.classes or pixels.shape != (other.card.image.height, other.card.image.width):
                self._counts.count_shadow_skipped(card.name)
                return
            found = predict_pixels(other, pixels, NO_DEADLINE)
            moved = moved_evidence(default, other, pixels, answered.index)
        difference = abs(float(found.probabilities[answered.index]) - answered.probability)
        label_of = card.classes[answered.index]
        changed = found.index != answered.index
        self._counts.count_shadow(card.name, other.card.version, label_of, changed, difference, moved)


def moved_evidence(one: ModelVersion, other: ModelVersion, pixels: Array, index: int) -> float | None:
    """How much of the evidence for a class lies elsewhere in the other version: half the sum of differences of the
    cells' shares (total variation), 0 to 1; None where one of them has no gradients or is not loaded to explain."""
    if not all("gradient" in version.verbs for version in (one, other)):
        return None
    try:
        first, second = (cell_shares(_evidence(version, pixels, index)) for version in (one, other))
    except ServiceError:
        return None
    return float(np.abs(first - second).sum() / 2)


def _evidence(version: ModelVersion, pixels: Array, index: int) -> Array:
    target = Target.of_class(index, version.card.classes)
    *_, attribution = IntegratedGradients().refine(version.for_explain(NO_DEADLINE), pixels, target, 0)
    return attribution.values
