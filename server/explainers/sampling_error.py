"""Standard errors of means of few draws, so wide that two of them hold 95 % of the truth. Knows no images."""

import numpy as np

from server.types import Array

MOST = 2  # standard errors, in e-folds, that a strength may be off


def widened(degrees: Array | float) -> Array:
    """By what a standard error with so many degrees of freedom is multiplied, so that two of it hold as much as two of
    a known one: half the quantile of Student's t at .977, by its expansion, to 0.4 % (6 % for one degree)."""
    degrees = np.maximum(degrees, 1.0)
    widening: Array = np.exp((1.25 + 0.75 / degrees) / degrees)
    return widening


def effective_draws(draws: Array) -> float:
    """How many draws (n, ...) would differ from their mean as much as these do, if all differed equally (Kish's
    effective sample size)."""
    energies = ((draws - draws.mean(axis=0)) ** 2).reshape(len(draws), -1).sum(axis=1)
    return float(energies.sum() ** 2 / (energies**2).sum()) if energies.any() else float(len(draws))


def stderr_of_mean(draws: Array) -> Array:
    """Standard error (...) of the mean of independent draws (n, ...), n >= 2.

    Few draws may make all of it, so `effective_draws` less one are the degrees of freedom. And where draws are skewed,
    a mean that missed the rare large ones misses them in its error too: Hall (1983), doi:10.1214/aop/1176993668, has
    the first term of the correction.
    """
    count = len(draws)
    centred = draws - draws.mean(axis=0)
    squares = centred * centred  # not powers: a cube by pow took a fifth of a whole explanation
    second, third = squares.sum(axis=0), (squares * centred).sum(axis=0)
    skewness = np.divide(third**2, second**3, out=np.zeros_like(second), where=second > 0)  # squared, over n
    widening = widened(effective_draws(draws) - 1) * (1 + skewness)
    error: Array = np.sqrt(second / (count * (count - 1))) * widening
    return error


def stderr_of_strength(strengths: Array, stderr: Array) -> Array:
    """The standard error of what cannot be below 0, from that of the same by its draws: its logarithm is off either way
    alike, so it may be farther above than below, and the upper side is told."""
    relative = np.divide(stderr, strengths, out=np.zeros_like(stderr), where=strengths > 0)
    upper: Array = np.where(strengths > 0, strengths * np.expm1(np.minimum(2 * relative, 2 * MOST)) / 2, stderr)
    return np.maximum(upper, stderr)
