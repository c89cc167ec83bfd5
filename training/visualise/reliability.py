"""Which classes are taken for which, and whether probabilities are what they say."""

import numpy as np
from scipy.special import softmax

from server.types import Model
from training.calibrate import expected_calibration_error
from training.data import Array
from training.visualise.figures import Figure, canvas

ABOUT = (
    "How often each digit is taken for each other one, and how often answers are right that were given with a certain "
    "probability: on the diagonal, probabilities are what they say."
)
BINS = 15


def draw(model: Model, logits: Array, labels: Array) -> list[Figure]:
    """Of logits (n, K) for images with labels (n,)."""
    return [_confusion(model.card.classes, logits, labels), _reliability(logits / model.card.temperature, labels)]


def counts(classes: int, predicted: Array, labels: Array) -> Array:
    """How often (K, K) each class, by row, is taken for each, by column."""
    found: Array = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return found


def _confusion(classes: tuple[str, ...], logits: Array, labels: Array) -> Figure:
    table = counts(len(classes), logits.argmax(axis=1), labels)
    wrong = table - np.diag(np.diag(table))
    with canvas(5.5, 5) as (figure, buffer):
        place = figure.subplots()
        place.imshow(wrong, cmap="Reds", vmin=0, vmax=max(1, int(wrong.max())))
        for (row, column), count in np.ndenumerate(table):
            if count:
                strong = wrong[row, column] > 0.6 * wrong.max()
                place.text(
                    column, row, str(count), ha="center", va="center", fontsize=8, color="white" if strong else "black"
                )
        place.set_xticks(range(len(classes)), classes)
        place.set_yticks(range(len(classes)), classes)
        place.set_xlabel("taken for")
        place.set_ylabel("is")
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    most = f"; most often {classes[row]} for {classes[column]}, {wrong[row, column]:,} times" if wrong.any() else ""
    return Figure(
        "confusion", buffer.getvalue(), f"{wrong.sum():,} of {len(labels):,} are taken for another digit{most}."
    )


def _reliability(logits: Array, labels: Array) -> Figure:
    probabilities = softmax(logits, axis=1)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    there = np.unique(bins)
    with canvas(5.5, 4) as (figure, buffer):
        place = figure.subplots()
        place.plot([0, 1], [0, 1], color="0.7", lw=1)
        means = [(sure[bins == b].mean(), right[bins == b].mean(), int((bins == b).sum())) for b in there]
        place.plot([one[0] for one in means], [one[1] for one in means], "o-", color="#b03a2e")
        for x, y, count in means:
            place.annotate(f"{count:,}", (x, y), textcoords="offset points", xytext=(6, -10), fontsize=7)
        place.set_xlabel("probability of the answer")
        place.set_ylabel("share of answers that are right")
    error = expected_calibration_error(probabilities, labels, BINS)
    return Figure(
        "reliability", buffer.getvalue(), f"Mean gap {error:.2%}; numbers are how many answers stand behind a point."
    )
