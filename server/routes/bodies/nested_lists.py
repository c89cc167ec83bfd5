"""Converts nested lists of JSON to arrays. Knows no dialect: they share this format of tensors."""

from dataclasses import dataclass
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
            raise _uneven(name, len(shape))
        values, shape = list(chain.from_iterable(values)), (*shape, lengths.pop())
    return values, shape


@dataclass(frozen=True)
class Numbers:
    """Nested lists of numbers, all of one shape and none empty, as an array float64: what large ones are kept as."""

    array: Array

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"a list of {len(self)}, {self.array.size} numbers in all"


def kind_of(value: Any) -> str:
    """The type of a value of JSON, as Python calls it."""
    return "list" if isinstance(value, Numbers) else type(value).__name__


def as_array(data: list[Any]) -> Array | None:
    """Nested lists of numbers of one shape as an array float64; None for anything else, and for empty lists."""
    try:
        values, shape = flat(data, "")
        return _array(values, "").reshape(shape) if values else None
    except InvalidTensor:
        return None


def numbers(data: Any, name: str) -> Array:
    """Nested lists of numbers as an array float64.

    Raises:
        InvalidTensor: something else.
    """
    if isinstance(data, Numbers):
        return data.array
    if isinstance(data, list) and Numbers in set(map(type, data)):
        rows = [numbers(row, f"row {number} of {name}") for number, row in enumerate(data)]
        if len({row.shape for row in rows}) > 1:
            raise _uneven(name, 1)
        return np.stack(rows)
    values, shape = flat(data, name)
    return _array(values, name).reshape(shape)


def _uneven(name: str, depth: int) -> InvalidTensor:
    return InvalidTensor(
        f"{name} has lists of different lengths side by side, at depth {depth}; every element must have the same shape"
    )


def _array(values: list[Any], name: str) -> Array:
    if not (kinds := set(map(type, values))) <= {int, float}:
        others = sorted(KINDS.get(kind, kind.__name__) for kind in kinds - {int, float})
        raise InvalidTensor(f"{name} holds {', '.join(others)}; expected numbers only")
    try:
        return np.array(values, np.float64)
    except OverflowError as error:
        raise InvalidTensor(f"{name} holds a whole number that is too large; expected 0 to 1") from error
