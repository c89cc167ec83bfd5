"""A shadow is asked after the answer, and finds what a second version does otherwise.

A buffered answer is one that is out: the shadow is asked when it is closed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.rollout.evidence import cell_shares
from server.rollout.report import Compared, report, wilson
from server.rollout.shadow import Answered, Shadow
from server.rollout.shares import Share
from server.types import Array, ModelCard
from tests.conftest import MakeApp
from tests.support.models.fakes import EVERYTHING, Fake, Linear
from tests.support.models.stores import SEVEN, card_28

SPOILT = 4


class Spoilt(Linear):
    """As the others, but it reads one class as the next."""

    def logits(self, images: Array) -> Array:
        found = super().logits(images)
        rows = found.argmax(axis=1) == SPOILT
        found[rows] = np.roll(found[rows], 1, axis=1)
        return found


class Shuffled(Linear):
    """It answers the same for other reasons: the evidence lies elsewhere."""

    def slopes(self, images: Array) -> Array:
        return np.roll(super().slopes(images), 14, axis=2)


def loading(other: type[Fake]) -> Callable[[Path, ModelCard], Fake]:
    """Version 10, the canary, is another."""
    return lambda path, card: (other if card.version == "10" else Linear)(card, EVERYTHING)


def picture(seed: int) -> Array:
    random = np.random.default_rng(seed)
    return np.where(random.random((28, 28)) < 0.3, random.random((28, 28)), 0).round(3)


def post(client: FlaskClient, seed: int) -> dict[str, Any]:
    found = client.post("/v1/predict", json={"pixels": picture(seed).tolist()}, buffered=True)
    assert found.status_code == 200
    return dict(found.get_json())


def told(app: Flask) -> dict[str, Any]:
    app.extensions["inkling"].shadow.wait()
    return dict(app.test_client().get("/v1/models/fake/shadow").get_json())


def test_a_canary_that_is_spoilt_on_one_class_is_found_within_a_thousand_requests(make_app: MakeApp) -> None:
    load = loading(Spoilt)
    app = make_app(load, load, shadow="fake@canary:0.3")
    client = app.test_client()
    for seed in range(1000):
        post(client, seed)
        if seed % 50 == 49:
            app.extensions["inkling"].shadow.wait()  # here requests come faster than anybody sends them
    found = told(app)
    assert found["suspicious"] == [str(SPOILT)]
    assert 200 <= found["compared"] <= 400
    assert f"{SPOILT} (" in found["summary"]
    (worst,) = [one for one in found["classes"] if one["suspicious"]]
    assert worst["changed"] == worst["compared"]
    assert worst["confidence_moved"] > 0.1


def test_a_canary_that_is_the_same_is_not_suspected(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@canary:1")
    for seed in range(50):
        post(app.test_client(), seed)
    found = told(app)
    assert (found["suspicious"], found["changed"], found["compared"] + found["skipped"]) == ([], 0, 50)
    assert all(one["explanation_moved"] == pytest.approx(0, abs=1e-6) for one in found["classes"])


def test_evidence_that_moved_is_told_where_the_answers_are_the_same(make_app: MakeApp) -> None:
    load = loading(Shuffled)
    app = make_app(load, load, shadow="fake@canary:1")
    for seed in range(30):
        post(app.test_client(), seed)
    found = told(app)
    assert found["changed"] == 0
    assert all(one["explanation_moved"] > 0.02 for one in found["classes"])


def test_rows_of_tensors_and_explanations_are_compared_too(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@canary:1")
    client = app.test_client()
    client.post("/v1/explain?method=saliency", data=SEVEN, buffered=True)
    rows = np.stack([picture(seed).ravel() for seed in range(3)])
    client.post("/v1/models/fake:predict", data=json.dumps({"instances": rows.tolist()}), buffered=True)
    body = {"inputs": [{"name": "images", "shape": [3, 784], "datatype": "FP32", "data": rows.ravel().tolist()}]}
    client.post("/v2/models/fake/infer", json=body, buffered=True)
    assert told(app)["compared"] == 7


def test_what_the_version_itself_answered_is_not_compared(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@canary:1")
    app.test_client().post("/v1/predict?version=canary", data=SEVEN, buffered=True)
    assert told(app)["compared"] == 0


def test_what_an_older_version_answered_by_name_is_not_compared(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@canary:1")
    app.test_client().post("/v1/predict?version=1", data=SEVEN, buffered=True)
    assert told(app)["compared"] == 0


def test_a_label_that_is_not_there_is_skipped_and_told(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@nothing:1")
    assert app.test_client().post("/v1/predict", data=SEVEN, buffered=True).status_code == 200
    found = told(app)
    assert (found["shadow"], found["skipped"]) == ({"label": "nothing", "share": 1.0, "version": None}, 1)


def test_a_second_version_that_fails_harms_no_answer(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Linear):
        def logits(self, images: Array) -> Array:
            raise RuntimeError("a foreign graph")

    load = loading(Broken)
    app = make_app(load, load, shadow="fake@canary:1")
    for _ in range(2):
        assert app.test_client().post("/v1/predict", data=SEVEN, buffered=True).status_code == 200
    assert told(app)["skipped"] == 2
    assert "could not be asked" in caplog.text


def test_pictures_beyond_those_that_wait_are_skipped() -> None:
    skipped: list[str] = []

    class Slow:
        """A store whose versions nobody gets before the end."""

        def handle(self, name: str, version: str | None) -> Any:
            raise RuntimeError("never asked: the queue is full before its thread begins")

    class Counting:
        def count_shadow(self, *facts: object) -> None: ...

        def count_shadow_skipped(self, model: str) -> None:
            skipped.append(model)

    shadow = Shadow({"fake": Share("fake", "canary", 1.0)}, Slow(), Counting(), lambda: 0.0, waiting=3)
    shadow._started = True  # as a thread that is busy
    for _ in range(5):
        shadow.offer(Answered(card_28(), 0, 0.5, picture(0)))
    assert skipped == ["fake", "fake"]


def test_without_a_shadow_that_is_said(client: FlaskClient) -> None:
    found = client.get("/v1/models/fake/shadow").get_json()
    assert (found["shadow"], found["canary"], found["classes"]) == (None, None, [])
    assert "INKLING_SHADOW" in found["summary"]
    assert client.get("/v1/models/nothing/shadow").status_code == 404


def test_the_numbers_are_among_the_metrics(make_app: MakeApp) -> None:
    app = make_app(shadow="fake@canary:1")
    app.test_client().post("/v1/predict", data=SEVEN, buffered=True)
    app.extensions["inkling"].shadow.wait()
    text = app.test_client().get("/metrics").get_data(as_text=True)
    assert 'inkling_shadow_total{class="' in text
    assert 'inkling_shadow_explanation_moved_sum{class="' in text


UNEVEN = [slice(0, 8), slice(8, 15), slice(15, 23), slice(23, 30)]  # rows of 30, in four


def test_cell_shares_are_shares_of_absolute_values() -> None:
    values = np.zeros((28, 28))
    values[0, 0], values[27, 27] = 1.0, -3.0
    found = cell_shares(values)
    assert (found[0, 0], found[3, 3], found.sum()) == (0.25, 0.75, 1.0)
    assert np.allclose(cell_shares(np.zeros((28, 28))), 1 / 16)
    several = np.stack([values, np.zeros((28, 28)), np.random.default_rng(0).normal(size=(28, 28))])
    assert np.array_equal(cell_shares(several), [cell_shares(one) for one in several])
    narrow = np.abs(np.random.default_rng(1).normal(size=(30, 3)))  # with sides that the cells do not divide
    assert np.allclose(cell_shares(narrow).sum(axis=1), [narrow[rows].sum() / narrow.sum() for rows in UNEVEN])
    assert np.allclose(cell_shares(narrow)[:, 3], 0)


def test_the_interval_is_wilsons() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 10)
    assert low == pytest.approx(1 - high)
    for share in (low, high):  # by its definition: the share is Z standard errors from what was seen
        assert abs(0.5 - share) == pytest.approx(2.58 * np.sqrt(share * (1 - share) / 10), rel=1e-9)


def test_few_changes_are_no_suspicion() -> None:
    found = report({"1": Compared(0, 1, None, None), "2": Compared(90, 10, 0.1, 0.1), "3": Compared(60, 40, 0.3, 0.2)})
    assert found.suspicious == ["3"]
    assert (found.compared, found.changed) == (201, 51)
