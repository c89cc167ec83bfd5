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
from server.types import (
    Array,
    Attribution,
    Digit,
    Explainer,
    Explanation,
    Features,
    ImageSpec,
    InDistribution,
    Model,
    ModelCard,
    Picture,
    Prediction,
    Target,
    Unit,
    Verb,
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
        build = reference.build if why.engine == "reference" else explainers.build
        explainer = build(why.method, why.options, served.card, served.verbs)
        lane = served.lane("explain")
        digit, prediction = predicted(served, picture, which, stages)
        target = _target(why, prediction)
        model: Model = Timed(lane, deadline, why.budget, now)
        if why.output == "probability":
            model = Probabilities(model)
        with stages("explain"), _turn(why, deadline - now()):
            attribution = certified(*_best(explainer.refine(model, digit.pixels, target, why.seed)))
    if why.output == "probability":
        attribution = replace(attribution, unit=OF_PROBABILITY.get(attribution.unit, attribution.unit))
    identity = _identity(digit, served.card, explainer, target, why)
    return Explanation(
        identity, digit, prediction, target, attribution, explainer, why.seed, why.output, why.frame, why.engine
    )


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


@dataclass(frozen=True)
class Timed:
    """A model that answers only until the deadline; explainers ask in bounded steps, so they end soon after it."""

    model: Model
    deadline: float
    budget: float  # seconds, for the message
    now: Callable[[], float]

    @property
    def card(self) -> ModelCard:
        return self.model.card

    @property
    def verbs(self) -> frozenset[Verb]:
        return self.model.verbs

    def forward(self, images: Array) -> Array:
        self._check()
        return self.model.forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self._check()
        return self.model.gradient(images, weights)

    def features(self, images: Array, weights: Array) -> Features:
        self._check()
        return self.model.features(images, weights)

    def _check(self) -> None:
        if self.now() >= self.deadline:
            raise OutOfTime(
                f"no result within {self.budget * 1000:.0f} ms; raise budget_ms or ask for a cheaper method"
            )
