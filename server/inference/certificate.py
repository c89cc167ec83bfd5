"""Certifies an attribution beyond what its method says: why it stopped, and how certain its order is."""

from dataclasses import replace

import numpy as np

from server.types import Attribution, Stop

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
    count = min(DRAWS, NUMBERS // len(strongest))
    rng = np.random.default_rng(0)
    if attribution.error_parts is None:
        noise = rng.normal(size=(count, len(strongest)))
    else:
        parts = attribution.error_parts[:, strongest]
        sizes = np.sqrt((parts**2).sum(axis=0))
        noise = rng.normal(size=(count, len(parts))) @ np.divide(
            parts, sizes, out=np.zeros_like(parts), where=sizes > 0
        )
    draws = values[strongest] + noise * errors[strongest]
    order = np.argsort(-np.abs(draws), axis=1, kind="stable")[:, :TOP]
    return float((order == np.arange(min(TOP, len(strongest)))).all(axis=1).mean())
