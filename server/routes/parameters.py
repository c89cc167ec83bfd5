"""The options of an explanation as the dialects of machines send them: JSON values in the object `parameters`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.inference import Why
from server.routes.inkling import why_of

ABOUT = ("method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality")
PROTOCOL = {  # what clients send to every server, whatever it does
    "binary_data_output", "priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "content_type",
}  # fmt: skip


def why_in(parameters: Mapping[str, Any], where: str, most: float | None = None) -> Why:
    """What `parameters` want explained, within `most` seconds.

    Raises:
        ServiceError: an unknown option, or a value that it can not take.
    """
    values = {name: value for name, value in parameters.items() if name not in PROTOCOL}
    for name in ("target", "versus"):
        if type(values.get(name)) is int:
            values[name] = str(values[name])
    why = why_of(values, ABOUT, where)
    return why if most is None else replace(why, budget=min(why.budget, most))
