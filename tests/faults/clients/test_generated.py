"""Pictures and bodies that hypothesis makes from sound ones: what fails, it makes small. None is our fault."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.clients.mutations import corpus
from tests.faults.clients.test_rubbish import DOCUMENTS, PREDICTS_ONLY, Client, check, server  # noqa: F401  (a fixture)
from tests.support.processes.servers import Running

bounded = settings(
    max_examples=400, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
pytestmark = pytest.mark.timeout(90)
Path = tuple[str | int, ...]  # of a node of JSON


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Client]:  # noqa: F811
    with closing((found := Client(server)).connection):
        yield found


PIECES = st.lists(
    st.tuples(st.integers(0, 1 << 14), st.integers(0, 16), st.binary(max_size=16)), min_size=1, max_size=8
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def edited(body: bytes, pieces: list[tuple[int, int, bytes]]) -> bytes:
    """`body` with other bytes in the place of so many at some places."""
    for place, length, other in pieces:
        at = place % (len(body) + 1)
        body = body[:at] + other + body[at + length :]
    return body


def nodes(document: Any, path: Path = ()) -> Iterator[Path]:
    """All of them, but of the items of a list only the first and the last."""
    yield path
    if isinstance(document, dict):
        for key in document:
            yield from nodes(document[key], (*path, key))
    elif isinstance(document, list):
        for at in {0, len(document) - 1}:
            yield from nodes(document[at], (*path, at))


def replaced(document: Any, path: Path, value: Any) -> Any:
    """`document` with another value at that node."""
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


@bounded
@given(body=st.builds(edited, st.sampled_from(corpus()), PIECES), kind=st.sampled_from(["image/png", ""]))
def test_generated_pictures(client: Client, body: bytes, kind: str) -> None:
    check(*client.post("/v1/predict", body, **({"Content_Type": kind} if kind else {})), body)


ASKED = [(path, node) for path, document in DOCUMENTS.items() for node in nodes(document)]


@bounded
@given(requested=st.sampled_from(ASKED), value=VALUES, pieces=st.just([]) | PIECES)
def test_generated_json(
    client: Client, requested: tuple[str, Path], value: Any, pieces: list[tuple[int, int, bytes]]
) -> None:
    path, node = requested
    body = edited(json.dumps(replaced(DOCUMENTS[path], node, value)).encode(), pieces)
    check(*client.post(path, body), body, 504 if has_brief_timeout(body) else PREDICTS_ONLY.get(path, 200))


def has_brief_timeout(body: bytes) -> bool:
    """Whether `parameters.timeout`, in microseconds, may be over before a row is answered."""
    try:
        timeout = json.loads(body)["parameters"]["timeout"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return isinstance(timeout, int | float) and 0 < timeout < 1_000_000
