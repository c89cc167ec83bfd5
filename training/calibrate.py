"""What validation images tell of a trained net: the temperature that makes its probabilities honest, and the energy
below which a picture does not look like the training data.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from training.data import Array

QUANTILE = (
    0.01  # of validation images, half of them augmented, that the energy threshold calls unlike the training data
)
TAIL = 0.05  # of the digits, whose probabilities are kept for prediction sets: for coverages from 0.95 on


def temperature(logits: Array, labels: Array) -> float:
    """The T > 0 that minimises the negative log-likelihood of softmax(logits / T); logits (n, K), labels (n,).

    Guo et al., On Calibration of Modern Neural Networks (2017), arXiv:1706.04599.
    """
    best = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(best.x))


def negative_log_likelihood(logits: Array, labels: Array) -> float:
    """Mean of -log softmax(logits)[label], in nats."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def energy_score(logits: Array, temperature: float) -> Array:
    """temperature * logsumexp(logits / temperature) for logits (n, K); low for pictures unlike the training data.

    Liu et al., Energy-based Out-of-distribution Detection (2020), arXiv:2010.03759 (the negative of their energy).
    """
    return np.asarray(temperature * logsumexp(logits.astype(np.float64) / temperature, axis=1))


def prediction_sets(probabilities: Array, labels: Array) -> dict[str, Any]:
    """What a card has for prediction sets, which the contract of the model store describes: of n digits with
    probabilities (n, K), the lowest TAIL of those of the right class."""
    right = np.sort(probabilities.astype(np.float64)[np.arange(len(labels)), labels])
    return {"n": len(labels), "lowest": [float(f"{value:.6g}") for value in right[: max(1, int(TAIL * len(right)))]]}


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence, weighted by their share."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        np.mean(bin_of == b) * abs(confidence[bin_of == b].mean() - right[bin_of == b].mean())
        for b in np.unique(bin_of)
    ]
    return float(np.sum(gaps))


def in_rows(function: Callable[[Array], Array], images: Array, rows: int = 500) -> Array:
    """function applied to images (n, H, W) some rows at a time, so that memory stays small."""
    return np.concatenate([np.asarray(function(images[i : i + rows])) for i in range(0, len(images), rows)])
