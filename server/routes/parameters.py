"""The options of an explanation as the dialects of machines send them: JSON values in the object `parameters`."""

from collections.abc import Mapping
from math import inf
from typing import Any

from server.inference.explain import ExplainRequest
from server.routes.inkling import budget_of, explain_request_of

ABOUT = ("method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality")
PROTOCOL = {  # what clients send to every server, whatever it does
    "binary_data_output", "priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "content_type",
}  # fmt: skip


def explain_request_in(
    parameters: Mapping[str, Any], where: str, most: float | None = None
) -> tuple[ExplainRequest, float]:
    """What `parameters` want explained, and within how many seconds, of which there are `most`.

    Raises:
        ServiceError: an unknown option, or a value that it can not take.
    """
    values = {name: value for name, value in parameters.items() if name not in PROTOCOL}
    for name in ("target", "versus"):
        if type(values.get(name)) is int:
            values[name] = str(values[name])
    request = explain_request_of(values, ABOUT, where)
    return request, min(budget_of(values), inf if most is None else most)
