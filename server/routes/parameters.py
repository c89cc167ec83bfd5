"""Parses named values into checked requests for an explanation: those of a query, or JSON values in the object
`parameters` of the other dialects. A request with an unknown name is refused."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from server.errors import KeyInQuery
from server.inference import explain_request
from server.inference.explain import ExplainRequest
from server.inference.explain_request import explain_request_of
from server.options import number
from server.routes.service import service

ABOUT = (*explain_request.ABOUT, "budget_ms", "quality")
COMMON_PARAMETERS = {  # clients send them to any server
    "binary_data_output", "priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "content_type",
}  # fmt: skip
KEY_NAMES = frozenset({"key", "api_key", "apikey", "api-key", "x-api-key", "token", "access_token", "authorization"})
SEND_THE_KEY = "send the header `Authorization: Bearer KEY` or `X-API-Key: KEY`"


def budget_of(values: Mapping[str, Any]) -> float:
    """The time budget of a query in seconds."""
    limit = service().max_budget_ms
    seconds: float = number("budget_ms", values.get("budget_ms", limit), int, 1, limit) / 1000
    return seconds


def explain_request_in(
    parameters: Mapping[str, Any], where: str, limit: float | None = None
) -> tuple[ExplainRequest, float]:
    """The explanation that `parameters` request, and within how many seconds, of which there are at most `limit`.

    Raises:
        ServiceError: an unknown option, or a value that it cannot take.
    """
    values = {name: value for name, value in parameters.items() if name not in COMMON_PARAMETERS}
    for name in ("target", "versus"):
        if type(values.get(name)) is int:
            values[name] = str(values[name])
    request = explain_request_of(values, ABOUT, where)
    return request, min(budget_of(values), inf if limit is None else limit)


def reject_keys(names: Iterable[str], where: str) -> None:
    """Refuse a key among the options of the query, the form or the JSON, where keys are required.

    Raises:
        KeyInQuery: one of the `names` says that its value is a key.
    """
    if misplaced := sorted(name for name in names if name.lower() in KEY_NAMES):
        raise KeyInQuery(
            f"a key in the {where} ({misplaced[0][:50]}), where logs and histories may keep it: take it for lost, make "
            f"a new one, and {SEND_THE_KEY}"
        )
