"""Which predictions are worth an explanation: conditions, and what a prediction with one answers."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.errors import InvalidOption
from server.inference.explain_if import Condition, margin
from server.types import InDistribution, Prediction
from tests.auth.test_keys import write_keys
from tests.conftest import MakeApp
from tests.support.models.fakes import make_card
from tests.support.models.stores import SEVEN, draw_seven, encoded, form


def prediction(*probabilities: float, known: bool = True) -> Prediction:
    card = make_card(classes=len(probabilities))
    index = int(np.argmax(probabilities))
    return Prediction(
        card, index, np.array(probabilities), np.log(probabilities), InDistribution(known, 5.0, 1.0)
    )  # fmt: skip


SURE, UNSURE = prediction(0.95, 0.03, 0.02), prediction(0.5, 0.45, 0.05)
STRANGE = prediction(0.95, 0.03, 0.02, known=False)


@pytest.mark.parametrize(
    ("text", "expected"),  # for SURE, UNSURE, STRANGE
    [
        ("probability<0.9", [False, True, False]),
        ("probability<0.95", [False, True, False]),
        ("probability<=0.95", [True, True, True]),
        ("probability>0.9", [True, False, True]),
        ("probability >= 0.95", [True, False, True]),
        ("margin<0.1", [False, True, False]),
        ("margin<.04", [False, False, False]),
        ("out_of_distribution", [False, False, True]),
        ("probability<0.9,out_of_distribution", [False, True, True]),
        ("margin<0.06, probability<0.1", [False, True, False]),
        ("probability<1", [True, True, True]),
        ("probability<0", [False, False, False]),
    ],
)
def test_a_condition_holds_where_it_says(text: str, expected: list[bool]) -> None:
    assert [Condition.parse(text).holds(one) for one in (SURE, UNSURE, STRANGE)] == expected


def test_the_margin_is_between_the_two_likeliest() -> None:
    assert margin(UNSURE) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "text",
    ["", ",", "probability", "probability<", "probability<1.1", "probability<-1", "probability<nan", "probability=0.5",
     "probability<<0.5", "certainty<0.5", "probability<0.5,", "probability<0.5;margin<1", "out_of_distribution<1",
     "probability<0x1", "probability<1e-1", ",".join(["margin<1"] * 9), "probability<" + "0" * 5000,
     "__import__('os')"],
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="explain_if"):
        Condition.parse(text)


def asked(client: FlaskClient, query: str, body: Any = SEVEN) -> Any:
    return client.post(f"/v1/predict?{query}", data=body).get_json()


def test_where_it_holds_the_explanation_is_that_of_explain(client: FlaskClient) -> None:
    found = asked(client, "explain_if=probability<=1&method=shapley&grid=4")
    explained = client.post("/v1/explain?method=shapley&grid=4", data=SEVEN).get_json()
    assert found["explanation"] == explained
    assert found["explanation"]["links"] is not None
    plain = client.post("/v1/predict", data=SEVEN).get_json()
    assert {name: value for name, value in found.items() if name != "explanation"} == plain


def test_where_it_does_not_hold_there_is_none(client: FlaskClient) -> None:
    found = asked(client, "explain_if=probability<0")
    assert found["explanation"] is None
    assert found["prediction"] == client.post("/v1/predict", data=SEVEN).get_json()["prediction"]


def test_other_options_of_predictions_hold_beside_it(client: FlaskClient) -> None:
    found = asked(client, "explain_if=probability<0&pixels=true")
    assert len(found["preprocessing"]["pixels"]) == 28


def test_each_of_several_pictures_is_judged_alone(client: FlaskClient) -> None:
    blank = encoded(draw_seven(56).point(lambda level: 255))
    results = asked(client, "explain_if=probability<=1&method=saliency", form(SEVEN, blank, SEVEN))["results"]
    assert ["explanation" in one for one in results] == [True, False, True]
    assert results[1]["code"] == "blank_image"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("explain_if=certainty<1", "explain_if='certainty<1'; expected such as probability<0.9"),
        ("explain_if=probability<1&method=lyme", "did you mean 'lime'"),
        ("explain_if=probability<1&grid=7&method=saliency", "unknown option 'grid'"),
        ("explain_if=probability<1&format=png", "unknown option 'format'"),
        ("explain_if=probability<1&neighbours=true", "unknown option 'neighbours'"),
        ("explain_iff=probability<1", "did you mean 'explain_if'?"),
        ("method=lime", "unknown option 'method'"),
    ],
)
def test_a_mistake_is_said_whether_it_would_explain_or_not(client: FlaskClient, query: str, said: str) -> None:
    answer = client.post(f"/v1/predict?{query}", data=SEVEN)
    assert answer.status_code in (400, 404)
    assert said in answer.get_json()["error"]


def test_without_a_slot_the_prediction_is_still_answered(make_app: MakeApp) -> None:
    app = make_app(explain_slots=1)
    pool = app.extensions["inkling"].scheduler.pool
    permit = pool.acquire(time.monotonic() + 60)
    found = asked(app.test_client(), "explain_if=probability<=1&method=saliency")
    permit.release()
    assert found["prediction"]["label"]
    assert (found["explanation"]["code"], found["explanation"]["error"] != "") == ("busy", True)


def test_with_keys_it_needs_the_scope_to_explain(make_app: MakeApp, tmp_path: Path) -> None:
    secrets = write_keys(tmp_path / "keys", web="predict", lab="predict,explain")
    client = make_app(keys_file=tmp_path / "keys").test_client()
    answers = [
        client.post("/v1/predict?explain_if=probability<=1", data=SEVEN, headers={"X-API-Key": secret}).status_code
        for secret in secrets.values()
    ]
    assert answers == [403, 200]
