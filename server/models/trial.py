"""Parses and checks the trial of a version (assets.extra/trial.json), as model_store/README.md describes it.

Names of methods, options and kinds may be any: a server that does not know them ignores them.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from server.types import Trial, TrialResult

FORMAT = 1
MOST_BYTES = 1 << 20
MOST_RESULTS, MOST_KINDS, MOST_OPTIONS = 256, 32, 64
MOST_COUNTED = 1_000_000  # pictures
LONGEST = 64  # letters of a name


def parse_trial(content: bytes) -> Trial:
    """Raises ValueError: what is wrong with it."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"has {len(content)} bytes; expected {MOST_BYTES} at most")
    try:
        stored = _record("its JSON", json.loads(content))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from None
    _whole("format", stored.get("format"), FORMAT, FORMAT)
    pictures, digits = (_whole(name, stored.get(name), 1, MOST_COUNTED) for name in ("pictures", "digits"))
    kinds = {_name("kind", _record("a sibling", one).get("kind")) for one in _list("siblings", stored, MOST_KINDS)}
    controls = _record("controls", stored.get("controls"))
    ink, random = (_finite(f"controls.{name}", controls.get(name)) for name in ("ink", "random"))
    results = tuple(
        _result(_record("a method", one), kinds, pictures) for one in _list("methods", stored, MOST_RESULTS)
    )
    return Trial(pictures, digits, ink, random, results)


def _result(stored: Mapping[str, Any], kinds: set[str], pictures: int) -> TrialResult:
    method = _name("method", stored.get("method"))
    named = _record(f"named of {method}", stored.get("named"))
    if set(named) != kinds:
        raise ValueError(f"has {method} with the kinds {_listed(named)}; expected those of siblings, {_listed(kinds)}")
    counts = {kind: _whole(f"named.{kind} of {method}", count, 0, pictures) for kind, count in named.items()}
    yardstick = _finite(f"yardstick of {method}", stored.get("yardstick"))
    ends = stored.get("yardstick_interval")
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"has the yardstick_interval {ends!r:.100} of {method}; expected [low, high]")
    low, high = (_finite(f"yardstick_interval of {method}", end) for end in ends)
    if not low <= yardstick <= high:
        raise ValueError(f"has the yardstick {yardstick:g} of {method} outside of its interval {low:g} to {high:g}")
    revision = _whole(f"revision of {method}", stored.get("revision"), 0, MOST_COUNTED)
    return TrialResult(method, revision, _options(method, stored.get("options")), counts, yardstick, (low, high))


def _options(method: str, value: Any) -> dict[str, Any]:
    options = _record(f"options of {method}", value)
    if len(options) > MOST_OPTIONS:
        raise ValueError(f"has {len(options)} options of {method}; expected {MOST_OPTIONS} at most")
    for name, one in options.items():
        about = f"option {_name('option', name)} of {method}"
        if isinstance(one, str):
            _name(about, one)
        elif not isinstance(one, bool):
            _finite(about, one)
    return options


def _record(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"has {value!r:.100} as {name}; expected an object")
    return value


def _list(name: str, stored: Mapping[str, Any], most: int) -> list[Any]:
    value = stored.get(name)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        got = f"a list of {len(value)}" if isinstance(value, list) else f"{value!r:.100}"
        raise ValueError(f"has {got} as {name}; expected a list of 1 to {most}")
    return value


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST or not value.isprintable():
        raise ValueError(f"has {value!r:.100} as {what}; expected a text of 1 to {LONGEST} printable letters")
    return value


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"has {value!r:.100} as {name}; expected a whole number from {low} to {high}")
    return value


def _finite(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"has {value!r:.100} as {name}; expected a finite number")
    return float(value)


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))[:200] or "none"
