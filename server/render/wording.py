"""Writes numbers and units for people. english.py and chinese.py make sentences of them."""

from server.types import Unit

UNITS: dict[Unit, str] = {
    "logit": "logit",
    "probability": "probability",
    "logit_per_ink": "logit per ink",
    "probability_per_ink": "probability per ink",
    "share": "share of attention",
    "score": "score, no unit",
}


def percent(share: float) -> str:
    """A probability with one decimal; never rounded up to certainty nor down to impossibility."""
    if share > 0.9995:
        return "100 %" if share >= 1 else "over 99.9 %"
    if share < 0.0005:
        return "0 %" if share <= 0 else "under 0.1 %"
    return f"{100 * share:.1f} %"


def number(value: float) -> str:
    """Three significant digits at most, without trailing zeros: 1.2, 0.034, 2e-05."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def whole(share: float) -> str:
    """A share without decimals: 41 %."""
    return f"{100 * share:.0f} %"
