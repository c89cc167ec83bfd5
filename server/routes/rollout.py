"""What routes do for a version on trial: choose whom it answers, and offer what was answered to its shadow."""

from functools import partial

import numpy as np
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
    if service().shadow is not None:
        _offer(Answered(prediction.card, prediction.index, prediction.probability, digit.pixels))


def offer_rows(card: ModelCard, images: Array, outputs: Outputs) -> None:
    """Offer the rows (n, H, W) of a tensor that were answered."""
    if service().shadow is not None:
        probabilities = outputs["probabilities"]
        for row, index in enumerate(np.argmax(outputs["logits"], axis=1).tolist()):
            _offer(Answered(card, index, float(probabilities[row, index]), images[row].copy()))


def _offer(answered: Answered) -> None:
    shadow = service().shadow
    assert shadow is not None  # it was looked for

    def when_out(response: Response) -> Response:
        response.call_on_close(partial(shadow.offer, answered))
        return response

    after_this_request(when_out)
