"""Checks the answers of a loaded version before it may serve. Runs models; knows neither their files nor their kind."""

from collections.abc import Callable, Iterator

import numpy as np

from server.models.card import BrokenVersion
from server.types import Array, Model, ModelCard

AGREEMENT = 1e-3  # between the logits of a SavedModel and of its twin; at export they differed by a tenth of that
MARGIN = 2.0  # times what the card of a quantised twin says of other images: the background's are means of digits

Check = Callable[[ModelCard, Model | None, Model | None, Array], None]


def check_answers(card: ModelCard, twin: Model | None, full: Model | None, images: Array) -> None:
    """Check the logits of the twin and of the SavedModel, if there are any, for images (n, H, W).

    Raises:
        BrokenVersion: logits are not finite, not one for each class, or not the same.
    """
    twin_logits = None if twin is None else _logits("model.tflite", twin, card, images)
    saved_logits = None if full is None else _logits("the SavedModel", full, card, images)
    if twin_logits is None or saved_logits is None:
        return
    _compare(card, twin_logits, saved_logits, "the SavedModel")


def _compare(card: ModelCard, first: Array, second: Array, other_name: str) -> None:
    allowed = AGREEMENT if card.quantization is None else AGREEMENT + MARGIN * card.quantization.max_error
    apart = float(np.abs(first - second).max())
    if not apart <= allowed:
        raise BrokenVersion(
            f"model.tflite and {other_name} differ by {apart:.3g} in a logit of the background images; expected "
            f"at most {allowed:g}"
        )


def _logits(what: str, model: Model, card: ModelCard, images: Array) -> Array:
    try:
        logits = model.forward(images)
    except Exception as error:  # a foreign graph may raise anything
        raise BrokenVersion(f"{what} cannot answer the background images ({type(error).__name__})") from error
    if logits.shape != (len(images), len(card.classes)):
        raise BrokenVersion(f"{what} gave logits {logits.shape}; expected {(len(images), len(card.classes))}")
    if not np.isfinite(logits).all():
        raise BrokenVersion(f"{what} gave logits that are not finite for the background images")
    return logits


def check_explains(card: ModelCard, twin: Model | None, model: Model) -> None:
    """Check a `model` that explains without TensorFlow: it gives the twin's logits, a row's answer does not depend on
    the other rows, gradients are the slopes of forward on three pictures, and all numbers are finite.

    Raises:
        BrokenVersion: which of them does not hold.
    """
    try:
        _check_explains(card, twin, model)
    except BrokenVersion:
        raise
    except Exception as error:  # a foreign file may raise anything
        kind = type(error).__name__
        raise BrokenVersion(f"its LiteRT files cannot explain the background images ({kind})") from error


def _check_explains(card: ModelCard, twin: Model | None, model: Model) -> None:
    rows = max([len(card.background), *_blocks(card)])
    images = np.resize(card.background, (rows, *card.background.shape[1:]))
    weights = np.eye(len(card.classes), dtype=np.float32)[np.arange(len(images)) % len(card.classes)]
    logits = model.forward(images)
    _check_rows("forward", logits, lambda row: model.forward(images[row : row + 1]))
    if twin is not None:
        _compare(card, _logits("model.tflite", twin, card, images), logits, "what explains")
    if "gradient" in model.verbs:
        slopes = model.gradient(images, weights)
        _check_rows("gradient", slopes, lambda row: model.gradient(images[row : row + 1], weights[row : row + 1]))
        for row in range(min(SLOPES, len(images))):
            _check_slope(model, images[row], weights[row], slopes[row])
    if "features" in model.verbs:
        found = model.features(images[:1], weights[:1])
        for name in ("embedding", "feature_map", "feature_gradient", "attention"):
            part = getattr(found, name)
            if part is None and name in card.verbs:
                raise BrokenVersion(f"its LiteRT features have no {name}, of which its card tells")
            if part is not None and not np.isfinite(part).all():
                raise BrokenVersion(f"its LiteRT features have {name} that are not finite")


def _blocks(card: ModelCard) -> Iterator[int]:
    """The numbers of rows that the card's functions take."""
    return (rows for file in card.litert for several in file.rows.values() for rows in several)


SLOPES = 3  # pictures whose gradient is compared with differences of forward
STEP = 0.05  # of pixels in [0, 1], along a direction of length 1: well above the rounding of logits
STEEP = 0.05  # of the slope's length, by which it may differ from a difference quotient


def _check_rows(verb: str, several: Array, single: Callable[[int], Array]) -> None:
    if not np.isfinite(several).all():
        raise BrokenVersion(f"its LiteRT {verb} gives values that are not finite for the background images")
    unit = float(np.abs(several).max())
    for row in range(min(SLOPES, len(several))):
        apart = float(np.abs(single(row)[0] - several[row]).max())
        if not apart <= AGREEMENT * max(unit, AGREEMENT):
            raise BrokenVersion(
                f"its LiteRT {verb} gives one background image alone {apart:.3g} otherwise than among others; expected "
                f"at most {AGREEMENT:g} of {unit:.3g}"
            )


def _check_slope(model: Model, image: Array, weights: Array, slope: Array) -> None:
    """Compare with difference quotients along the slope itself and in a random direction."""
    length = float(np.linalg.norm(slope))
    other = np.random.default_rng(0).choice([-1.0, 1.0], image.shape)
    for direction in (slope / length if length else other, other / np.linalg.norm(other)):
        step = (STEP * direction).astype(np.float32)
        ahead, behind = model.forward(np.stack([image + step, image - step])) @ weights
        measured, claimed = float(ahead - behind) / (2 * STEP), float((slope * direction).sum())
        if not abs(measured - claimed) <= STEEP * length + AGREEMENT:
            raise BrokenVersion(
                f"its LiteRT gradient says that logits rise by {claimed:.4g} where they rise by {measured:.4g}"
            )


def check_same(card: ModelCard, model: Model, other: Model) -> None:
    """Check that gradients and features of both models are the same, to AGREEMENT of the largest value.

    Raises:
        BrokenVersion: which are not.
    """
    images = card.background
    weights = np.eye(len(card.classes), dtype=np.float32)[np.arange(len(images)) % len(card.classes)]
    weights[1::2] -= np.roll(weights[1::2], 1, axis=1)
    if "gradient" in model.verbs:
        _check_same("gradient", model.gradient(images, weights), other.gradient(images, weights))
    if "features" in model.verbs:
        first, second = (one.features(images, weights) for one in (model, other))
        for name in ("embedding", "feature_map", "feature_gradient", "attention"):
            if getattr(first, name) is not None:
                _check_same(name, getattr(first, name), getattr(second, name))


def _check_same(what: str, first: Array, second: Array) -> None:
    apart, unit = float(np.abs(first - second).max()), float(np.abs(second).max())
    if not apart <= AGREEMENT * unit:
        raise BrokenVersion(
            f"LiteRT and the SavedModel differ by {apart:.3g} in a {what} of the background images; expected at most "
            f"{AGREEMENT:g} of {unit:.3g}"
        )
