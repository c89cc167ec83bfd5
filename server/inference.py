"""predict() and explain(): what happens to one picture, from its bytes to an answer. The first file to read.

Knows neither HTTP nor TensorFlow: it asks a store for a version, images.py for pixels, and explainers for attributions.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from server import explainers, images, reference
from server.certificate import certified
from server.desk import Desk, OwnThread
from server.errors import InvalidOption, OutOfTime
from server.handles import ModelStore, Prompt, Records, Served
from server.options import shown
from server.probabilities import Probabilities, calibrated
from server.quality import assess
from server.queued import ahead
from server.remembered import Remembered
from server.slots import PATIENT, Caller, Interrupt
from server.timed import Timed
from server.types import (
    Array,
    Attribution,
    Digit,
    Explainer,
    Explanation,
    ImageSpec,
    InDistribution,
    Model,
    ModelCard,
    Picture,
    Placement,
    Prediction,
    Target,
    Unit,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OF_PROBABILITY: Mapping[str, Unit] = {"logit": "probability", "logit_per_ink": "probability_per_ink"}


@dataclass(frozen=True)
class Which:
    """Which model answers, and whether the picture is normalised before it does."""

    model: str
    version: str | None = None  # a number or a label; None = the default
    preprocess: Literal["auto", "none"] = "auto"


@dataclass(frozen=True)
class Why:
    """What is to be explained, and how. `target` and `versus` are classes; None = the predicted class, and no
    contrast."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    versus: str | None = None
    output: Literal["logit", "probability"] = "logit"
    seed: int = 0
    budget: float = 30.0  # seconds
    frame: Literal["original", "model"] = "original"
    engine: Literal["inkling", "reference"] = "inkling"
    quality: bool = False  # whether the map is measured too


class Stages:
    """Seconds that each stage of one request took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> "_Stage":
        """As a context: what is done in it counts for the stage `name`."""
        return _Stage(self.seconds, name, time.perf_counter())


@dataclass(slots=True)
class _Stage:
    seconds: dict[str, float]
    name: str
    start: float

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.perf_counter() - self.start


def predict(
    store: ModelStore, picture: Picture, which: Which, stages: Stages, caller: Caller = PATIENT
) -> tuple[Digit, Prediction]:
    """What the digit is.

    Raises:
        ServiceError: the picture can not be read; there is no such model; or, where predictions wait for their turn at
            it, too many do, or the caller left.
    """
    with store.handle(which.model, which.version) as served:
        return predicted(served, picture, which, stages, caller)


def explain(
    store: ModelStore,
    picture: Picture,
    which: Which,
    why: Why,
    stages: Stages,
    now: Callable[[], float] = time.monotonic,
    desk: Desk | None = None,
) -> Explanation:
    """Why it is that digit: what is kept of it, or else the best attribution that the budget allows, computed at
    `desk`; without one, here.

    Raises:
        ServiceError: the picture can not be read; no such model, method, option or class; the model can not do the
        method
            or is still loading; the engine or every slot is busy; the caller left; or the budget ended before there was
            any attribution.
    """
    desk = desk or OwnThread(why.budget, now)
    with ExitStack() as held:
        served = held.enter_context(store.handle(which.model, which.version))
        explainer = built(why, served)
        desk.check()
        digit, prediction = predicted(served, picture, which, stages, desk.caller)

        def work(interrupt: Interrupt) -> Explanation:
            lane = served.lane("explain")  # not before: what is kept is answered while models load
            model = Timed(Remembered(lane) if why.quality else lane, desk.deadline, why.budget, now, interrupt)
            return explained(model, digit, prediction, explainer, why, stages)

        found = desk.once(identity(digit, prediction, explainer, why), why.quality, work, held)
    return _upon(found, digit, why, desk.records)


def built(why: Why, served: Served) -> Explainer:
    """The method that is asked for, with its options, for this version.

    Raises:
        ServiceError: no such method or option; or the version can not do it.
    """
    build = reference.build if why.engine == "reference" else explainers.build
    return build(why.method, why.options, served.card, served.verbs)


def _upon(found: Explanation, digit: Digit, why: Why, records: Records) -> Explanation:
    """What was found, upon the picture that was just sent: another one may have given the same pixels, and a record
    may have been kept with other wishes. The prediction is the one that was explained: asked again beside the rows of
    others, its last digits may be other ones."""
    placed = replace(found, digit=digit)
    if found.kept and not _same_place(found.digit.placement, digit.placement):
        placed = replace(placed, kept=records.put(placed))
    return replace(placed, frame=why.frame, quality=found.quality if why.quality else None)


def explained(
    timed: Timed, digit: Digit, prediction: Prediction, explainer: Explainer, why: Why, stages: Stages
) -> Explanation:
    """The best attribution that the time of `timed` allows and, where it is asked for, how faithful it is."""
    target = _target(why, prediction)
    model: Model = Probabilities(timed) if why.output == "probability" else timed
    quality = None
    with _turn(why, timed):
        with stages("explain"):
            attribution = certified(*_best(explainer.refine(model, digit.pixels, target, why.seed)))
        if why.quality:
            with stages("quality"):
                quality = assess(model, digit.pixels, target, explainer, attribution, why.seed)
    if why.output == "probability":
        attribution = replace(attribution, unit=OF_PROBABILITY.get(attribution.unit, attribution.unit))
    return Explanation(
        identity(digit, prediction, explainer, why), digit, prediction, target, attribution, explainer,
        why.seed, why.output, why.frame, why.engine, quality,
    )  # fmt: skip


def predicted(
    served: Served, picture: Picture, which: Which, stages: Stages, caller: Caller
) -> tuple[Digit, Prediction]:
    """The digit as this version takes it, and what it is."""
    with stages("decode"):
        digit = _digit(picture, served.card.image, which.preprocess)
    with stages("predict"):
        return digit, prediction_of(served, digit.pixels, caller)


def predicted_at_once(served: Prompt, body: bytes, stages: Stages) -> tuple[Digit, Prediction] | None:
    """What `predicted` gives; None where that might take longer than to hand it to another thread: for a picture with
    which anything is to be done, and where the version is busy or slow."""
    with stages("decode"):
        digit = images.as_it_is(body, served.card.image)
    if digit is None:
        return None
    with stages("predict"):
        logits = served.at_once(digit.pixels[None])
        return None if logits is None else (digit, _judged(served.card, logits))


def prediction_of(served: Served, pixels: Array, caller: Caller) -> Prediction:
    """What this version answers to a model's image (H, W)."""
    lane = ahead(served.lane("predict"), caller.left, caller.look)
    return _judged(served.card, lane.forward(pixels[None]))


