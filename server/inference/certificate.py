"""Certifies an attribution beyond what its method says: why it stopped, and how certain its order is."""

from dataclasses import replace

import numpy as np

from server.types import Array, Attribution, Stop

TOP = 3
REACH = 5  # standard errors that a value may be off
DRAWS = 2000  # of all values
NUMBERS = 500_000  # drawn at most
IN_HASTE = 100_000  # drawn at most after the budget has ended: 2 ms; the share is then right to 0.05
FEW_PARTS = 2  # up to so many parts say nothing of how errors go together
MOST_PARTS = 64  # of more, an even share of them says enough


def certified(attribution: Attribution, out_of_time: bool) -> Attribution:
    """The attribution with its reason for stopping and the probability that its three strongest values are in the right
    order."""
    stop: Stop = "budget" if out_of_time else "limit"
    if attribution.state != "partial":
        stop = attribution.stop or attribution.state
    probability = top_order_probability(attribution, IN_HASTE if out_of_time else NUMBERS)
    return replace(attribution, stop=stop, top3_probability=probability, error_parts=None)


def top_order_probability(attribution: Attribution, numbers: int = NUMBERS) -> float | None:
    """The probability that the true values have the same three strongest, in the same order; None where the method
    cannot say.

    1 for exact values. Else the share of draws of all values from normal distributions around them, with their standard
    errors, that agree. Errors go together as the method says; where it does not, they are independent. Ties count as
    certain.
    """
    if attribution.state == "exact":
        return 1.0
    values, errors = attribution.ranked
    if errors is None:
        return None
    strongest = np.argsort(-np.abs(values), kind="stable")
    third = strongest[:TOP][-1]
    reach = np.abs(values) + REACH * errors >= np.abs(values[third]) - REACH * errors[third]
    strongest = strongest[reach[strongest] | (np.arange(len(strongest)) < TOP)]
    noise = _noise(attribution.error_parts, strongest, min(DRAWS, numbers // len(strongest)))
    draws = values[strongest] + errors[strongest] * noise
    sizes = np.abs(draws, out=draws)
    top, rest = sizes[:, :TOP], sizes[:, TOP:]  # not sorted: this may be all that a budget still waits for
    agree = (top[:, 1:] <= top[:, :-1]).all(axis=1) & (rest.max(axis=1, initial=0) <= top[:, -1])
    return float(agree.mean())


def _noise(parts: Array | None, units: Array, count: int) -> Array:
    """Standard normal errors of `units` (c,), (count, c), that go together as random sums of `parts` (k, n) do. How
    they do is the less known the fewer parts matter, so some of each error is its own."""
    rng = np.random.default_rng(0)
    own: Array = rng.normal(size=(count, len(units)))
    if parts is None:
        return own
    parts = parts[:: -(-len(parts) // MOST_PARTS), units]
    parts = np.divide(parts, sizes := np.sqrt((parts**2).sum(axis=0)), out=np.zeros_like(parts), where=sizes > 0)
    energies = (parts**2).sum(axis=1)
    share = min(1.0, FEW_PARTS / max(float(energies.sum() ** 2 / ((energies**2).sum() or 1)), 1.0))
    together = rng.normal(size=(count, len(parts))) @ parts
    mixed: Array = (1 - share) ** 0.5 * together + share**0.5 * own
    return mixed
