"""Where a digit lands: the nearest centroids by an embedding that is known by hand, its place, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from server.errors import MethodNotPossible
from server.inference.neighbours import neighbours, predict_with_neighbours
from server.inference.predict import ModelSelector, Stages, predict_pixels
from server.models.versions import LoadedModel, LoadedVersion
from server.protocols import NO_DEADLINE
from server.types import Array, Model, Picture, Views
from tests.support.models.fakes import Linear, ink, make_card

# The fake's embedding has the means of the four quadrants.
CORNERS = np.eye(4)[[0, 0, 1, 1, 2, 3]] + 0.01 * np.arange(6)[:, None]
POSITIONS = np.array([[0, 0], [0, 0.2], [1, 0], [1, 0.2], [0, 1], [1, 1]])


def version(classes: list[int], model: type[Linear] = Linear) -> LoadedVersion:
    views = Views(POSITIONS, np.array(classes), CORNERS, np.zeros((3, 8, 8)))
    net = model(replace(make_card(), views=views))
    return LoadedVersion(net.card, Path(), twin=net, explaining=LoadedModel(net))


def quadrant(row: int, column: int) -> Array:
    pixels = np.zeros((8, 8), np.float32)
    pixels[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0.8
    return pixels


def test_the_nearest_centroids_are_told_by_class() -> None:
    pixels = quadrant(0, 1)
    served = version([2, 0, 1, 1, 2, 0])
    prediction = predict_pixels(served, pixels, NO_DEADLINE)
    named = replace(prediction, index=1)
    found = neighbours(served, pixels, named, NO_DEADLINE)
    assert [one.centroid for one in found.own] == [2, 3] and {one.label for one in found.own} == {"1"}
    assert found.own[0].distance == pytest.approx(1 - cosine(CORNERS[2], np.eye(4)[1]))
    distances = {index: 1 - cosine(CORNERS[index], np.eye(4)[1]) for index in range(6)}
    others = sorted((index for index in (0, 1, 4, 5)), key=distances.__getitem__)
    follows = served.card.views.classes[others[0]]  # type: ignore[union-attr]
    assert [one.centroid for one in found.next] == [
        index
        for index in others
        if served.card.views.classes[index] == follows  # type: ignore[union-attr]
    ]
    assert found.position[0] > 0.9 and found.position[1] < 0.3  # beside those of its own quadrant


def cosine(one: Array, other: Array) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_digit_that_is_a_centroid_lies_on_it() -> None:
    served = version([0, 0, 1, 1, 2, 2])
    pixels = np.zeros((8, 8), np.float32)
    for place, value in enumerate(CORNERS[3]):
        pixels += value * quadrant(*divmod(place, 2)) / 0.8
    found = neighbours(served, pixels, predict_pixels(served, pixels, NO_DEADLINE), NO_DEADLINE)
    assert found.position == pytest.approx(tuple(POSITIONS[3]), abs=1e-4)


def test_a_class_may_have_no_centroids() -> None:
    served = version([1, 1, 1, 1, 1, 1])
    pixels = quadrant(1, 0)
    prediction = predict_pixels(served, pixels, NO_DEADLINE)
    found = neighbours(served, pixels, replace(prediction, index=0), NO_DEADLINE)
    assert found.own == () and len(found.next) == 3
    found = neighbours(served, pixels, replace(prediction, index=1), NO_DEADLINE)
    assert len(found.own) == 3 and found.next == ()


@dataclass(frozen=True)
class One:
    """A store of one version."""

    version: LoadedVersion

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        yield self.version


def test_a_version_without_a_map_is_refused_before_anything_is_computed() -> None:
    net: Model = Linear()
    served = LoadedVersion(net.card, Path(), twin=net, explaining=LoadedModel(net))
    picture = Picture(pixels=ink().tolist())
    with pytest.raises(MethodNotPossible, match=r"has no views\.npz"):
        predict_with_neighbours(One(served), picture, ModelSelector("fake"), NO_DEADLINE, Stages())
    assert net.rows == 0  # type: ignore[attr-defined]
