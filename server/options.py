"""The options of an explainer are the fields of its dataclass: declared with `option`, read from a request by `parse`,
listed by `describe`. One place for ranges, so that the listing cannot differ from what is checked.
"""

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from server.errors import InvalidOption, UnknownMethod, UnknownOption


def option(default: Any, about: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its sentence and, for numbers, the least and greatest value that is accepted."""
    return field(default=default, metadata={"about": about, "low": low, "high": high})


def parse(explainer: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options (strings from a query, or JSON values) as the types of the explainer's fields.

    Raises:
        UnknownOption: a name that is not a field; the message has the nearest one.
        InvalidOption: a value of the wrong type or outside its range.
    """
    known = {one.name: one for one in fields(explainer)}
    hints = get_type_hints(explainer)
    for name in given:
        if name not in known:
            raise unknown_name(name, known, f"method {explainer.name}")  # type: ignore[attr-defined]
    return {name: _value(known[name], hints[name], raw) for name, raw in given.items()}


def reject_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse names that are not known.

    Raises:
        UnknownOption: with the nearest known name.
    """
    for name in values:
        if name not in known:
            raise unknown_name(name, known, where)


def choice(values: Mapping[str, str], name: str, choices: Collection[str], default: str) -> Any:
    """One of `choices`.

    Raises:
        InvalidOption: another value.
    """
    value = values.get(name, default)
    if value not in choices:
        raise InvalidOption(f"{name}={shown(value)}; expected one of {', '.join(choices)}")
    return value


def unknown_name(name: str, known: Iterable[str], where: str) -> UnknownOption:
    """The error for an unknown name, with the nearest known one."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean {near!r}?" if near else f"known are {', '.join(names) or 'none'}"
    return UnknownOption(f"unknown option {shown(name)} for {where}; {hint}")


def unknown_method(name: object, known: Collection[str], counterparts: Mapping[str, str], kind: str) -> UnknownMethod:
    """The error for an unknown method or attack, with the nearest known one: by its spelling, or as `counterparts` have
    it for names that are used elsewhere."""
    near = counterparts.get(_letters(name))
    if near in known:
        hint = f"the nearest here is {near!r}; "
    else:
        near = nearest(name, known)
        hint = f"did you mean {near!r}? " if near else ""
    return UnknownMethod(f"unknown {kind} {shown(name)}; {hint}there are {', '.join(known)}")


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like `name`, whatever its case and punctuation; None if none is like it."""
    by_letters = {_letters(one): one for one in known}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1)
    return by_letters[near[0]] if near else None


def _letters(name: object) -> str:
    """What counts in a name: letters and digits, without their case; of a long one the beginning, as it takes time."""
    return "".join(filter(str.isalnum, str(name)[:64].lower()))


def describe(explainer: type) -> list[dict[str, Any]]:
    """Each option with its type, default, range or choices, and its sentence."""
    hints = get_type_hints(explainer)
    return [_described(one, hints[one.name]) for one in fields(explainer)]


def _described(one: Field[Any], hint: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": one.name, "type": _type_name(hint), "default": one.default}
    if get_origin(hint) is Literal:
        facts["choices"] = list(get_args(hint))
    if one.metadata["low"] is not None:
        facts["minimum"] = one.metadata["low"]
    if one.metadata["high"] is not None:
        facts["maximum"] = one.metadata["high"]
    return {**facts, "description": one.metadata["about"]}


def _type_name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "string"
    return {int: "integer", float: "number", bool: "boolean", str: "string"}[hint]


def _value(one: Field[Any], hint: Any, raw: Any) -> Any:
    if get_origin(hint) is Literal:
        if raw not in get_args(hint):
            raise InvalidOption(f"{one.name}={shown(raw)}; expected one of {', '.join(map(str, get_args(hint)))}")
        return raw
    if hint is bool:
        return boolean(one.name, raw)
    return number(one.name, raw, hint, one.metadata["low"], one.metadata["high"])


def boolean(name: str, raw: Any) -> bool:
    """True or False from a query string or a JSON boolean."""
    if isinstance(raw, bool):
        return raw
    if raw in ("true", "1", "false", "0"):
        return raw in ("true", "1")
    raise InvalidOption(f"{name}={shown(raw)}; expected true or false")


def number(
    name: str, raw: Any, kind: type[int] | type[float], low: float | None = None, high: float | None = None
) -> Any:
    """An int or a float in [low, high] from a query string or a JSON number; never a boolean, never NaN."""
    try:
        value = kind(raw) if isinstance(raw, str) else raw
    except ValueError:
        value = None
    if kind is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if not isinstance(value, int | float) or type(value) is not kind or not _is_finite(value):
        raise InvalidOption(
            f"{name}={shown(raw)}; expected {'a whole number' if kind is int else 'a number'}{_range(low, high)}"
        )
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidOption(f"{name}={shown(raw)}; expected{_range(low, high)}")
    return value


def _is_finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # isfinite itself overflows on a huge whole number


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {_plain(low)}"
    return f" of at most {_plain(high)}" if low is None else f" from {_plain(low)} to {_plain(high)}"


def _plain(bound: float | None) -> str:
    return f"{bound:d}" if isinstance(bound, int) else f"{bound:g}"


def shown(raw: Any) -> str:
    """The value as text, short enough for a message."""
    text = repr(raw)
    return text if len(text) <= 100 else text[:100] + "..."
