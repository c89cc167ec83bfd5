"""Cards for people: what a card says and no more, in Markdown that others can read."""

from dataclasses import replace

import pytest
import yaml
from flask.testing import FlaskClient

from server.explainers import EXPLAINERS
from server.render import card_markdown
from server.types import ConformalScores, TrackRecord, Trial
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.fakes import make_card

TRAINED = {"data": {"name": "mnist.npz", "train": 55000}, "epochs": 40, "augment": True, "parent": "cnn/3"}
TRIAL = Trial(60, 500, 0.055, 0.01, ())


def front_matter(text: str) -> dict[str, object]:
    _, head, _ = text.split("---\n", 2)
    found: dict[str, object] = yaml.safe_load(head)
    return found


def test_the_front_matter_is_what_the_hub_reads() -> None:
    card = replace(make_card(), metrics={"accuracy": 0.9962}, training=TRAINED)
    head = front_matter(card_markdown(card, []))
    assert head["license"] == "apache-2.0" and head["pipeline_tag"] == "image-classification"
    assert head["model-index"] == [
        {
            "name": card.name,
            "results": [
                {
                    "task": {"type": "image-classification"},
                    "dataset": {"type": "mnist.npz", "name": "mnist.npz"},
                    "metrics": [{"type": "accuracy", "value": 0.9962}],
                }
            ],
        }
    ]


def test_names_from_elsewhere_break_nothing() -> None:
    wild = {"data": {"name": 'a: "b"\n---\n| c', "train": 1}, "note": "x | y\nz"}
    text = card_markdown(replace(make_card(), metrics={"accuracy": 1.0}, training=wild), [])
    results = front_matter(text)["model-index"][0]["results"]  # type: ignore[index]
    assert results[0]["dataset"]["name"] == 'a: "b" --- | c'
    assert "| note | x \\| y z |" in text


def test_it_says_what_was_measured_and_nothing_else() -> None:
    card = replace(make_card(), metrics={"accuracy": 0.9962, "own": 3}, training=TRAINED)
    text = card_markdown(replace(card, conformal=ConformalScores(17500, (0.1,))), [])
    assert "Trained on 55,000 images of mnist.npz. It went on from cnn/3." in text
    assert "| test images read right | 99.62% |" in text and "| own | 3 |" in text and "corruptions" not in text
    assert "calibrated on 17,500 held-out digits" in text
    assert "no calibration for prediction sets" in card_markdown(card, [])
    assert "Nobody has put it on trial" in card_markdown(card, [])


def test_it_says_which_methods_the_trial_believes() -> None:
    tried = [
        (EXPLAINERS["shapley"](), TrackRecord({"mark": 60, "decoy": 60}, 60, 0.68, 0.055)),
        (EXPLAINERS["shapley"](grid=4), TrackRecord({"mark": 50, "decoy": 60}, 60, 0.5, 0.055)),  # type: ignore[call-arg]
        (EXPLAINERS["grad_cam"](), TrackRecord({"mark": 20, "decoy": 20}, 60, 0.07, 0.055)),
    ]
    text = card_markdown(replace(make_card(), trial=TRIAL), tried)
    assert "| `shapley` | 120 of 120 | 0.680 |  |" in text
    assert "| `shapley&grid=4` | 110 of 120 |" in text
    assert "| `grad_cam` | 40 of 120 | 0.070 | not to be believed |" in text


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


def test_it_is_served_for_every_version(client: FlaskClient) -> None:
    answer = client.get("/v1/models/fake/card")
    assert answer.status_code == 200 and answer.content_type == "text/markdown; charset=utf-8"
    assert "# fake, version 2\n" in answer.text
    assert "# fake, version 10\n" in client.get("/v1/models/fake/card?version=canary").text
    check_error(client.get("/v1/models/none/card"), 404, "unknown_model", ("none",))
    check_error(client.get("/v1/models/fake/card?version=77"), 404, "unknown_model", ("77",))
    check_error(client.get("/v1/models/fake/card?lang=en"), 400, "unknown_option", ("lang",))