def _judged(card: ModelCard, logits: Array) -> Prediction:
    """What logits (1, K) say."""
    numbers = logits[0].tolist()
    if not all(map(math.isfinite, numbers)):
        raise FloatingPointError(f"{card.name} version {card.version} gave logits that are not finite")
    probabilities, energy = calibrated(numbers, card.temperature)
    known = InDistribution(energy >= card.energy_threshold, energy, card.energy_threshold)
    return Prediction(card, numbers.index(max(numbers)), np.array(probabilities), logits[0], known)


def _digit(picture: Picture, spec: ImageSpec, preprocess: Literal["auto", "none"]) -> Digit:
    if picture.pixels is not None:
        return images.from_pixels(picture.pixels, spec)
    return images.decode(picture.body, spec, preprocess)


def _target(why: Why, prediction: Prediction) -> Target:
    classes = prediction.card.classes
    index = prediction.index if why.target is None else class_index("target", why.target, classes)
    if why.versus is None:
        return Target.of_class(index, classes)
    versus = class_index("versus", why.versus, classes)
    if versus == index:
        raise InvalidOption(f"versus={why.versus} is the explained class itself; give another class, or another target")
    return Target.contrast(index, versus, classes)


def class_index(name: str, label: str, classes: tuple[str, ...]) -> int:
    """The class of that label; `name` is the option that named it.

    Raises:
        InvalidOption: there is none.
    """
    if label not in classes:
        raise InvalidOption(f"{name}={shown(label)} is no class of this model; expected one of {', '.join(classes)}")
    return classes.index(label)


def _turn(why: Why, timed: Timed) -> AbstractContextManager[None]:
    """What a request has to wait for before it computes: its turn at the packages, or nothing."""
    return reference.turn(timed.left(), timed.interrupt) if why.engine == "reference" else nullcontext()


def _best(attributions: Iterator[Attribution]) -> tuple[Attribution, bool]:
    """The last attribution before the method is done or out of time, and whether it was out of time.

    Raises:
        OutOfTime: there was none in time.
    """
    best = None
    out_of_time = False
    try:
        for best in attributions:
            if best.state != "partial":
                break
    except OutOfTime:
        if best is None:
            raise
        out_of_time = True
    assert best is not None  # an explainer yields at least once
    return best, out_of_time


def _same_place(one: Placement, other: Placement) -> bool:
    """Whether two pictures look the same and lie the same way under the model's image."""
    facts = ((of.transform, of.width, of.height, of.steps, of.warnings) for of in (one, other))
    return next(facts) == next(facts) and np.array_equal(one.picture, other.picture)


def identity(digit: Digit, prediction: Prediction, explainer: Explainer, why: Why) -> str:
    """The hash of all that changes the values of an explanation.

    Raises:
        InvalidOption: no such class.
    """
    target = _target(why, prediction)
    options = asdict(cast("DataclassInstance", explainer))
    method = [explainer.name, explainer.revision, options]
    facts = [prediction.card.digest, *method, target.index, target.versus, why.output, why.seed]
    if why.engine != "inkling":
        facts.append(why.engine)
    pixels = digit.pixels.astype("<f4").tobytes()
    return hashlib.sha256(pixels + json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
