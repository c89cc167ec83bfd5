"""predict(): what happens to one picture, from its bytes to the digit that it shows. The first file to read; explain.py
goes on from here.

Knows neither HTTP nor TensorFlow: it asks a store for a version, and images/ for pixels.
"""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from server import images
from server.errors import InvalidOption
from server.models.wrappers import calibrated
from server.options import shown
from server.protocols import NO_DEADLINE, ModelStore, ModelVersion, RequestContext
from server.types import COVERAGE, Array, Digit, ImageSpec, InDistribution, ModelCard, Picture, Prediction


@dataclass(frozen=True)
class ModelSelector:
    """Which model answers, and whether the picture is normalised before it does."""

    model: str
    version: str | None = None  # a number or a version label; None = the default
    preprocess: Literal["auto", "none"] = "auto"


class Stages:
    """Seconds that each stage of one request took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> AbstractContextManager[None]:
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
    store: ModelStore,
    picture: Picture,
    selector: ModelSelector,
    context: RequestContext = NO_DEADLINE,
    stages: Stages | None = None,
) -> tuple[Digit, Prediction]:
    """Predict the digit in a picture.

    Raises:
        ServiceError: the picture cannot be read; there is no such model; or, where predictions wait for their turn at
            it, too many do, or the caller left.
    """
    with store.handle(selector.model, selector.version) as version:
        return decode_and_predict(version, picture, selector, context, stages or Stages())


def decode_and_predict(
    version: ModelVersion,
    picture: Picture,
    selector: ModelSelector,
    context: RequestContext,
    stages: Stages,
    digit: Digit | None = None,
) -> tuple[Digit, Prediction]:
    """The digit as this version takes it, unless that is known already, and its prediction."""
    if digit is None:
        with stages("decode"):
            digit = _digit(picture, version.card.image, selector.preprocess)
    with stages("predict"):
        return digit, predict_pixels(version, digit.pixels, context)


def predict_pixels(version: ModelVersion, pixels: Array, context: RequestContext) -> Prediction:
    """The prediction of this version for a model's image (H, W)."""
    return to_prediction(version.card, version.for_predict(context).forward(pixels[None]))


def to_prediction(card: ModelCard, logits: Array) -> Prediction:
    """The prediction that logits (1, K) stand for."""
    numbers = logits[0].tolist()
    if not all(map(math.isfinite, numbers)):
        raise FloatingPointError(f"{card.name} version {card.version} gave logits that are not finite")
    probabilities, energy = calibrated(numbers, card.temperature)
    known = InDistribution(energy >= card.energy_threshold, energy, card.energy_threshold)
    found = card.conformal.prediction_set(probabilities, COVERAGE) if card.conformal and known.ok else None
    return Prediction(card, numbers.index(max(numbers)), np.array(probabilities), logits[0], known, found)


def _digit(picture: Picture, spec: ImageSpec, preprocess: Literal["auto", "none"]) -> Digit:
    if picture.pixels is not None:
        return images.from_pixels(picture.pixels, spec)
    return images.decode(picture.body, spec, preprocess)


def check_pictures(pictures: Sequence[Picture]) -> None:
    """Raises ImageTooLarge where the files of one request take too long to decode together."""
    images.check_work(picture.body for picture in pictures if picture.pixels is None)


def with_coverage(prediction: Prediction, coverage: float) -> Prediction:
    """The prediction with a set for this coverage.

    Raises:
        InvalidOption: the version cannot vouch for so large, or so small, a share.
    """
    card = prediction.card
    version = f"{card.name} version {card.version}"
    if card.conformal is None:
        raise InvalidOption(f"{version} has no calibration for prediction sets; leave coverage out")
    low, high = card.conformal.range
    if not low <= coverage <= high:
        raise InvalidOption(
            f"coverage={coverage:g}; expected {low:.4g} to {high:.6g}, which the {card.conformal.n} digits that "
            f"{version} was calibrated on can vouch for"
        )
    if not prediction.in_distribution.ok:
        return prediction
    found = card.conformal.prediction_set(prediction.probabilities.tolist(), coverage)
    return replace(prediction, prediction_set=found)


def class_index(name: str, class_label: str, classes: tuple[str, ...]) -> int:
    """The index of the class with this label; `name` is the option that named it.

    Raises:
        InvalidOption: there is none.
    """
    if class_label not in classes:
        raise InvalidOption(
            f"{name}={shown(class_label)} is no class of this model; expected one of {', '.join(classes)}"
        )
    return classes.index(class_label)
