"""Words numbers, units and the two sides of a target for people, the same in a legend and in an alt text.

Knows neither the layout nor what the heatmap looks like.
"""

from server.types import Explanation, Target, Unit

UNITS: dict[Unit, str] = {
    "logit": "logit",
    "probability": "probability",
    "logit_per_ink": "logit per ink",
    "probability_per_ink": "probability per ink",
    "share": "share of attention",
    "score": "score, no unit",
}

STRENGTHS: dict[Unit, str] = {
    "logit": "influence",
    "probability": "influence",
    "logit_per_ink": "sensitivity",
    "probability_per_ink": "sensitivity",
    "share": "attention",
    "score": "importance",
}
"""What an unsigned map shows, as one noun."""

STRANGE = "this does not look like a digit the model was trained on"


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


def prediction_sentence(label: str, probability: float) -> str:
    return f"Predicted {label} ({percent(probability)})"


def method(explanation: Explanation) -> str:
    """The method, and whose code it is where it is not ours."""
    name = explanation.explainer.name
    return name if explanation.engine == "inkling" else f"{name} (reference package)"


def sides(target: Target, classes: tuple[str, ...]) -> tuple[str, str]:
    """What positive and what negative values do. A contrast has a class on each side: "4, not 9" weighs 4 against 9."""
    if target.versus is None:
        return f"for {target.label}", f"against {target.label}"
    return f"for {classes[target.index]}", f"for {classes[target.versus]}"
