"""An explanation as bytes and back: nothing of what is rendered is lost, and damage is noticed. Those of the reference
packages are in test_reference_nets.py."""

import json
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.cache import fingerprint
from server.cache.entry import FORMAT, LARGEST, StaleEntry, decode, encode, pack, unpack
from server.explainers import EXPLAINERS
from server.reference import REFERENCES
from server.render import RENDERERS
from server.types import (
    Attribution,
    Digit,
    Explanation,
    ImageSpec,
    InDistribution,
    Measure,
    ModelCard,
    Placement,
    Prediction,
    PredictionSet,
    Quality,
    State,
    Stop,
    Target,
    TrackRecord,
    Unit,
)
from tests.support.explanations import again, differing, explanation
from tests.support.processes.servers import ROOT

PHOTO = (ROOT / "examples" / "photo.jpg").read_bytes()
ASKED: list[dict[str, Any]] = [
    *({"method": method, "options": {}} for method in EXPLAINERS),
    {"quality": True},
    {"quality": True, "method": "saliency", "options": {}, "output": "probability"},
    {"versus": "0", "target": "3"},
    {"method": "shapley", "options": {"segmentation": "slic", "baseline": "mean"}, "seed": 7, "output": "probability"},
]


@pytest.mark.parametrize("requested", ASKED, ids=lambda requested: " ".join(map(str, requested.values())))
def test_what_is_kept_is_rendered_as_it_was_at_first(requested: dict[str, Any]) -> None:
    found = explanation(PHOTO, **requested)
    for first in (found, replace(found, frame="model")):
        kept = again(first)
        for media_type, render in RENDERERS.items():
            assert render(kept) == render(first), media_type
        assert fingerprint(kept) == fingerprint(first)


numbers = st.floats(width=64)
known = st.none() | numbers
words = st.text(max_size=8)
labels = st.lists(words, min_size=2, max_size=5, unique=True)
kinds = st.sampled_from([np.float32, np.float64])
counts = st.dictionaries(words, st.integers(0, 99), min_size=1, max_size=5)


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    """Anything that has the types of an explanation, NaN and odd letters included."""
    classes = tuple(draw(labels))
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))

    def array(*shape: int) -> Any:
        return draw(arrays(draw(kinds), shape))

    def maybe(make: Any) -> Any:
        return make() if draw(st.booleans()) else None

    n = draw(st.integers(1, 4))
    segments = maybe(
        lambda: draw(arrays(draw(st.sampled_from([np.int32, np.int64])), shape, elements=st.integers(0, n - 1)))
    )
    card = ModelCard(
        draw(words), "1", draw(words), draw(words), classes, ImageSpec(*shape), draw(numbers), draw(numbers),
        np.zeros((0, *shape), np.float32), frozenset(),
    )  # fmt: skip
    index, versus = draw(st.permutations(range(len(classes))))[:2]
    picture = draw(arrays(np.uint8, (*draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), 3)))
    placement = Placement(
        draw(st.tuples(*[numbers] * 6)), draw(st.integers(1, 9999)), draw(st.integers(1, 9999)), lambda: picture,
        tuple(draw(st.lists(words))), tuple(draw(st.lists(words))),
    )  # fmt: skip
    unit, state = draw(st.sampled_from(get_args(Unit))), draw(st.sampled_from(get_args(State)))
    attribution = Attribution(
        array(*shape), unit, state, draw(st.integers(0)), segments, maybe(lambda: array(n)),
        *[draw(known) for _ in range(4)], maybe(lambda: array(*shape)), draw(known),
        draw(st.none() | st.sampled_from(get_args(Stop))), draw(known), tuple(draw(st.lists(words))),
        draw(st.booleans()), draw(known),
    )  # fmt: skip
    familiar = InDistribution(draw(st.booleans()), draw(numbers), draw(numbers))
    members = st.lists(st.integers(0, len(classes) - 1), min_size=1, unique=True).map(tuple)
    sets = st.builds(PredictionSet, members, st.floats(0.9, 0.999), st.integers(1))
    better = st.sampled_from(["lower", "higher"])
    measures = st.builds(Measure, words, known, known, known, better, known, st.booleans())
    engine = draw(st.sampled_from(["inkling", "reference"]))
    return Explanation(
        draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        Digit(array(*shape), placement),
        Prediction(card, index, array(len(classes)), array(len(classes)), familiar, draw(st.none() | sets)),
        Target.of_class(index, classes) if draw(st.booleans()) else Target.contrast(index, versus, classes),
        attribution,
        draw(st.sampled_from(list((EXPLAINERS if engine == "inkling" else REFERENCES).values())))(),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(["logit", "probability"])),
        draw(st.sampled_from(["original", "model"])),
        engine,
        draw(st.none() | st.builds(Quality, st.lists(measures, max_size=4).map(tuple))),
        trial=draw(st.none() | st.builds(TrackRecord, counts, st.integers(1, 99), numbers, numbers)),
    )  # fmt: skip


