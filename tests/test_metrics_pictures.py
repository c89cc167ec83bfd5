"""Which pictures are counted for a version: by class and confidence, out of distribution, of several digits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.inference.predict import to_prediction
from server.inference.tensors import judged
from server.metrics import MOST_SERIES, SURE, Metrics
from server.models.wrappers import probabilities_of
from tests.conftest import MakeApp
from tests.support.models.stores import SEVEN, card_28, draw_seven, encoded, form, write_version
from tests.test_metrics import Numbers, number, parsed, scraped

CLASSES = card_28().classes
ROWS = np.random.default_rng(0).random((5, 28, 28), np.float32)


def seven_twice() -> bytes:
    paper = Image.new("L", (280, 140), 255)
    paper.paste(draw_seven(), (0, 0))
    paper.paste(draw_seven(), (140, 0))
    return encoded(paper)


def counted(numbers: Numbers, model: str = "fake", version: str = "2") -> tuple[float, float, float, float]:
    """Pictures by predicted class and by confidence, those out of distribution, and those of several digits."""
    about = {"model": model, "version": version}
    return (
        sum(number(numbers, "inkling_predictions_total", **{"class": label}, **about) for label in CLASSES),
        number(numbers, "inkling_confidence_count", **about),
        number(numbers, "inkling_out_of_distribution_total", **about),
        number(numbers, "inkling_multiple_objects_total", **about),
    )


def test_a_prediction_is_counted_by_its_class_and_confidence(client: FlaskClient) -> None:
    answer = client.post("/v1/predict", data=SEVEN).get_json()["prediction"]
    numbers = scraped(client)
    assert counted(numbers) == (1, 1, 0, 0)
    about = {"model": "fake", "version": "2"}
    assert number(numbers, "inkling_predictions_total", **{"class": answer["label"]}, **about) == 1
    assert number(numbers, "inkling_confidence_sum", **about) == pytest.approx(answer["probability"])
    for bound in SURE:
        within = number(numbers, "inkling_confidence_bucket", le=str(bound), **about)
        assert within == (answer["probability"] <= bound)
    known = {dict(labels).get("class") for name, labels in numbers if name == "inkling_predictions_total"}
    assert known == set(CLASSES)  # rates begin at 0, not at the first picture of a class


def test_confidence_is_told_apart_where_it_matters() -> None:
    assert {0.5, 0.9, 0.95, 0.99, 0.999} <= set(SURE) and sum(0.5 <= bound <= 0.999 for bound in SURE) >= 8


def test_each_picture_counts_once_for_each_version_that_answers_it(client: FlaskClient) -> None:
    def post(path: str, data: Any = SEVEN) -> None:
        assert client.post(path, data=data).status_code == 200

    for done, path, data in (
        (1, "/v1/predict", SEVEN),
        (3, "/v1/predict", form(SEVEN, b"no picture", SEVEN)),
        (4, "/v1/explain?method=occlusion", SEVEN),  # and none of the pictures that it puts through the model
        (5, "/v1/explain?method=occlusion", SEVEN),  # kept, and answered again
        (7, "/v1/explain?method=saliency", form(SEVEN, SEVEN)),
        (8, "/v1/compare?methods=occlusion,saliency", SEVEN),
        (9, "/v1/compare?versions=2,10", SEVEN),
        (10, "/v1/adversarial?method=fgsm", SEVEN),  # not the picture that it found
    ):
        post(path, data)
        assert counted(scraped(client))[:2] == (done, done), path
    assert counted(scraped(client), version="10")[:2] == (1, 1)


def test_what_is_not_answered_or_only_got_again_is_not_counted(client: FlaskClient) -> None:
    answer = client.post("/v1/explain?method=saliency", data=SEVEN).get_json()
    assert client.get(answer["links"]["self"]).status_code == 200
    assert client.post("/v1/predict", data=b"no picture").status_code == 415
    assert client.post("/v1/explain?method=saliency&target=x", data=SEVEN).status_code == 400
    assert counted(scraped(client)) == (1, 1, 0, 0)


@pytest.mark.parametrize("path", ["/v1/models/fake:predict", "/v1/models/fake:explain", "/v2/models/fake/infer",
                                  "/v2/models/fake/explain"])  # fmt: skip
def test_rows_of_tensors_are_counted_in_every_protocol(client: FlaskClient, path: str) -> None:
    tensor = {"name": "images", "shape": list(ROWS.shape), "datatype": "FP32", "data": ROWS.ravel().tolist()}
    rows = {"instances": ROWS.tolist()} if path.startswith("/v1") else {"inputs": [tensor]}
    assert client.post(path, json={**rows, "parameters": {"method": "saliency"}}).status_code == 200
    assert counted(scraped(client)) == (5, 5, 0, 0)


def test_pictures_out_of_distribution_and_of_several_digits_are_counted(make_app: MakeApp, tmp_path: Path) -> None:
    write_version(tmp_path, in_distribution={"threshold": 1e9})
    client = make_app(model_store=tmp_path).test_client()
    for path in ("/v1/predict", "/v1/explain?method=saliency", "/v1/compare?methods=saliency,occlusion"):
        for picture in (SEVEN, seven_twice()):
            assert client.post(path, data=picture).status_code == 200
    assert client.post("/v1/models/fake:predict", json={"instances": ROWS.tolist()}).status_code == 200
    assert counted(scraped(client), version="1") == (11, 11, 11, 3)


def test_rows_together_are_counted_as_one_by_one() -> None:
    """Also on the bounds of buckets, and beside the threshold of the energy score."""
    rng = np.random.default_rng(1)
    logits = np.concatenate([rng.normal(0, spread, (300, 10)) for spread in (0.1, 1, 5, 20)]).astype(np.float32)
    card = replace(card_28(), energy_threshold=8.0)
    one_by_one, together = Metrics({}), Metrics({})
    for row in logits:
        one_by_one.count_picture(to_prediction(card, row[None]))
    outputs = {"logits": logits, "probabilities": probabilities_of(logits, card.temperature).astype(np.float32)}
    classes, probabilities, unfamiliar = judged(card, outputs)
    together.count_rows(card, classes, probabilities, unfamiliar)
    expected, got = parsed(one_by_one.text()), parsed(together.text())
    assert 0 < unfamiliar.sum() < len(logits)
    assert {key: value for key, value in got.items() if "created" not in key[0]} == {
        key: pytest.approx(value) for key, value in expected.items() if "created" not in key[0]
    }
    card_of_bounds = Metrics({})
    card_of_bounds.count_rows(card, np.zeros(len(SURE), int), np.array(SURE), np.zeros(len(SURE), bool))
    numbers = parsed(card_of_bounds.text())
    for at, bound in enumerate(SURE):
        within = number(numbers, "inkling_confidence_bucket", model="fake", version="1", le=str(bound))
        assert within == at + 1


def test_a_thousand_versions_do_not_make_metrics_grow_without_bound() -> None:
    metrics, sizes = Metrics({}), []
    for version in range(1000):
        card = card_28(version=str(version))
        metrics.count_picture(to_prediction(card, np.eye(10, dtype=np.float32)[[3]]))
        metrics.count_rows(card, np.array([3, 3]), np.array([0.9, 0.4]), np.array([True, False]))
        if version in (499, 999):
            sizes.append(len(parsed(metrics.text())))
    assert sizes[0] == sizes[1] < 2 * MOST_SERIES
    numbers = parsed(metrics.text())
    rest = number(numbers, "inkling_predictions_total", model="other", version="other", **{"class": "other"})
    by_version = sum(counted(numbers, version=str(version))[0] for version in range(1000))
    assert rest > 0 and rest + by_version == 3000


def test_a_version_that_comes_back_with_other_classes_is_counted_by_these() -> None:
    metrics = Metrics({})
    for classes in (CLASSES, tuple("abcdefghijkl")):
        card = replace(card_28(), classes=classes)
        metrics.count_picture(to_prediction(card, np.eye(len(classes), dtype=np.float32)[[-1]]))
    numbers = parsed(metrics.text())
    for label in ("9", "l"):
        assert number(numbers, "inkling_predictions_total", model="fake", version="1", **{"class": label}) == 1


def test_versions_that_cannot_be_used_are_counted(make_app: MakeApp, tmp_path: Path) -> None:
    write_version(tmp_path)
    (write_version(tmp_path, version="2") / "saved_model.pb").write_bytes(b"damaged")
    (write_version(tmp_path, "broken") / "saved_model.pb").write_bytes(b"damaged")
    (tmp_path / "fake" / "labels.json").write_text("{")
    numbers = scraped(make_app(model_store=tmp_path).test_client())
    assert number(numbers, "inkling_model_versions", model="fake") == 1
    assert number(numbers, "inkling_unusable_versions", model="fake") == 2
    assert number(numbers, "inkling_unusable_versions", model="broken") == 1
