"""Drift is told when what is sent is not what is usual for a version, and not before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.explainers.saliency import Saliency
from server.explainers.shapley import Shapley
from server.models.card import BrokenVersion, read_card
from server.models.reference import parse_reference
from server.rollout.drift import EVERY, LEAST, WINDOW, Drift, PictureCounts, bin_of, stability_index
from server.types import REFERENCE_BOUNDS, Array, ModelCard, Reference, Target
from tests.conftest import MakeApp
from tests.support.explanations import explanation
from tests.support.models.stores import SEVEN, add_reference, card_28, write_version

BINS = len(REFERENCE_BOUNDS) + 1
SURE = np.array([0, 0, 0.01, 0.02, 0.02, 0.05, 0.1, 0.1, 0.2, 0.5])  # by bins of confidence
RANDOM = np.random.default_rng(3)
CELLS = RANDOM.dirichlet(np.full(16, 2.0), 10)


def usual(**changes: object) -> Reference:
    found = Reference(1000, np.full(10, 0.1), SURE, 0.01, Shapley.name, CELLS)
    return replace(found, **changes)  # type: ignore[arg-type]


class Watched:
    """A version with a reference. It draws random pictures and records the drift that the monitor reports."""

    def __init__(self, reference: Reference | None) -> None:
        self.card: ModelCard = replace(card_28(), reference=reference)
        self.told: dict[str, float] = {}
        self.times = 0
        self.drift = Drift(self._tell)

    def _tell(self, model: str, version: str, of: str, index: float) -> None:
        assert (model, version) == ("fake", "1")
        self.told[of] = index
        self.times += 1

    def send(
        self, count: int, classes: Array | None = None, confidence: Array = SURE, unfamiliar: float = 0.01
    ) -> None:
        edges = np.array([0.2, *REFERENCE_BOUNDS, 1.0])
        for index, one in zip(
            RANDOM.choice(10, count, p=classes), RANDOM.choice(BINS, count, p=confidence), strict=True
        ):
            self.drift.add(self.card, int(index), (edges[one] + edges[one + 1]) / 2, RANDOM.random() >= unfamiliar)


def test_what_is_usual_is_no_drift() -> None:
    version = Watched(usual())
    version.send(3 * WINDOW)
    assert set(version.told) == {"classes", "confidence", "out_of_distribution"}
    assert max(version.told.values()) < 0.1


@pytest.mark.parametrize(
    ("what", "sent"),
    [
        ("classes", {"classes": np.array([0.55, *[0.05] * 9])}),
        ("confidence", {"confidence": SURE[::-1]}),
        ("out_of_distribution", {"unfamiliar": 0.3}),
    ],
)
def test_what_has_changed_is_told_by_what_it_is(what: str, sent: dict[str, object]) -> None:
    version = Watched(usual())
    version.send(WINDOW, **sent)  # type: ignore[arg-type]
    assert version.told[what] > 0.25
    assert all(index < 0.1 for of, index in version.told.items() if of != what)


def test_pictures_are_counted_together_as_one_by_one() -> None:
    index, probability, unfamiliar = RANDOM.integers(0, 10, 80), RANDOM.uniform(0.2, 1, 80), RANDOM.integers(0, 2, 80)
    together, alone = PictureCounts.none(10), PictureCounts.none(10)
    together.add(index, bin_of(probability), unfamiliar)
    for one in zip(index.tolist(), probability.tolist(), unfamiliar.tolist(), strict=True):
        alone.add(one[0], bin_of(one[1]), one[2])
    assert together.indices(usual()) == alone.indices(usual())
    assert [part.sum() for part in (together.classes, together.confidence, together.unfamiliar)] == [80] * 3
    together.add(index, bin_of(probability), unfamiliar, by=-1)
    assert not together.classes.any()


def test_the_window_forgets() -> None:
    version = Watched(usual())
    version.send(WINDOW, confidence=SURE[::-1])
    assert version.told["confidence"] > 0.25
    version.send(WINDOW)
    assert version.told["confidence"] < 0.1


def test_few_pictures_tell_nothing() -> None:
    version = Watched(usual())
    version.send(LEAST - 1, confidence=SURE[::-1])
    assert version.told == {}
    version.send(EVERY)
    assert version.told["confidence"] > 0.25


def test_a_version_without_a_reference_is_not_watched() -> None:
    version = Watched(None)
    version.send(2 * LEAST)
    assert version.told == {}


def explained(card: ModelCard, cells: Array, **changes: object) -> object:
    """An explanation by the default method whose evidence lies in cells so."""
    found = explanation(method="shapley", options={})
    values = np.kron(cells.reshape(4, 4), np.ones((7, 7)))
    attribution = replace(found.attribution, values=values)
    prediction = replace(found.prediction, card=card)
    target = Target.of_class(3, card.classes)
    return replace(found, attribution=attribution, prediction=prediction, target=target, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("cells", "drifts"), [(CELLS[3], False), (np.roll(CELLS[3], 5), True)])
def test_evidence_that_lies_elsewhere_is_drift(cells: Array, drifts: bool) -> None:
    version = Watched(usual())
    found = explained(version.card, cells)
    for _ in range(LEAST):
        version.drift.add_explanation(found)  # type: ignore[arg-type]
    assert (version.told["evidence"] > 0.1) == drifts


@pytest.mark.parametrize(
    "other", [{"explainer": Saliency()}, {"explainer": Shapley(grid=5)}, {"output": "probability"}]
)
def test_other_explanations_say_nothing_of_the_evidence(other: dict[str, object]) -> None:
    version = Watched(usual())
    found = explained(version.card, CELLS[5], **other)
    for _ in range(LEAST):
        version.drift.add_explanation(found)  # type: ignore[arg-type]
    assert version.told == {}


def test_the_index_is_the_sum_of_its_definition() -> None:
    counts, shares = np.array([3000, 7000]), np.array([0.5, 0.5])
    expected = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    assert stability_index(counts, shares) == pytest.approx(expected, rel=1e-3)
    assert stability_index(np.array([0, 10]), np.array([0.0, 1.0])) == 0
    assert np.isfinite(stability_index(np.array([10, 0]), np.array([0.0, 1.0])))


def test_drift_is_among_the_metrics(make_app: MakeApp, tmp_path: Path) -> None:
    add_reference(write_version(tmp_path))
    client = make_app(model_store=tmp_path).test_client()
    for _ in range(LEAST):
        assert client.post("/v1/predict", data=SEVEN).status_code == 200
    text = client.get("/metrics").get_data(as_text=True)
    lines = [line for line in text.splitlines() if line.startswith("inkling_drift{")]
    assert len(lines) == 3
    (classes,) = [line for line in lines if 'of="classes"' in line]
    assert float(classes.rpartition(" ")[2]) > 0.25  # all are the same picture


def test_a_card_has_its_reference(tmp_path: Path) -> None:
    found = read_card(add_reference(write_version(tmp_path))).reference
    assert found is not None
    assert (found.images, found.method) == (100, "shapley")
    assert read_card(write_version(tmp_path, version="2")).reference is None


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2}, {"images": 0}, {"images": "many"}, {"classes": [1.0]}, {"classes": [0.2] * 10},
        {"confidence": [-1.0, 2.0, *[0.0] * (BINS - 2)]}, {"out_of_distribution": 2},
        {"evidence": {"method": "shapley", "cells": [[1.0] * 16] * 10}}, {"evidence": {}}, {"classes": None},
    ],
)  # fmt: skip
def test_a_reference_that_is_none_breaks_the_version(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(BrokenVersion, match=r"reference\.json"):
        read_card(add_reference(write_version(tmp_path), **changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"{" * 100_000])
def test_what_is_no_reference_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (json's own, or ours)
        parse_reference(content, 10)
