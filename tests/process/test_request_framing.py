"""A request is handed to a thread when gunicorn's own parser can read it without waiting, not sooner and not later."""

import re
from itertools import pairwise
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from server.process.request_framing import Needs, RequestFraming

LIMIT = 4096
LINE = b"POST /v1/predict HTTP/1.1\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def request(*fields: bytes, body: bytes = b"", line: bytes = LINE) -> bytes:
    return line + b"".join(b"%s\r\n" % field for field in (b"Host: x", *fields)) + b"\r\n" + body


WHOLE = {
    "no body": GET,
    "no fields": b"GET /livez HTTP/1.1\r\n\r\n",
    "an empty line before": b"\r\n" + GET,
    "a body": request(b"Content-Length: 5", body=b"abcde"),
    "a body, in other letters": request(b"cOnTeNt-LeNgTh:\t5 ", body=b"abcde"),
    "a body of nothing": request(b"Content-Length: 0"),
    "two requests": GET + GET,
    "one and a half": request(b"Content-Length: 5", body=b"abcde") + GET[:20],
    "line feeds in the body": request(b"Content-Length: 5", body=b"a\nb\r\n"),
    "the end of a head in the body": request(b"Content-Length: 5", body=b"\r\n\r\nx"),
    "an older protocol": b"GET /livez HTTP/1.0\r\n\r\n",
}
REFUSED = {
    "no request": b"GARBAGE\r\n\r\n",
    "two empty lines": b"\r\n\r\n",
    "a bare line feed": b"GET /livez HTTP/1.1\nHost",
    "a bare line feed first": b"\nGET",
    "a bare line feed in a field": LINE + b"A: b\nC: d",
    "a bare line feed at the end": b"GET /livez HTTP/1.1\r\nHost: x\r\n\n",
    "line feeds only": GET.replace(b"\r\n", b"\n"),
}
OPEN = {  # requests of unknown length, which a thread has to read
    "chunks": request(b"Transfer-Encoding: chunked"),
    "a wait for 100": request(b"Expect: 100-continue", b"Content-Length: 5"),
    "two lengths": request(b"Content-Length: 5", b"Content-Length: 50"),
    "a length and chunks": request(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "a length that is none": request(b"Content-Length: 5a"),
    "a length of a sign": request(b"Content-Length: +5"),
    "a length that no number holds": request(b"Content-Length: " + b"9" * 2000),
    "a length in letters that look like digits": request(b"Content-Length: \xb2"),
    "a length on the next line": request(b"Content-Length:", b" 5"),
    "a larger body": request(b"Content-Length: 1000000", body=bytes(LIMIT)),
    "a larger body that has not begun": request(b"Content-Length: 1000000"),
}


def needs(data: bytes) -> Needs:
    return RequestFraming(LIMIT, data).needs


@pytest.mark.parametrize("data", [*WHOLE.values(), *REFUSED.values()], ids=[*WHOLE, *REFUSED])
def test_a_request_that_can_be_answered_needs_nothing(data: bytes) -> None:
    assert needs(data) is Needs.NOTHING


@pytest.mark.parametrize("data", OPEN.values(), ids=OPEN)
def test_what_has_no_end_in_sight_needs_a_thread(data: bytes) -> None:
    assert needs(data) is Needs.THREAD


@pytest.mark.parametrize(("data", "found"), [
    (b"", Needs.HEAD), (b"\r", Needs.HEAD), (b"\r\n", Needs.HEAD), (GET[:-1], Needs.HEAD), (GET[:-2], Needs.HEAD),
    (request(b"Content-Length: 5"), Needs.BODY), (request(b"Content-Length: 5", body=b"abcd"), Needs.BODY),
])  # fmt: skip
def test_half_a_request_needs_its_rest(data: bytes, found: Needs) -> None:
    assert needs(data) is found


@pytest.mark.parametrize("data", [*WHOLE.values(), *REFUSED.values(), *OPEN.values()], ids=[*WHOLE, *REFUSED, *OPEN])
def test_it_comes_to_the_same_byte_by_byte(data: bytes) -> None:
    buffer = RequestFraming(LIMIT)
    for byte in data:
        if not buffer.ready:
            buffer.add(bytes([byte]))
    assert buffer.needs is needs(data)
    assert data.startswith(buffer.received)


def test_no_more_is_collected_than_has_room() -> None:
    buffer = RequestFraming(LIMIT, LINE + b"A: ")
    while not buffer.ready:
        assert buffer.room > 0
        buffer.add(b"b" * min(1000, buffer.room))
    assert len(buffer.received) == LIMIT and buffer.needs is Needs.REFUSAL


class Waited(Exception):
    """The parser asked for more than there is."""


class Source:
    """A connection on which so much has arrived."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def recv(self, size: int) -> bytes:
        if not self.data:
            raise Waited
        data, self.data = self.data[:size], self.data[size:]
        return data


def read(data: bytes) -> Any:
    """gunicorn reads one request to its end, and all that it reads on its own behalf after it; or refuses it."""
    parser = RequestParser(Config(), Source(data), ("127.0.0.1", 1))
    try:
        found = next(parser)
        found.body.read()
        parser.finish_body()
    except ParseException:
        return None
    return found


PIECES = st.sampled_from([
    b"\r\n", b"\n", b"\r", b" ", b"\t", b": ", b":", b",", b"\0", b"_", b"0", b"+", b"-", b"chunked", b"\x80", b"\xb2",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"content-length:9\r\n", b"Connection: close\r\n",
    b"Expect: 100-continue\r\n", b"Expect: x\r\n", b" folded\r\n", b"HTTP/1.0", b"GET ", b"\r\n\r\n", b"A: b\r\n",
])  # fmt: skip
PLACES = st.tuples(st.integers(0, 5), st.just(0) | st.integers(0, 30))  # a line, and a byte of it
EDITS = st.lists(st.tuples(PLACES, st.just(0) | st.integers(0, 3), PIECES), max_size=3)
SEEDS = st.sampled_from([*WHOLE.values(), *[data for data in OPEN.values() if len(data) < 200]])


def edited(data: bytes, edits: list[tuple[tuple[int, int], int, bytes]]) -> bytes:
    for (number, offset), removed, piece in edits:
        starts = [0, *(found.end() for found in re.finditer(b"\r\n", data))]
        place = starts[min(number, len(starts) - 1)] + offset
        data = data[:place] + piece + data[place + removed :]
    return data


@settings(max_examples=2000, deadline=None)
@given(EDITS, SEEDS, st.lists(st.integers(0, 300), max_size=3))
def test_gunicorn_never_waits_for_what_needs_nothing_and_nothing_waits_that_it_can_answer(
    edits: list[tuple[tuple[int, int], int, bytes]], seed: bytes, cuts: list[int]
) -> None:
    data = edited(seed, edits)
    buffer = RequestFraming(LIMIT)
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        if not buffer.ready:
            buffer.add(data[start:end])
    received = bytes(buffer.received)
    try:
        answered = read(received) is not None
    except Waited:
        assert buffer.needs is not Needs.NOTHING, received
    else:
        assert buffer.ready or not answered, received
