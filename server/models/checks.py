"""What a loaded version has to answer before it may serve. Runs models; knows neither their files nor their kind."""

from collections.abc import Callable

import numpy as np

from server.models.card import BrokenVersion
from server.types import Array, Model, ModelCard

AGREEMENT = 1e-3  # between the logits of a SavedModel and of its twin; at export they differed by a tenth of that

Check = Callable[[ModelCard, Model | None, Model | None, Array], None]


def check_answers(card: ModelCard, twin: Model | None, full: Model | None, images: Array) -> None:
    """What the twin and the SavedModel, where they are there, say of images (n, H, W).

    Raises:
        BrokenVersion: logits are not finite, not one for each class, or not the same.
    """
    ours = None if twin is None else _logits("model.tflite", twin, card, images)
    theirs = None if full is None else _logits("the SavedModel", full, card, images)
    if ours is None or theirs is None:
        return
    apart = float(np.abs(ours - theirs).max())
    if apart > AGREEMENT:
        raise BrokenVersion(
            f"model.tflite and the SavedModel differ by {apart:.3g} in a logit of the background images; expected at "
            f"most {AGREEMENT:g}"
        )


def _logits(what: str, model: Model, card: ModelCard, images: Array) -> Array:
    try:
        logits = model.forward(images)
    except Exception as error:  # whatever a foreign graph raises
        raise BrokenVersion(f"{what} can not answer the background images ({type(error).__name__})") from error
    if logits.shape != (len(images), len(card.classes)):
        raise BrokenVersion(f"{what} gave logits {logits.shape}; expected {(len(images), len(card.classes))}")
    if not np.isfinite(logits).all():
        raise BrokenVersion(f"{what} gave logits that are not finite for the background images")
    return logits
