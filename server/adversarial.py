"""attack(): the smallest change found that flips the answer. Beside predict() and explain() of inference.py.

What is attacked is what is served: pictures are judged by the model that answers /v1/predict, and only their slopes are
asked of the one that explains.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from server import attacks
from server.attacks.types import Adversarial, Attacked
from server.desk import Desk, OwnThread
from server.errors import AlreadyAnswered
from server.handles import ModelStore
from server.inference import Stages, Which, class_index, predicted, prediction_of
from server.queued import within
from server.slots import Interrupt
from server.timed import Timed
from server.types import Array, Features, Model, ModelCard, Picture, Prediction, Verb


@dataclass(frozen=True)
class How:
    """Which attack, and where to. `target` is the class that the answer should flip to; None = any other."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    seed: int = 0
    budget: float = 30.0  # seconds


def attack(
    store: ModelStore,
    picture: Picture,
    which: Which,
    how: How,
    stages: Stages,
    now: Callable[[], float] = time.monotonic,
    desk: Desk | None = None,
) -> Attacked:
    """The nearest picture found that is answered otherwise, with what is answered to it; or that none was found.
    Searched at `desk`; without one, here.

    Raises:
        ServiceError: the picture can not be read; no such model, attack, option or class; the model has no slopes or is
        still loading; the picture is answered with the target already; or the budget ended before the search did.
    """
    desk = desk or OwnThread(how.budget, now)
    with ExitStack() as held:
        served = held.enter_context(store.handle(which.model, which.version))
        built = attacks.build(how.method, how.options, served.card, served.verbs)
        sloped = served.lane("explain")
        desk.check()
        digit, prediction = predicted(served, picture, which, stages, desk.caller)
        wanted = _wanted(how, prediction)

        def work(interrupt: Interrupt) -> tuple[Adversarial, Prediction | None]:
            model = Timed(Lanes(served.lane("predict"), sloped), desk.deadline, how.budget, now, interrupt)
            with stages("attack"):
                found = built.search(model, digit.pixels, prediction.index, wanted, how.seed)
            return found, None if found.pixels is None else prediction_of(served, found.pixels, desk.caller)

        found, changed = desk.run(work, held)
    # One row more or less in a batch moves the last digits of logits, so the answer to this picture alone decides.
    if changed is not None and not _flips(changed, prediction, wanted):
        found, changed = Adversarial(None, None, None, found.rows), None
    return Attacked(digit, prediction, built, found, changed, how.seed, wanted)


def _wanted(how: How, prediction: Prediction) -> int | None:
    """The class that is wanted, if any."""
    if how.target is None:
        return None
    wanted = class_index("target", how.target, prediction.card.classes)
    if wanted == prediction.index:
        raise AlreadyAnswered(
            f"target={how.target} is what this picture is answered with already; give another class, or no target for "
            "the nearest"
        )
    return wanted


def _flips(changed: Prediction, before: Prediction, wanted: int | None) -> bool:
    return changed.index != before.index if wanted is None else changed.index == wanted


@dataclass(frozen=True)
class Lanes:
    """One version as one Model: logits from the lane that predicts, slopes from the lane that has them."""

    predicting: Model
    sloped: Model

    @property
    def card(self) -> ModelCard:
        return self.sloped.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return attacks.NEEDS

    def within(self, seconds: float, interrupt: Callable[[], None]) -> Model:
        return Lanes(within(self.predicting, seconds, interrupt), within(self.sloped, seconds, interrupt))

    def forward(self, images: Array) -> Array:
        return self.predicting.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        return self.sloped.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        raise NotImplementedError("an attack asks for logits and slopes only")
