"""Converts arrays, numpy scalars and options to strict JSON. Knows no explanation.

A number that is not finite is a bug in the computation and never becomes 0: it raises, and the request fails. Only
where a field may say "not known" (None) does it become that.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from server.types import Array


def finite(array: Array, name: str) -> Array:
    """The array itself. Raises ValueError when it holds NaN or an infinity."""
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a number that is not finite")
    return array


def json_text(document: Any) -> bytes:
    """UTF-8 without spaces, for most of it is numbers. Arrays become nested lists, of float32 with just the digits that
    give the same float32 again. It would write null for what is not finite: everything here raises before that."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:  # half of a surrogate pair, as names on disk and texts in JSON may hold
        return json.dumps(
            document, allow_nan=False, separators=(",", ":"), default=lambda array: array.tolist()
        ).encode()


def plain_floats(array: Array, name: str) -> Array:
    """The array as `json_text` takes it: float32, in rows. Raises ValueError unless finite."""
    return np.ascontiguousarray(finite(np.asarray(array, np.float32), name) + np.float32(0))  # + 0: -0.0 becomes 0.0


def plain_float(value: float, name: str) -> float:
    """Nine significant digits: a float32 survives, and nobody reads more. Raises ValueError unless finite."""
    if not math.isfinite(value):
        raise ValueError(f"{name} is not finite")
    return float(f"{float(value):.9g}") + 0.0


def known_float(value: float | None, name: str) -> float | None:
    """None for what is not known, be it None or not finite (such as the R2 of a constant)."""
    return None if value is None or not math.isfinite(value) else plain_float(value, name)


def plain(value: Any, name: str) -> Any:
    """An option's value as JSON takes it. Raises ValueError for floats that are not finite, TypeError for the rest."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), name)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return plain_float(value, name)
    if isinstance(value, Mapping):
        return {str(key): plain(item, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, name) for item in value]
    if isinstance(value, set | frozenset):
        return [plain(item, name) for item in sorted(value)]
    raise TypeError(f"{name} is a {type(value).__name__}, which has no form in JSON")
