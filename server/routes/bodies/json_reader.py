"""Incremental JSON parser: reads a body of any size in steps, between which other requests of the process go on.

A parser in C holds the GIL until its call returns: all other clients of a worker would wait for the largest body. Here
no call reads more than STEP characters. Of what one read, numbers in lists are kept as arrays, and only so many other
values are kept at all: a body of a few MiB may hold millions, each of which takes a hundred bytes as an object.
"""

import re
import sys
import time
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any

import numpy as np

from server.errors import BodyTooLarge
from server.routes.bodies.nested_lists import Numbers, as_array
from server.types import Array

STEP = 16384  # characters that are read at once; takes 0.1 to 0.4 ms
PAUSE = 50e-6  # seconds between two steps: time.sleep(0) would take the GIL again before another thread has woken up
OVERHEAD = 64  # characters that are read in the time that one value takes beside them
MAX_OTHER = 100_000  # values beside the numbers that are kept as arrays
MIN_PACKED = 64  # numbers in a list from which on it is kept as an array, so that shapes remain lists
DEEPEST = 12  # values that are longer than STEP in each other; a tensor has 7 around its rows
INSIDE = re.compile(r'[\[{"\]]')
SPACE = re.compile(r"[ \t\n\r]*")
# part of a text, of 64 KiB at most, that ends within no escape and no pair of them; what is wrong in it, json finds
CHARACTERS = re.compile(r'(?:[^"\\]{1,64}|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\[^u]){0,1024}', re.DOTALL)


class NotJSON(ValueError):
    """What is wrong with a text, beside what json finds itself."""


