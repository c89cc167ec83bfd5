"""Converts nested lists of JSON to arrays. Knows no dialect: they share this format of tensors."""

from itertools import chain
from typing import Any

import numpy as np

from server.errors import InvalidTensor
from server.options import shown
from server.types import Array

KINDS = {dict: "objects", str: "texts", bool: "booleans", type(None): "null"}

DEEPEST = 8  # lists in lists; no tensor here has more than 4


def flat(data: Any, name: str) -> tuple[list[Any], tuple[int, ...]]:
    """The values of nested lists in their order, and the shape that they are nested in.

    Raises:
        InvalidTensor: no list, lists of different lengths beside each other, or more than DEEPEST in each other.
    """
    if not isinstance(data, list):
        raise InvalidTensor(f"{name} is {shown(data)}; expected a list")
    values: list[Any] = data
    shape: tuple[int, ...] = (len(data),)
    while list in (kinds := set(map(type, values))):
        if len(shape) == DEEPEST:
            raise InvalidTensor(f"{name} is nested more than {DEEPEST} deep; expected [n, height, width] or less deep")
        lengths = set(map(len, values)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            raise InvalidTensor(
                f"{name} has lists of different lengths side by side, at depth {len(shape)}; every element must have "
                "the same shape"
            )
        values, shape = list(chain.from_iterable(values)), (*shape, lengths.pop())
    return values, shape


def numbers(data: Any, name: str) -> Array:
    """Nested lists of numbers as an array float64.

    Raises:
        InvalidTensor: something else.
    """
    values, shape = flat(data, name)
    if not (kinds := set(map(type, values))) <= {int, float}:
        others = sorted(KINDS.get(kind, kind.__name__) for kind in kinds - {int, float})
        raise InvalidTensor(f"{name} holds {', '.join(others)}; expected numbers only")
    try:
        return np.array(values, np.float64).reshape(shape)
    except OverflowError as error:
        raise InvalidTensor(f"{name} holds a whole number that is too large; expected 0 to 1") from error