@given(explanations())
@settings(max_examples=50, deadline=None)
def test_every_field_comes_back_to_the_last_bit(found: Explanation) -> None:
    assert differing(again(found), found) == []
    assert fingerprint(again(found)) == fingerprint(found)


def variants(found: Explanation) -> Iterator[Explanation]:
    """The same explanation with one thing changed."""
    digit, prediction, attribution = found.digit, found.prediction, found.attribution
    yield replace(found, kept=True)
    yield replace(found, frame="model")
    yield replace(found, seed=1)
    yield replace(found, engine="reference")
    yield replace(found, quality=Quality(()))
    yield replace(found, trial=TrackRecord({"mark": 1}, 2, 0.5, 0.25))
    yield replace(found, trial=TrackRecord({"mark": 1}, 3, 0.5, 0.25))
    yield replace(found, explainer=EXPLAINERS["lime"](n_samples=51))
    yield replace(found, target=Target.of_class(0, prediction.card.classes))
    for changes in (
        {"transform": (1.0,) * 6},
        {"draw": lambda: digit.placement.picture // 2},
        {"warnings": ("faint",)},
    ):
        yield replace(found, digit=replace(digit, placement=replace(digit.placement, **changes)))
    yield replace(found, digit=replace(digit, pixels=digit.pixels.astype(np.float64)))
    yield replace(found, prediction=replace(prediction, logits=np.nextafter(prediction.logits, 99)))
    yield replace(found, prediction=replace(prediction, card=replace(prediction.card, version="2")))
    yield replace(found, attribution=replace(attribution, values=np.nextafter(attribution.values, 99)))
    yield replace(found, attribution=replace(attribution, stderr=None))
    yield replace(found, attribution=replace(attribution, score=0.0))


def test_every_field_that_a_rendering_reads_changes_the_fingerprint() -> None:
    found = explanation()
    every = [fingerprint(found), *map(fingerprint, variants(found))]
    assert len(set(every)) == len(every)


ENTRY = encode(explanation())
ID = explanation().id


@given(st.integers(0, len(ENTRY) - 1), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_an_entry_of_which_any_byte_is_another_is_stale_or_the_same(at: int, change: int) -> None:
    spoilt = bytearray(ENTRY)
    spoilt[at] ^= change
    try:
        found = decode(bytes(spoilt), ID)
    except StaleEntry:
        return
    assert fingerprint(found) == fingerprint(decode(ENTRY, ID))  # some bits of zlib's mean nothing


@given(
    st.binary(max_size=200)
    | st.integers(0, len(ENTRY) - 1).map(lambda end: ENTRY[:end])
    | st.binary(min_size=1).map(ENTRY.__add__)
)
@settings(max_examples=50, deadline=None)
def test_anything_else_is_stale(entry: bytes) -> None:
    with pytest.raises(StaleEntry):
        decode(entry, ID)


FACTS = np.frombuffer(json.dumps({"format": FORMAT}).encode(), np.uint8)


def packed(level: int = zipfile.ZIP_STORED, **members: Any) -> bytes:
    """An npz as numpy writes it, with any members; bytes are written as they are."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", level) as npz:
        for name, content in members.items():
            with npz.open(f"{name}.npy", "w") as member:
                if isinstance(content, bytes):
                    member.write(content)
                else:
                    np.lib.format.write_array(member, content)
    return zlib.compress(file.getvalue())


def header(shape: str, kind: str = "<f4") -> bytes:
    """The beginning of an array that says to have this shape."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": (7,)})
    return file.getvalue().replace(b"(7,)", shape.encode())


