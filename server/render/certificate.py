"""Says in words what a certificate means: what exactly converged, and how certain the order is."""

from server.render.language import ENGLISH, Words
from server.types import Attribution


def summary(attribution: Attribution, words: Words = ENGLISH) -> str:
    """One sentence on how far the values can be trusted as the method's own."""
    if attribution.state == "exact":
        return words.exact
    if attribution.state == "partial":
        return words.partial(attribution.stop)
    return words.approximate(_gap(attribution), attribution.uncorrected_delta is not None, _order(attribution))


def status(attribution: Attribution) -> str:
    """The same in a few English words, for legends."""
    gap, order = _gap(attribution), _order(attribution)
    if attribution.state != "converged":
        return attribution.state
    if gap is not None:
        return f"sums within {100 * gap:.2g} %"
    return "sampled" if order is None else f"sampled, top 3 p {order:.2f}"


def _gap(attribution: Attribution) -> float | None:
    """How far the values miss score - base value, or did before they were corrected, as a share of it; None where that
    says nothing: of fitted models, and of samples that always add up."""
    missed = attribution.uncorrected_delta
    if missed is None and attribution.stderr is None and attribution.local_r2 is None:
        missed = attribution.convergence_delta
    if missed is None or attribution.score is None or attribution.base_value is None:
        return None
    whole = abs(attribution.score - attribution.base_value)
    return abs(missed) / whole if whole else None


def _order(attribution: Attribution) -> float | None:
    return None if attribution.stderr is None else attribution.top3_probability
