"""Parses named values into checked requests for an explanation: those of a query, or JSON values in the object
`parameters` of the other dialects. A request with an unknown name is refused."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from math import inf
from typing import Any

from server.errors import InvalidOption, KeyInQuery
from server.explainers import ALIASES, BEST, EXPLAINERS
from server.inference.explain import ExplainRequest
from server.options import boolean, number, shown, unknown_name
from server.reference import ENGINES, REFERENCES
from server.routes.service import service

ABOUT = ("method", "engine", "target", "versus", "output", "seed", "budget_ms", "quality")
COMMON_PARAMETERS = {  # clients send them to any server
    "binary_data_output", "priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "content_type",
}  # fmt: skip
KEY_NAMES = frozenset({"key", "api_key", "apikey", "api-key", "x-api-key", "token", "access_token", "authorization"})
SEND_THE_KEY = "send the header `Authorization: Bearer KEY` or `X-API-Key: KEY`"
METHOD = "shapley"
LARGEST_SEED = 2**32 - 1  # what numpy's RandomState takes


def explain_request_of(values: Mapping[str, str], about: Collection[str], where: str) -> ExplainRequest:
    """The explanation that a query requests; names that are not in `about` are options of its method."""
    method = values.get("method", METHOD)
    engine = choice(values, "engine", ENGINES, "inkling")
    if method == BEST:
        _reject_beside_best(values, about, engine, where)
    explainer = (REFERENCES if engine == "reference" else EXPLAINERS).get(ALIASES.get(method, method))
    return ExplainRequest(
        method,
        method_options(values, about, explainer, f"{where} with method {method}"),
        values.get("target"),
        values.get("versus"),
        choice(values, "output", ("logit", "probability"), "logit"),
        number("seed", values.get("seed", 0), int, 0, LARGEST_SEED),
        choice(values, "frame", ("original", "model"), "original"),
        engine,
        boolean("quality", values.get("quality", False)),
    )


def _reject_beside_best(values: Mapping[str, str], about: Collection[str], engine: str, where: str) -> None:
    """Refuse what a method that is chosen by a trial cannot be given.

    Raises:
        InvalidOption: an option of a method, or another engine.
        UnknownOption: an option that no method has.
    """
    if engine != "inkling":
        raise InvalidOption(
            f"method=best is one of Inkling's own methods; name the method for engine={engine}, or leave the engine out"
        )
    options = {one.name for explainer in EXPLAINERS.values() for one in fields(explainer)}
    if given := [name for name in values if name in options]:
        raise InvalidOption(
            f"{given[0]} is beside method=best, which has the options that were tried; name the method to give options"
        )
    reject_unknown(values, about, f"{where} with method best")


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


def reject_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse names that are not known.

    Raises:
        UnknownOption: with the nearest known name.
    """
    for name in values:
        if name not in known:
            raise unknown_name(name, known, where)


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


def method_options(values: Mapping[str, str], about: Collection[str], method: Any, where: str) -> dict[str, str]:
    """The options of a method, which are its fields (None for an unknown method): all names that are not in `about`.

    Raises:
        UnknownOption: the method has none of that name; the message has the nearest known one.
    """
    options = {name: value for name, value in values.items() if name not in about}
    if method is not None:
        reject_unknown(options, [*about, *(one.name for one in fields(method))], where)
    return options


def choice(values: Mapping[str, str], name: str, choices: Collection[str], default: str) -> Any:
    """One of `choices`.

    Raises:
        InvalidOption: another value.
    """
    value = values.get(name, default)
    if value not in choices:
        raise InvalidOption(f"{name}={shown(value)}; expected one of {', '.join(choices)}")
    return value
