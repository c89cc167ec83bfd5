"""The images that are read wrongly with the greatest certainty, and why."""

import numpy as np
from scipy.special import softmax

from server.explainers import EXPLAINERS
from server.types import Model, Target
from training.data import Array
from training.visualise.figures import Figure, canvas, show

ABOUT = (
    "What is read wrongly with the highest probability. Under each image what speaks for the answer and against the "
    "right one, red, and what speaks for the right one, blue."
)
METHOD = "shapley"
SHOWN = 20


def draw(model: Model, images: Array, labels: Array, logits: Array, seed: int) -> list[Figure]:
    """Of images (n, H, W) with labels (n,) and logits (n, K)."""
    worst = ordered(logits / model.card.temperature, labels)[:SHOWN]
    if not len(worst):
        return []
    probabilities = softmax(logits / model.card.temperature, axis=1)
    columns = min(10, len(worst))
    rows = -(-len(worst) // columns)
    with canvas(1.1 * columns, 2.5 * rows) as (figure, buffer):
        places = figure.subplots(2 * rows, columns, squeeze=False)
        for place in places.ravel():
            place.set_axis_off()
        for number, index in enumerate(worst):
            row, column = divmod(number, columns)
            answer, right = int(logits[index].argmax()), int(labels[index])
            classes = model.card.classes
            places[2 * row, column].set_title(
                f"{classes[right]} as {classes[answer]}\n{probabilities[index, answer]:.0%}"
            )
            show(places[2 * row, column], images[index])
            target = Target.contrast(answer, right, classes)
            *_, last = EXPLAINERS[METHOD]().refine(model, images[index], target, seed)
            show(places[2 * row + 1, column], np.asarray(last.painted), signed=True)
    caption = f"{len(worst)} images that are read wrongly, the surest first; below, {METHOD} of answer against truth."
    return [Figure("mistakes", buffer.getvalue(), caption)]


def ordered(logits: Array, labels: Array) -> Array:
    """The indices of logits (n, K) whose largest is not that of the label, the surest first."""
    sure = softmax(logits, axis=1).max(axis=1)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    found: Array = wrong[np.argsort(-sure[wrong], kind="stable")]
    return found
