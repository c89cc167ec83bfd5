"""predict() and explain(): what happens to one picture, from its bytes to an answer. The first file to read.

Knows neither HTTP nor TensorFlow: it asks a store for a version, images.py for pixels, and explainers for attributions.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy.special import logsumexp

from server import explainers, images, reference
from server.certificate import certified
from server.errors import InvalidOption, OutOfTime
from server.handles import ModelStore, Served
from server.options import shown
from server.probabilities import Probabilities, probabilities_of
from server.quality import assess
from server.remembered import Remembered
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

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def predict(store: ModelStore, picture: Picture, which: Which, stages: Stages) -> tuple[Digit, Prediction]:
    """What the digit is.

    Raises:
        ServiceError: the picture can not be read, or there is no such model.
    """
    with store.handle(which.model, which.version) as served:
        return predicted(served, picture, which, stages)


def explain(
    store: ModelStore,
    picture: Picture,
    which: Which,
    why: Why,
    stages: Stages,
    now: Callable[[], float] = time.monotonic,
) -> Explanation:
    """Why it is that digit: the best attribution that the budget allows.

    Raises:
        ServiceError: the picture can not be read; no such model, method, option or class; the model can not do the
        method
            or is still loading; the engine is busy; or the budget ended before there was any attribution.
    """
    deadline = now() + why.budget
    with store.handle(which.model, which.version) as served:
        explainer = built(why, served)
        lane = served.lane("explain")
        digit, prediction = predicted(served, picture, which, stages)
        model = Timed(Remembered(lane) if why.quality else lane, deadline, why.budget, now)
        return explained(model, digit, prediction, explainer, why, stages)


def built(why: Why, served: Served) -> Explainer:
    """The method that is asked for, with its options, for this version.

    Raises:
        ServiceError: no such method or option; or the version can not do it.
    """
    build = reference.build if why.engine == "reference" else explainers.build
    return build(why.method, why.options, served.card, served.verbs)


def explained(
    timed: Timed, digit: Digit, prediction: Prediction, explainer: Explainer, why: Why, stages: Stages
) -> Explanation:
    """The best attribution that the time of `timed` allows and, where it is asked for, how faithful it is."""
    target = _target(why, prediction)
    model: Model = Probabilities(timed) if why.output == "probability" else timed
    quality = None
    with _turn(why, timed.left()):
        with stages("explain"):
            attribution = certified(*_best(explainer.refine(model, digit.pixels, target, why.seed)))
        if why.quality:
            with stages("quality"):
                quality = assess(model, digit.pixels, target, explainer, attribution, why.seed)
    if why.output == "probability":
        attribution = replace(attribution, unit=OF_PROBABILITY.get(attribution.unit, attribution.unit))
    identity = _identity(digit, prediction.card, explainer, target, why)
    return Explanation(
        identity, digit, prediction, target, attribution, explainer,
        why.seed, why.output, why.frame, why.engine, quality,
    )  # fmt: skip


def predicted(served: Served, picture: Picture, which: Which, stages: Stages) -> tuple[Digit, Prediction]:
    """The digit as this version takes it, and what it is."""
    with stages("decode"):
        digit = _digit(picture, served.card.image, which.preprocess)
    with stages("predict"):
        return digit, prediction_of(served, digit.pixels)


def prediction_of(served: Served, pixels: Array) -> Prediction:
    """What this version answers to a model's image (H, W)."""
    card = served.card
    logits = served.lane("predict").forward(pixels[None])
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"{card.name} version {card.version} gave logits that are not finite")
    probabilities = probabilities_of(logits, card.temperature)[0]
    energy = float(card.temperature * logsumexp(logits[0].astype(float) / card.temperature))
    known = InDistribution(energy >= card.energy_threshold, energy, card.energy_threshold)
    return Prediction(card, int(logits[0].argmax()), probabilities, logits[0], known)


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


def _turn(why: Why, seconds: float) -> AbstractContextManager[None]:
    """What a request has to wait for, `seconds` at most, before it computes: its turn at the packages, or nothing."""
    return reference.turn(seconds) if why.engine == "reference" else nullcontext()


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


def _identity(digit: Digit, card: ModelCard, explainer: Explainer, target: Target, why: Why) -> str:
    """The hash of all that changes the values of an explanation."""
    options = asdict(cast("DataclassInstance", explainer))
    facts = [card.digest, explainer.name, options, target.index, target.versus, why.output, why.seed]
    if why.engine != "inkling":
        facts.append(why.engine)
    pixels = digit.pixels.astype("<f4").tobytes()
    return hashlib.sha256(pixels + json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