def shared_bytes(times: int) -> bytes:
    """An npz whose members are all the same megabytes."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as npz:
        npz.writestr("a.npy", bytes(LARGEST // 4))
        npz.filelist += [npz.filelist[0]] * times
        npz.NameToInfo.update({f"{number}.npy": npz.filelist[0] for number in range(times)})
    return zlib.compress(file.getvalue())


@pytest.mark.parametrize("entry", [
    packed(),
    packed(facts=np.frombuffer(b"{", np.uint8)),
    packed(facts=np.frombuffer(b"[" * 100_000, np.uint8)),
    packed(facts=np.frombuffer(b"[]", np.uint8)),
    packed(facts=np.frombuffer(b"{}", np.uint8)),
    packed(facts=np.frombuffer(b'{"format": 1}', np.uint8)),
    packed(facts=np.array(3.0)),
    packed(facts=FACTS, a=np.array([object()])),
    packed(facts=FACTS, a=np.array(["text"])),
    packed(facts=FACTS, a=np.zeros(1, "f4,f4")),
    packed(facts=FACTS, a=b"text"),
    packed(facts=FACTS, a=header("(7,)")),
    packed(facts=FACTS, a=header("(-1,)")),
    packed(facts=FACTS, a=header(f"({1 << 40},)")),
    packed(facts=FACTS, a=header(f"({1 << 80},)")),
], ids=range(15))  # fmt: skip
def test_an_entry_that_says_nonsense_is_stale(entry: bytes) -> None:
    with pytest.raises(StaleEntry):
        unpack(entry)
    assert unpack(packed(facts=FACTS, a=np.zeros(2)))[1].keys() == {"a"}


@pytest.mark.parametrize("bomb", [
    zlib.compress(bytes(16 * LARGEST)),
    packed(zipfile.ZIP_DEFLATED, facts=FACTS, a=np.zeros(16 * LARGEST, np.uint8)),
    shared_bytes(16),
], ids=range(3))  # fmt: skip
def test_a_small_entry_cannot_take_much_memory(bomb: bytes) -> None:
    assert len(bomb) < LARGEST / 16
    tracemalloc.start()
    try:
        with pytest.raises(StaleEntry):
            unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * LARGEST
    finally:
        tracemalloc.stop()


def changed(**fields: Any) -> bytes:
    reported, stored = unpack(ENTRY)
    arrays = {
        name: stored.get(name) if new is None else new for name, new in {**stored, **fields}.items() if name in stored
    }
    return pack({**reported, **{name: new for name, new in fields.items() if name not in stored}}, arrays)


@pytest.mark.parametrize("fields", [
    {"card": ["fake", "1"]},
    {"card": None},
    {"prediction": [10, True, 1.0, 1.0]},
    {"prediction": ["1", True, 1.0, 1.0]},
    {"target": [11, None]},
    {"explainer": ["inkling", "magic", {}]},
    {"explainer": ["inkling", "lime", {"n_samples": -5}]},
    {"explainer": ["inkling", "lime", {"samples": 5}]},
    {"explainer": ["theirs", "lime", {}]},
    {"output": "loss"},
    {"placement": {}},
    {"attribution": {}},
    {"quality": {"measures": [[]]}},
    {"trial": [{"mark": 3}, 5, 0.5]},
    {"trial": [{"mark": "3"}, 5, 0.5, 0.2]},
    {"trial": [{}, 5, 0.5, 0.2]},
    {"trial": [{"mark": 3}, 0, 0.5, 0.2]},
    {"trial": [{"mark": 3}, 5, None, 0.2]},
    {"trial": [["mark"], 5, 0.5, 0.2]},
    {"id": "0" * 32},
    {"values": np.zeros((3, 3))},
    {"segments": np.full((28, 28), 99)},
    {"segments": np.zeros((28, 28))},
    {"stderr": np.zeros(5)},
    {"logits": np.zeros(3)},
    {"picture": np.zeros((4, 4, 3), np.float32)},
    {"picture": np.zeros((4, 4, 4), np.uint8)},
    {"picture": np.zeros((4, 4), np.uint8)},
], ids=lambda fields: " ".join(fields))  # fmt: skip
def test_fields_that_do_not_fit_together_are_stale(fields: dict[str, Any]) -> None:
    assert decode(changed(seed=3), ID).seed == 3
    with pytest.raises(StaleEntry):
        decode(changed(**fields), ID)


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"]), np.zeros(1, [("a", "f4")])])
def test_only_numbers_are_packed(array: Any) -> None:
    with pytest.raises(TypeError, match="numbers"):
        pack({}, {"a": array})


def test_what_is_too_large_is_not_packed() -> None:
    with pytest.raises(ValueError, match="at most"):
        pack({}, {"a": np.zeros(LARGEST, np.uint8)})


@pytest.mark.parametrize("name", ["trial", "parts"])
def test_an_entry_that_lacks_what_answers_tell_is_a_miss(name: str) -> None:
    facts, arrays = unpack(ENTRY)
    del facts[name]
    with pytest.raises(StaleEntry):
        decode(pack(facts, arrays), ID)
