"""Over HTTP: which digits a picture may be, and how often that is right."""

from base64 import b64encode
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.conftest import MakeApp
from tests.support.answers import check_error, post_explain
from tests.support.models.stores import SEVEN, form, write_version

SETS = {"n": 1000, "lowest": [0.0001 * k for k in range(1, 51)]}


@pytest.fixture
def client(make_app: MakeApp, tmp_path: Path) -> FlaskClient:
    root = tmp_path / "store"
    write_version(root, "fake", "1", prediction_sets=SETS)
    write_version(root, "plain", "1")
    return make_app(model_store=root, records=tmp_path / "file").test_client()


def test_a_prediction_says_which_digits_it_may_be(client: FlaskClient) -> None:
    answer = client.post("/v1/predict?model=fake", data=SEVEN).get_json()
    found = answer["prediction_set"]
    assert (found["coverage"], found["n"]) == (0.999, 1000)
    likeliest = sorted(range(10), key=lambda index: -answer["probabilities"][index])
    expected = [str(index) for index in likeliest if answer["probabilities"][index] >= 0.0001]
    assert found["labels"] == expected
    narrow = client.post("/v1/predict?model=fake&coverage=0.96", data=SEVEN).get_json()["prediction_set"]
    assert narrow["coverage"] == 0.96
    assert narrow["labels"] == [one for one in expected if answer["probabilities"][int(one)] >= 0.004]


def test_an_explanation_has_it_and_says_what_else_it_may_be(client: FlaskClient) -> None:
    answer = post_explain(client, "?model=fake&method=saliency")
    first, *others = answer["prediction_set"]["labels"]
    assert first == answer["prediction"]["label"] and others
    assert f"It may also be {' or '.join(others)}." in answer["alt"]


def test_a_kept_explanation_has_it_still(client: FlaskClient) -> None:
    answer = post_explain(client, "?model=fake&method=saliency")
    assert answer["prediction_set"] is not None
    for again in (client.get(answer["links"]["self"]).get_json(), post_explain(client, "?model=fake&method=saliency")):
        assert again["prediction_set"] == answer["prediction_set"]
        assert again["alt"] == answer["alt"]


def test_a_model_without_a_calibration_says_so_where_it_is_asked(client: FlaskClient) -> None:
    assert client.post("/v1/predict?model=plain", data=SEVEN).get_json()["prediction_set"] is None
    check_error(
        client.post("/v1/predict?model=plain&coverage=0.99", data=SEVEN), 400, "invalid_option", ("has no calibration",)
    )


@pytest.mark.parametrize("coverage", ["0.9", "0.9999", "1", "0"])
def test_a_coverage_that_nobody_can_vouch_for_is_refused(client: FlaskClient, coverage: str) -> None:
    answer = client.post(f"/v1/predict?model=fake&coverage={coverage}", data=SEVEN)
    check_error(answer, 400, "invalid_option", ("expected 0.9496 to 0.999001",))


@pytest.mark.parametrize("coverage", ["much", "nan", "-1", "1.5"])
def test_what_is_no_share_is_refused(client: FlaskClient, coverage: str) -> None:
    check_error(client.post(f"/v1/predict?coverage={coverage}", data=SEVEN), 400, "invalid_option", ("coverage=",))


def test_it_stands_in_a_form_and_in_json_too(client: FlaskClient) -> None:
    answer = client.post("/v1/predict?model=fake", data={**form(SEVEN), "coverage": "0.96"})
    assert answer.get_json()["prediction_set"]["coverage"] == 0.96
    answer = client.post("/v1/predict?model=fake", json={"image": b64encode(SEVEN).decode(), "coverage": 0.96})
    assert answer.get_json()["prediction_set"]["coverage"] == 0.96
