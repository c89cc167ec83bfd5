"""Explanations to keep, and what must be equal of two that are the same."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from server.cache.entry import decode, encode
from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.types import Explanation, Model, Picture
from tests.inference.test_inference import One
from tests.support.models.fakes import Wavy
from tests.support.models.stores import SEVEN, card_28


def explanation(body: bytes = SEVEN, model: Model | None = None, **why: Any) -> Explanation:
    """One that is computed here and now, of a picture."""
    request = ExplainRequest(**{"method": "lime", "options": {"n_samples": "50"}, **why})
    return explain(One(model or Wavy(card_28())), Picture(body), ModelSelector("fake"), request).value


def again(found: Explanation) -> Explanation:
    """The same from its entry, shown as it was."""
    return replace(decode(encode(found), found.id), frame=found.frame, kept=found.kept)


def differing(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two values differ: by type, number of digits or shape, and NaN is equal to NaN; functions, by what they
    return."""
    if type(one) is not type(other):
        return [f"{at}: {type(one).__name__} and {type(other).__name__}"]
    if callable(one):
        return differing(one(), other(), f"{at}()")
    if isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        return [] if same else [f"{at}: {one!r} and {other!r}"]
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return [
            found for name in names for found in differing(getattr(one, name), getattr(other, name), f"{at}.{name}")
        ]
    if isinstance(one, tuple) and len(one) == len(other):
        return [
            found
            for number, pair in enumerate(zip(one, other, strict=True))
            for found in differing(*pair, f"{at}[{number}]")
        ]
    return [] if repr(one) == repr(other) else [f"{at}: {one!r} and {other!r}"]
