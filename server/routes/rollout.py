"""What routes do for a version on trial: choose whom it answers, and offer what was answered to its shadow."""

from collections.abc import Callable
from functools import partial

from flask import Response, after_this_request

from server.inference.tensors import Outputs
from server.rollout.shadow import Answered
from server.routes.caller import caller
from server.routes.service import service
from server.types import Array, Digit, ModelCard, Prediction


def answering_version(model: str, version: str | None) -> str | None:
    """The version that is asked for or, where none is, the label of the canary that answers this caller, if one
    does."""
    canary = service().canary
    if version is not None or canary is None:
        return version
    served_model = service().store.served_models.get(model)
    if served_model is None:
        return None
    labels = [label for label, to in served_model.labels.items() if to in served_model.versions]
    return canary.label_for(model, caller(service().proxies), labels)


def offer(prediction: Prediction, digit: Digit) -> None:
    """Offer a picture that was answered to the shadow, once its answer is out."""
    card, shadow = prediction.card, service().shadow
    if shadow is not None and card.name in shadow.shares:
        answered = Answered(card, prediction.index, prediction.probability, digit.pixels)
        _when_answered(partial(shadow.offer, answered))


def offer_rows(card: ModelCard, images: Array, outputs: Outputs) -> None:
    """Offer the rows (n, H, W) of a tensor that were answered."""
    shadow = service().shadow
    if shadow is None or card.name not in shadow.shares:
        return

    def offer_all() -> None:
        for image, logits, probabilities in zip(images, outputs["logits"], outputs["probabilities"], strict=True):
            index = int(logits.argmax())
            shadow.offer(Answered(card, index, float(probabilities[index]), image.copy()))

    _when_answered(offer_all)


def _when_answered(work: Callable[[], None]) -> None:
    """Do it once the answer to this request is out."""

    def register(response: Response) -> Response:
        response.call_on_close(work)
        return response

    after_this_request(register)
