"""Reads what is usual for a version: the `reference.json` of model_store/README.md. Must not run the model."""

import json
import math
from typing import Any

import numpy as np

from server.types import REFERENCE_BOUNDS, REFERENCE_CELLS, Array, Reference

FORMAT = 1
LARGEST = 1 << 20  # bytes


def parse_reference(content: bytes, classes: int) -> Reference:
    """What is usual for a version with so many classes.

    Raises:
        ValueError: it is not as the contract says.
    """
    if len(content) > LARGEST:
        raise ValueError(f"has {len(content)} bytes; expected at most {LARGEST}")
    try:
        stored = json.loads(content)
        if stored["format"] != FORMAT:
            raise ValueError(f"has format {stored['format']!r:.50}; expected {FORMAT}")
        evidence = stored["evidence"]
        found = Reference(
            stored["images"],
            _shares("classes", stored["classes"], (classes,)),
            _shares("confidence", stored["confidence"], (len(REFERENCE_BOUNDS) + 1,)),
            float(stored["out_of_distribution"]),
            str(evidence["method"]),
            _shares("evidence", evidence["cells"], (classes, REFERENCE_CELLS**2)),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__}: {error})"[:300]) from error
    if type(found.images) is not int or found.images <= 0 or not 0 <= found.out_of_distribution <= 1:
        raise ValueError(
            f"is of {found.images!r:.20} images, {found.out_of_distribution:g} of them out of distribution"
        )
    return found


def _shares(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    """Shares that add up to 1 in their last axis."""
    found: Array = np.array(values, float)
    if found.shape != shape or not np.isfinite(found).all() or found.min() < 0:
        raise ValueError(f"has {name} of shape {found.shape}; expected shares {shape}")
    if not all(math.isclose(total, 1, abs_tol=1e-3) for total in found.reshape(-1, shape[-1]).sum(axis=1)):
        raise ValueError(f"has {name} that do not add up to 1")
    return found