def read_json(body: bytes, max_numbers: int = 0) -> Any:
    """The value of a JSON text. In a text longer than STEP, lists of MIN_PACKED numbers or more are `Numbers` if
    `max_numbers`, the most that there may be, is not 0.

    Raises:
        ValueError: it is no JSON in UTF-8, or an object has a name twice.
        BodyTooLarge: more than `max_numbers`, or more than MAX_OTHER other values.
    """
    if body.startswith((BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in body[:4]:
        raise NotJSON("it begins with a byte order mark, or is not UTF-8; send UTF-8 without one")
    try:
        text = body.decode()
        return DECODER.decode(text) if len(text) <= STEP else _Reader(text, max_numbers).whole()
    except UnicodeDecodeError as error:
        raise NotJSON(f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise NotJSON("lists or objects are nested too deep") from error
    except (JSONDecodeError, NotJSON):
        raise
    except ValueError as error:  # Python's limit, against numbers that take seconds to read
        raise NotJSON(f"a whole number has more than {sys.get_int_max_str_digits()} digits") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise NotJSON(f"an object has the name {names.most_common(1)[0][0][:100]!r} twice; give it once")
    return found


DECODER = JSONDecoder(object_pairs_hook=_unique)
SCAN: Callable[[str, int], tuple[Any, int]] = DECODER.scan_once  # type: ignore[attr-defined]  # since Python 2.6


class _Reader:
    """Reads one text. `at` is always where a value, or what follows it, begins."""

    def __init__(self, text: str, max_numbers: int) -> None:
        self._text = text
        self._max_numbers = max_numbers
        self._numbers = self._other = self._read = 0

    def whole(self) -> Any:
        found, at = self._value(_skip(self._text, 0))
        if at != len(self._text):
            raise JSONDecodeError("Extra data", self._text, at)
        return found

    def _value(self, at: int, depth: int = 0) -> tuple[Any, int]:
        """The value at `at`, and where the next thing after it begins."""
        if depth > DEEPEST:
            raise RecursionError
        window = self._text[at : at + STEP]
        try:
            found, end = SCAN(window, 0)
            self._pause(end)
            if end < len(window) or at + end == len(self._text):
                return self._kept(found), _skip(self._text, at + end)
        except (StopIteration, JSONDecodeError):
            self._pause(STEP)  # longer than the window, or wrong: then it fails again below, and says where
        match window[:1]:
            case "[":
                return self._list(at, depth)
            case "{":
                return self._object(at, depth)
            case '"':
                return self._string(at)
        raise self._error(at)

    def _error(self, at: int) -> ValueError:
        """What is wrong with a value that is no list, object or text."""
        try:
            SCAN(self._text[at : at + STEP], 0)
        except StopIteration:
            return JSONDecodeError("Expecting value", self._text, at)
        return NotJSON(f"a number has more than {STEP} digits")

    def _string(self, at: int) -> tuple[str, int]:
        parts: list[str] = []
        end = at + 1
        while self._text[end : end + 1] != '"':
            start, end = end, _match(CHARACTERS, self._text, end)
            if start == end:
                raise JSONDecodeError("Unterminated string starting at", self._text, at)
            try:
                parts.append(SCAN(f'"{self._text[start:end]}"', 0)[0])
            except JSONDecodeError as error:
                raise JSONDecodeError(error.msg, self._text, start + error.pos - 1) from error
            self._pause(end - start)
        return self._kept("".join(parts)), _skip(self._text, end + 1)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        pairs: list[tuple[str, Any]] = []
        at = _skip(self._text, at + 1)
        is_last = self._text[at : at + 1] == "}"
        at += is_last
        while not is_last:
            if self._text[at : at + 1] != '"':
                raise JSONDecodeError("Expecting property name enclosed in double quotes", self._text, at)
            name, at = self._value(at, depth + 1)
            if self._text[at : at + 1] != ":":
                raise JSONDecodeError("Expecting ':' delimiter", self._text, at)
            value, at = self._value(_skip(self._text, at + 1), depth + 1)
            pairs.append((name, value))
            at, is_last = self._after(at, "}")
        return _unique(pairs), _skip(self._text, at)

    def _list(self, at: int, depth: int) -> tuple[Any, int]:
        parts: list[Any] = []  # arrays, and lists of what is none
        at = _skip(self._text, at + 1)
        is_last = self._text[at : at + 1] == "]"
        at += is_last
        while not is_last:
            found, at, is_last = self._elements(at)
            if found:
                parts.append(self._packed(found))
            else:
                value, at = self._value(at, depth + 1)
                parts.append([value])
                at, is_last = self._after(at, "]")
        return self._joined(parts), _skip(self._text, at)

    def _elements(self, at: int) -> tuple[list[Any], int, bool]:
        """The elements of a list that lie whole in the next window, where the next one begins, and whether there is
        none."""
        window = self._text[at : at + STEP]
        found, here = _scalars(window)
        self._pause(here)
        while True:
            try:
                value, end = SCAN(window, here)
            except (StopIteration, JSONDecodeError):
                break  # cut by the window, or wrong
            end = _skip(window, end)
            mark = window[end : end + 1]
            if mark not in (",", "]"):
                break  # the same
            found.append(value)
            self._pause(end - here)
            here = _skip(window, end + 1)
            if mark == "]":
                return found, at + here, True
        return found, _skip(self._text, at + here), False

    def _after(self, at: int, closing: str) -> tuple[int, bool]:
        """Where the next thing begins behind a comma or `closing`, and whether it was the latter."""
        mark = self._text[at : at + 1]
        if mark not in (",", closing) or not mark:
            raise JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return _skip(self._text, at + 1), mark == closing

    def _packed(self, values: list[Any]) -> Array | list[Any]:
        array = as_array(values) if self._max_numbers else None
        if array is None:
            return [self._kept(value) for value in values]
        self._count(numbers=array.size)
        return array

    def _kept(self, value: Any) -> Any:
        """The value as it is kept."""
        self._count(other=1)
        if isinstance(value, dict):
            return {name: self._kept(one) for name, one in value.items()}
        if not isinstance(value, list):
            return value
        array = as_array(value) if self._max_numbers else None
        if array is None or array.size < MIN_PACKED:
            return [self._kept(one) for one in value]
        self._count(numbers=array.size)
        return Numbers(array)

    def _joined(self, parts: list[Any]) -> Any:
        """A list of which each part is an array, or a list of what is kept."""
        arrays = [part for part in parts if isinstance(part, np.ndarray)]
        if len(arrays) == len(parts) and len({array.shape[1:] for array in arrays}) == 1:
            return Numbers(np.concatenate(arrays))
        found: list[Any] = []
        for part in parts:
            if isinstance(part, list):
                found += part
            else:
                self._count(other=len(part))
                found += part.tolist() if part.ndim == 1 else map(Numbers, part)
        return found

    def _pause(self, read: int) -> None:
        """Let other threads run, if as much has been read since they last could as a step holds."""
        self._read += read + OVERHEAD
        if self._read >= STEP:
            self._read = 0
            time.sleep(PAUSE)

    def _count(self, numbers: int = 0, other: int = 0) -> None:
        self._numbers += numbers
        self._other += other
        self._pause(0)
        if self._numbers > self._max_numbers:
            raise BodyTooLarge(f"the JSON holds more than {self._max_numbers} numbers; send fewer rows in one request")
        if self._other > MAX_OTHER:
            beside = " beside nested lists of numbers of one shape" if self._max_numbers else ""
            raise BodyTooLarge(f"the JSON holds more than {MAX_OTHER} values{beside}; send less in one request")


def _scalars(window: str) -> tuple[list[Any], int]:
    """The elements of a list before its first text, list or object, in one call; and where the next one begins."""
    inside = INSIDE.search(window)
    comma = window.rfind(",", 0, inside.start() if inside else None)
    try:
        return (SCAN(f"[{window[:comma]}]", 0)[0], _skip(window, comma + 1)) if comma > 0 else ([], 0)
    except (StopIteration, JSONDecodeError):
        return [], 0  # one is wrong: it will be found when they are read one by one


def _skip(text: str, at: int) -> int:
    """The place after the white space at `at`."""
    return _match(SPACE, text, at)


def _match(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The place after what matches at `at`, if only nothing."""
    found = pattern.match(text, at)
    assert found is not None  # the patterns here match nothing too
    return found.end()
