"""attack(): the smallest change found that flips the answer (adversarial example). Beside predict.py and explain.py.

It attacks what is served: the model that answers /v1/predict classifies the pictures; only gradients come from the
model that explains.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from server import attacks
from server.attacks.types import AdversarialExample, AttackResult
from server.errors import AlreadyAnswered
from server.inference.predict import ModelSelector, Stages, class_index, decode_and_predict, predict_pixels
from server.models.wrappers import DeadlineModel, ModelWrapper
from server.protocols import ModelStore
from server.scheduling import ImmediateSession, Interrupt, Publish, Session
from server.types import Array, Features, Model, Picture, Prediction, Verb

Found = tuple[AdversarialExample, Prediction | None]


@dataclass(frozen=True)
class AttackRequest:
    """Which attack, and towards which class. `target` is the class that the answer should flip to; None = any other."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    seed: int = 0


def attack(
    store: ModelStore,
    picture: Picture,
    selector: ModelSelector,
    request: AttackRequest,
    session: Session | None = None,
    stages: Stages | None = None,
) -> AttackResult:
    """The nearest picture found that is answered differently, with its prediction; or that none was found. Without a
    session it is searched here, for as long as it takes.

    Raises:
        ServiceError: the picture cannot be read; no such model, attack, option or class; the model has no slopes or is
        still loading; the picture is answered with the target already; or the deadline passed before the search ended.
    """
    session, stages = session or ImmediateSession(), stages or Stages()
    context = session.context
    with ExitStack() as resources:
        version = resources.enter_context(store.handle(selector.model, selector.version))
        built = attacks.build(request.method, request.options, version.card, version.verbs)
        context.raise_if_expired()
        digit, prediction = decode_and_predict(version, picture, selector, context, stages)
        target_class = _target_class(request, prediction)

        def work(publish: Publish[Found], interrupt: Interrupt) -> Found:
            run_context = context.cancelled_by(interrupt)
            attacked = AttackedModel(version.for_explain(run_context), version.for_predict(run_context))
            model = DeadlineModel(attacked, run_context)
            with stages("attack"):
                found = built.search(model, digit.pixels, prediction.index, target_class, request.seed)
            return found, None if found.pixels is None else predict_pixels(version, found.pixels, run_context)

        found, changed = session.submit(work, resources=resources).result().value
    # One row more or less in a batch moves the last digits of logits, so the answer to this picture alone decides.
    if changed is not None and not _flips(changed, prediction, target_class):
        found, changed = AdversarialExample(None, None, None, found.rows), None
    return AttackResult(digit, prediction, built, found, changed, request.seed, target_class)


def _target_class(request: AttackRequest, prediction: Prediction) -> int | None:
    """The index of the class that the answer should flip to; None for any."""
    if request.target is None:
        return None
    target_class = class_index("target", request.target, prediction.card.classes)
    if target_class == prediction.index:
        raise AlreadyAnswered(
            f"target={request.target} is what this picture is answered with already; give another class, or no target "
            "for the nearest"
        )
    return target_class


def _flips(changed: Prediction, before: Prediction, target_class: int | None) -> bool:
    return changed.index != before.index if target_class is None else changed.index == target_class


@dataclass(frozen=True)
class AttackedModel(ModelWrapper):
    """Logits by the model that predicts, slopes by the one that explains."""

    predicting: Model

    @property
    def verbs(self) -> frozenset[Verb]:
        return attacks.NEEDS

    def forward(self, images: Array) -> Array:
        return self.predicting.forward(images)

    def features(self, images: Array, weights: Array) -> Features:
        raise NotImplementedError("an attack uses logits and gradients only")
