"""Certifies an attribution beyond what its method says: why it stopped, and how certain its order is."""

from dataclasses import replace

import numpy as np

from server.types import Array, Attribution, Stop

TOP = 3
REACH = 5  # standard errors that a value may be off
DRAWS = 2000  # of all values
NUMBERS = 500_000  # drawn at most
IN_HASTE = 100_000  # drawn at most after the budget has ended: 2 ms; the share is then right to 0.05


def certified(attribution: Attribution, out_of_time: bool) -> Attribution:
    """The attribution with its reason for stopping and the probability that its three strongest values are in the right
    order."""
    stop: Stop = "budget" if out_of_time else "limit"
    if attribution.state != "partial":
        stop = attribution.stop or attribution.state
    return replace(attribution, stop=stop, top3_probability=top_order_probability(attribution), error_parts=None)


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
    draws = values[strongest] + errors[strongest] * _noise(attribution.error_parts, strongest)
    order = np.argsort(-np.abs(draws), axis=1, kind="stable")[:, :TOP]
    return float((order == np.arange(min(TOP, len(strongest)))).all(axis=1).mean())


def _noise(parts: Array | None, units: Array) -> Array:
    """Standard normal errors of `units` (c,), (draws, c), that go together as random sums of `parts` (k, n) do."""
    if parts is not None:
        parts = parts[:, units]
        if len(parts) > len(units):
            parts = np.asarray(np.linalg.qr(parts, mode="r"))  # fewer rows, whose random sums are the same
        parts = np.divide(parts, sizes := np.sqrt((parts**2).sum(axis=0)), out=np.zeros_like(parts), where=sizes > 0)
    count = min(DRAWS, NUMBERS // len(units))
    noise: Array = np.random.default_rng(0).normal(size=(count, len(units if parts is None else parts)))
    return noise if parts is None else noise @ parts
