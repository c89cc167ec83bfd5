"""Requests that are read without gunicorn: it reads the same from them, and gets all that could mean anything else."""

import re
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from server.routes.wire import Sent, read
from tests.stores import SEVEN

LINE = b"POST /v1/predict HTTP/1.1\r\n"
FIELDS = {b"Host": b"localhost:8000", b"Content-Type": b"image/png", b"Content-Length": b"%d" % len(SEVEN)}


def request(line: bytes = LINE, body: bytes = SEVEN, more: bytes = b"", **fields: bytes | None) -> bytes:
    """`fields` in place of the usual ones, or, where None, without; `more` after them as it is."""
    changed = FIELDS | {name.replace("_", "-").encode(): value for name, value in fields.items()}
    head = b"".join(b"%s: %s\r\n" % (name, value) for name, value in changed.items() if value is not None)
    return line + head + more + b"\r\n" + body


TAKEN = {
    "a picture": (request(), Sent("", "", SEVEN)),
    "for a model": (request(b"POST /v1/predict?model=cnn-2 HTTP/1.1\r\n"), Sent("cnn-2", "", SEVEN)),
    "with an id": (request(X_Request_ID=b" mine-7  "), Sent("", "mine-7", SEVEN)),
    "with much beside it": (
        request(Accept=b"*/*", Connection=b"Keep-Alive", Cookie=b"a=b: c", X_A=b""),
        Sent("", "", SEVEN),
    ),
    "through a proxy": (
        request(X_Forwarded_For=b"10.0.0.7, 10.0.0.8", X_Forwarded_Proto=b"https"),
        Sent("", "", SEVEN),
    ),
    "in other letters": (
        LINE + b"cOnTeNt-TyPe: image/png\r\nCONTENT-LENGTH: 3\r\n\r\nabc",
        Sent("", "", b"abc"),
    ),
}
LEFT = {
    "nothing": b"",
    "a line": LINE,
    "no fields": LINE + b"\r\n",
    "only a head": request(body=b""),
    "a byte too few": request()[:-1],
    "a byte too many": request() + b"\n",
    "two requests": request() + request(),
    "no length": request(Content_Length=None),
    "a length of 0": request(Content_Length=b"0", body=b""),
    "a signed length": request(Content_Length=b"+%d" % len(SEVEN)),
    "a length with a nought before it": request(Content_Length=b"0%d" % len(SEVEN)),
    "a length with spaces": request(Content_Length=b" %d " % len(SEVEN)),
    "two lengths": request(more=b"Content-Length: %d\r\n" % len(SEVEN)),
    "two lengths in other letters": request(more=b"content-LENGTH: 1\r\n"),
    "a length and chunks": request(Transfer_Encoding=b"chunked"),
    "chunks": request(Content_Length=None, Transfer_Encoding=b"chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "no type": request(Content_Type=None),
    "JSON": request(Content_Type=b"application/json"),
    "a form": request(Content_Type=b"multipart/form-data; boundary=x"),
    "a wait for 100": request(Expect=b"100-continue"),
    "a last request": request(Connection=b"close"),
    "another protocol": request(Connection=b"upgrade", Upgrade=b"h2c"),
    "trailers": request(TE=b"trailers"),
    "contradicting proxies": request(X_Forwarded_Proto=b"http", X_Forwarded_Ssl=b"on"),
    "a name with an underscore": request(more=b"SCRIPT_NAME: /v1\r\n"),
    "a name with a space": request(more=b"Content-Length : 3\r\n"),
    "no name": request(more=b": 3\r\n"),
    "no space": request(more=b"A:3\r\n"),
    "a folded field": request(more=b"A: 3\r\n 4\r\n"),
    "a bare line feed": request(more=b"A: 3\nTransfer-Encoding: chunked\r\n"),
    "a bare carriage return": request(more=b"A: 3\rTransfer-Encoding: chunked\r\n"),
    "a byte of no letter": request(more=b"A: \xc3\xa9\r\n"),
    "a zero": request(more=b"A: \0\r\n"),
    "a tab": request(more=b"A:\t3\r\n"),
    "line feeds only": request().replace(b"\r\n", b"\n"),
    "another method": request(b"PUT /v1/predict HTTP/1.1\r\n"),
    "a method in small letters": request(b"post /v1/predict HTTP/1.1\r\n"),
    "another address": request(b"POST /v1/explain HTTP/1.1\r\n"),
    "a longer address": request(b"POST /v1/predict/ HTTP/1.1\r\n"),
    "a whole address": request(b"POST http://localhost/v1/predict HTTP/1.1\r\n"),
    "a version": request(b"POST /v1/predict?model=cnn&version=1 HTTP/1.1\r\n"),
    "an escaped model": request(b"POST /v1/predict?model=c%6en HTTP/1.1\r\n"),
    "no model": request(b"POST /v1/predict?model= HTTP/1.1\r\n"),
    "a fragment": request(b"POST /v1/predict#a HTTP/1.1\r\n"),
    "an older protocol": request(b"POST /v1/predict HTTP/1.0\r\n"),
    "a line before": b"\r\n" + request(),
    "another start": b"x" + request(),
    "a long field": request(A=b"x" * 9000),
    "many fields": request(more=b"".join(b"A%d: b\r\n" % number for number in range(120))),
}


def by_gunicorn(sent: bytes) -> Any:
    """The one message that gunicorn finds in these bytes, its body read; raises where it finds another after it."""
    parser = RequestParser(Config(), iter([sent]), ("127.0.0.1", 1))
    found = next(parser)
    found.content = found.body.read()
    assert not parser.unreader.buf.getvalue()
    return found


def check(sent: bytes, found: Sent) -> None:
    expected = by_gunicorn(sent)
    assert (expected.method, expected.path, expected.version) == ("POST", "/v1/predict", (1, 1))
    assert expected.query == (f"model={found.model}" if found.model else "") and expected.fragment == ""
    fields = dict(expected.headers)
    assert len(fields) == len(expected.headers)
    assert expected.content == found.body and fields.get("X-REQUEST-ID", "") == found.request_id
    assert fields["CONTENT-TYPE"].startswith("image/")
    assert not expected.should_close() and not expected._expected_100_continue


@pytest.mark.parametrize(("sent", "found"), TAKEN.values(), ids=TAKEN)
def test_gunicorn_reads_the_same(sent: bytes, found: Sent) -> None:
    assert read(sent) == found
    check(sent, found)


@pytest.mark.parametrize("sent", LEFT.values(), ids=LEFT)
def test_what_is_unusual_is_left_to_gunicorn(sent: bytes) -> None:
    assert read(sent) is None


PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b": ",
            b":",
            b",",
            b"\0",
            b"_",
            b"0",
            b"+",
            b"chunked",
            b"close",
            b"\x80",
        ),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 3\r\n",
            b"Connection: close\r\n",
            b"A: b\r\n",
            b"X_A: b\r\n",
        ),
        *(
            b"Expect: 100-continue\r\n",
            b"Host: y\r\n",
            b" folded\r\n",
            b"?model=mlp",
            b"HTTP/1.0",
            b"POST ",
            b"/",
            b"X-Request-ID: a\r\n",
        ),
    ]
)
PLACES = st.tuples(st.integers(0, 7), st.just(0) | st.integers(0, 40))  # a line, and a byte of it
EDITS = st.lists(st.tuples(PLACES, st.just(0) | st.integers(0, 3), PIECES), min_size=1, max_size=3)


@settings(max_examples=1500, deadline=None)
@given(EDITS, st.sampled_from([sent for sent, _ in TAKEN.values()]))
def test_gunicorn_reads_the_same_from_whatever_is_taken(
    edits: list[tuple[tuple[int, int], int, bytes]], sent: bytes
) -> None:
    """Pieces are put between the bytes of requests, or in their place."""
    for (number, offset), removed, piece in edits:
        starts = [0, *(found.end() for found in re.finditer(b"\r\n", sent))]
        place = starts[min(number, len(starts) - 1)] + offset
        sent = sent[:place] + piece + sent[place + removed :]
    found = read(sent)
    if found is not None:
        check(sent, found)
