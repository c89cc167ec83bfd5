"""Parses shares such as cnn@canary:0.05: of what is sent to a model, so much goes to the version under that label."""

from collections.abc import Mapping
from dataclasses import dataclass

EXPECTED = "MODEL@LABEL:SHARE, such as cnn@canary:0.05, several with ; between them"


@dataclass(frozen=True)
class Share:
    """A share of what is sent to `model`, in (0, 1], for the version under `label`."""

    model: str
    label: str
    share: float


def parse_shares(text: str) -> Mapping[str, Share]:
    """Shares by model.

    Raises:
        ValueError: anything else, or two shares for one model.
    """
    found: dict[str, Share] = {}
    for part in text.split(";"):
        named, _, number = part.rpartition(":")
        model, _, label = named.rpartition("@")
        try:
            share = float(number)
        except ValueError:
            share = 0.0
        if not model or not label or label.isdecimal() or not 0 < share <= 1:
            raise ValueError(f"{part!r} is no share; expected {EXPECTED}")
        if model in found:
            raise ValueError(f"{text!r} has two shares of {model}; expected one for each model")
        found[model] = Share(model, label, share)
    return found
