"""The parts of the digit in answers: as data, in both languages, by every method, and again from what is kept."""

import io
import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.explainers import EXPLAINERS
from tests.conftest import MakeApp
from tests.support.models.stores import SEVEN

FIELDS = {"name", "kind", "place", "section", "drop", "box", "supporting", "opposing", "stderr"}


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


def explained(client: FlaskClient, query: str) -> Any:
    answer = client.post(f"/v1/explain?{query}", data=SEVEN)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.mark.parametrize("method", EXPLAINERS)
def test_every_method_answers_with_the_same_parts(client: FlaskClient, method: str) -> None:
    answer = explained(client, f"method={method}&target=3")
    parts = answer["explanation"]["parts"]
    assert len(parts) > 1 and all(set(part) == FIELDS for part in parts)
    drops = [part["drop"] for part in parts]
    assert drops == sorted(drops, reverse=True)
    other = explained(client, "method=saliency&target=3")["explanation"]["parts"]
    assert drops == pytest.approx([part["drop"] for part in other], abs=1e-4)
    assert 0 <= sum(part["supporting"] + part["opposing"] for part in parts) <= 1.0001
    costliest = next(part for part in parts if part["kind"] != "gap")
    assert f"without {costliest['name']}, the score for 3 falls most" in answer["alt"] or costliest["drop"] <= 0


def test_parts_have_names_in_the_language_of_the_answer(client: FlaskClient) -> None:
    for language, bar in (("en", "the bar at the top"), ("zh", "上方的横")):
        answer = explained(client, f"lang={language}")
        assert bar in {part["name"] for part in answer["explanation"]["parts"]}
        costliest = next(part for part in answer["explanation"]["parts"] if part["kind"] != "gap")
        assert costliest["name"] in answer["alt"]


def test_kept_parts_are_those_that_were_computed(client: FlaskClient) -> None:
    first = explained(client, "method=lime&n_samples=50")
    again = client.get(first["links"]["self"]).get_json()
    assert again["explanation"]["parts"] == first["explanation"]["parts"] and again["alt"] == first["alt"]
    npz = client.get(first["links"]["npz"])
    with np.load(io.BytesIO(npz.data), allow_pickle=False) as file:
        assert json.loads(str(file["meta"]))["explanation"]["parts"] == first["explanation"]["parts"]


def test_a_comparison_tells_the_removal_test_once_for_each_model(client: FlaskClient) -> None:
    one_model = client.post("/v1/compare?methods=saliency,occlusion,shapley", data=SEVEN).get_json()["alt"]
    assert one_model.count("Removal test:") == 1
