"""Parses named values, those of a query or of JSON, into a checked request for an explanation. A name that is not known
is refused. Knows no HTTP."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from server import explainers, reference
from server.errors import InvalidOption
from server.explainers import ALIASES, BEST, EXPLAINERS
from server.inference.explain import ExplainRequest
from server.inference.predict import class_index
from server.inference.trial import best
from server.options import boolean, choice, number, reject_unknown
from server.reference import ENGINES, REFERENCES
from server.types import ModelCard, Verb

ABOUT = ("method", "engine", "target", "versus", "output", "seed")  # the rest are options of the method
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


def method_options(values: Mapping[str, str], about: Collection[str], method: Any, where: str) -> dict[str, str]:
    """The options of a method, which are its fields (None for an unknown method): all names that are not in `about`.

    Raises:
        UnknownOption: the method has none of that name; the message has the nearest known one.
    """
    options = {name: value for name, value in values.items() if name not in about}
    if method is not None:
        reject_unknown(options, [*about, *(one.name for one in fields(method))], where)
    return options


def check_possible(request: ExplainRequest, card: ModelCard, verbs: frozenset[Verb]) -> None:
    """Check all that can be checked before there is a picture.

    Raises:
        ServiceError: no such method, option or class; the version cannot do it; or `versus` is the target itself.
    """
    if request.method == BEST and request.engine == "inkling":
        best(card, verbs)
    else:
        build = reference.build if request.engine == "reference" else explainers.build
        build(request.method, request.options, card, verbs)
    for name, given in (("target", request.target), ("versus", request.versus)):
        if given is not None:
            class_index(name, given, card.classes)
    if request.versus is not None and request.versus == request.target:
        raise InvalidOption(f"target and versus are both {request.target}; give two classes")
