"""Pictures in, answers out: every way to send and to ask, against the model's own numbers and explain()."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from scipy.special import softmax

from server.explainers import describe_all
from server.explainers.segmentation import grid
from server.images import decode
from tests.conftest import MakeApp
from tests.support.answers import MODEL, check_error, digit, logits, post_explain, post_predict
from tests.support.models.stores import CLASSES, SEVEN, draw_seven, encoded, form, sha256, write_version


def b64(body: bytes) -> str:
    return b64encode(body).decode()


def test_a_prediction_is_what_the_model_says_of_the_normalised_picture(client: FlaskClient) -> None:
    answer = post_predict(client)
    expected = softmax(logits() / MODEL.card.temperature)
    best = int(expected.argmax())
    assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert answer["prediction"]["class"] == best and answer["prediction"]["label"] == str(best)
    assert answer["prediction"]["probability"] == answer["probabilities"][best]
    assert answer["in_distribution"]["ok"] is True
    assert answer["preprocessing"]["steps"] == ["inverted", "cropped", "centred"]
    assert answer["preprocessing"]["transform"] == pytest.approx(digit().placement.transform, rel=1e-6)


WAYS: dict[str, dict[str, Any]] = {
    "raw, with its type": {"data": SEVEN, "content_type": "image/png"},
    "raw, as curl --data-binary says": {"data": SEVEN, "content_type": "application/x-www-form-urlencoded"},
    "raw, of another type": {"data": SEVEN, "content_type": "text/html; charset=utf-8"},
    "raw, without a type": {"data": SEVEN},
    "JSON": {"json": {"image": {"b64": b64(SEVEN)}}},
    "JSON, a data: URL": {"json": {"image": {"b64": f"data:image/png;base64,{b64(SEVEN)}"}}},
    "JSON, without a type": {"data": json.dumps({"image": {"b64": b64(SEVEN)}})},
    "JSON, as curl -d says": {
        "data": " \n" + json.dumps({"image": {"b64": b64(SEVEN)}}),
        "content_type": "application/x-www-form-urlencoded",
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_the_same_picture_has_the_same_answer_however_it_is_sent(client: FlaskClient, path: str, way: str) -> None:
    response = client.post(path, **WAYS[way])
    assert response.status_code == 200, response.text
    assert response.get_json() == client.post(path, data=form(SEVEN)).get_json()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF"])
def test_other_formats_are_recognised_by_their_bytes(client: FlaskClient, kind: str) -> None:
    answer = client.post("/v1/predict", data=encoded(draw_seven(), kind), content_type="image/png").get_json()
    assert answer["probabilities"] == pytest.approx(post_predict(client)["probabilities"], abs=0.1)


@pytest.mark.parametrize("whole", [True, False])
def test_pixels_are_taken_as_they_are(client: FlaskClient, whole: bool) -> None:
    levels = np.rint(digit().pixels * 255).astype(int)
    pixels = levels.tolist() if whole else (levels / 255).tolist()
    expected = softmax(MODEL.forward((levels / 255)[None])[0] / MODEL.card.temperature)
    for path in ("/v1/predict", "/v1/explain"):
        answer = client.post(path, json={"pixels": pixels}).get_json()
        assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)
        assert answer["preprocessing"]["transform"] == [1, 0, 0, 0, 1, 0]
        assert answer["preprocessing"]["steps"] == [f"numbers read as 0 to {255 if whole else 1}"]
        assert answer["preprocessing"]["warnings"] == []


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_several_pictures_are_answered_in_order_and_a_bad_one_harms_no_other(client: FlaskClient, path: str) -> None:
    other = encoded(draw_seven().transpose(Image.Transpose.ROTATE_90))
    single = [client.post(path, data=body).get_json() for body in (SEVEN, other)]
    assert single[0] != single[1]
    response = client.post(path, data=form(SEVEN, b"%PDF-1.7", other, b""), headers={"X-Request-ID": "mine"})
    assert response.status_code == 200
    first, bad, third, empty = response.get_json()["results"]
    assert [first, third] == single
    assert (bad["code"], empty["code"]) == ("unsupported_image", "empty_body")
    assert "PDF" in bad["error"] and bad["request_id"] == "mine"


def test_preprocess_none_takes_the_whole_picture_as_it_is(client: FlaskClient) -> None:
    answer = post_predict(client, "?preprocess=none")
    whole = decode(SEVEN, MODEL.card.image, "none").pixels
    assert answer["preprocessing"]["steps"] == []
    expected = softmax(MODEL.forward(whole[None])[0] / MODEL.card.temperature)
    assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
@pytest.mark.parametrize(
    ("query", "name", "version"),
    [
        ("", "fake", "2"),
        ("?version=1", "fake", "1"),
        ("?version=10", "fake", "10"),
        ("?version=stable", "fake", "2"),
        ("?version=canary", "fake", "10"),
        ("?model=fake", "fake", "2"),
        ("?model=plain", "plain", "1"),
    ],
)
def test_the_requested_version_answers(
    make_app: MakeApp, path: str, query: str, name: str, version: str
) -> None:  # fmt: skip
    app = make_app()
    answer = app.test_client().post(path + query, data=SEVEN).get_json()
    folder = app.extensions["inkling"].store.served_models[name].versions[version].folder
    digest = "sha256:" + sha256(folder / "assets.extra" / "model_card.json")
    assert answer["model"] == {"name": name, "version": version, "digest": digest}


@pytest.mark.parametrize(
    ("target", "versus"),
    [*((target, None) for target in (None, *range(CLASSES))), (None, 0), (0, 9), (9, 0), (3, 7)],
)
def test_shapley_values_of_a_linear_model_are_its_terms(
    client: FlaskClient, target: int | None, versus: int | None
) -> None:
    index = int(logits().argmax()) if target is None else target
    requested = {"target": target, "versus": versus}
    query = "&".join(f"{name}={value}" for name, value in requested.items() if value is not None)
    answer = post_explain(client, "?" + query)
    weights = MODEL.directions()[index] - (0 if versus is None else MODEL.directions()[versus])
    cells = grid((28, 28), (3, 3))
    changes = digit().pixels - MODEL.card.background.mean(axis=0) * 0.75  # from a quarter and five quarters of it
    terms = np.bincount(cells.ravel(), (weights * changes).ravel())
    found = answer["explanation"]
    assert answer["target"]["class"] == index and answer["target"]["versus"] == versus
    assert answer["target"]["label"] == (str(index) if versus is None else f"{index}, not {versus}")
    assert answer["prediction"]["class"] == int(logits().argmax())
    assert found["segment_values"] == pytest.approx(terms.tolist(), abs=1e-4)
    assert np.sum(found["values"]) == pytest.approx(found["score"] - found["base_value"], abs=1e-4)
    assert found["score"] == pytest.approx(logits()[index] - (0 if versus is None else logits()[versus]), abs=1e-4)
    assert (found["method"], found["unit"], found["seed"]) == ("shapley", "logit", 0)
    assert found["certificate"]["state"] == "exact"


def test_of_the_probability(client: FlaskClient) -> None:
    answer = post_explain(client, "?target=0&output=probability")
    found = answer["explanation"]
    assert (found["unit"], found["output"]) == ("probability", "probability")
    assert found["score"] == pytest.approx(answer["probabilities"][0], abs=1e-6)
    baselines = np.stack([0.25, 1.25])[:, None, None] * MODEL.card.background.mean(axis=0)
    base = np.mean([softmax(logits / MODEL.card.temperature)[0] for logits in MODEL.forward(baselines)])
    assert found["base_value"] == pytest.approx(base, abs=1e-6)
    assert np.sum(found["values"]) == pytest.approx(found["score"] - found["base_value"], abs=1e-6)


def test_shap_is_another_name_for_the_default(client: FlaskClient) -> None:
    assert post_explain(client, "?method=shap") == post_explain(client, "?method=shapley") == post_explain(client)


def test_options_and_seed_reach_the_method(client: FlaskClient) -> None:
    query = "?method=lime&n_samples=50&kernel_size=2.5&seed=%d"
    first, other = post_explain(client, query % 3), post_explain(client, query % 4)
    assert first["explanation"]["options"].items() >= {"n_samples": 50, "kernel_size": 2.5}.items()
    assert first["explanation"]["seed"] == 3 and other["explanation"]["seed"] == 4
    assert first["explanation"]["segment_values"] != other["explanation"]["segment_values"]
    assert first["id"] != other["id"]


BOUNDS = [
    (method["name"], one["name"], one[end])
    for method in describe_all()
    for one in method["options"]
    for end in ("minimum", "maximum")
    if end in one
]


@pytest.mark.parametrize(("method", "option", "value"), BOUNDS)
def test_the_listed_ends_of_a_range_are_possible(client: FlaskClient, method: str, option: str, value: float) -> None:
    answer = post_explain(client, f"?method={method}&{option}={value}")
    assert answer["explanation"]["options"][option] == value


def test_a_picture_unlike_the_training_data_is_said_to_be(make_app: MakeApp, tmp_path: Path) -> None:
    energy = post_predict(make_app().test_client())["in_distribution"]["score"]
    for version, threshold in (("1", energy - 0.1), ("2", energy + 0.1)):
        write_version(tmp_path, "fake", version, in_distribution={"threshold": threshold})
    client = make_app(model_store=tmp_path).test_client()
    assert post_predict(client, "?version=1")["in_distribution"]["ok"] is True
    assert post_predict(client, "?version=2")["in_distribution"]["ok"] is False


def test_error_mentions_a_form_part_without_a_name(client: FlaskClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\n7\r\n--x--\r\n'
    response = client.post("/v1/predict", data=body, content_type="multipart/form-data; boundary=x")
    check_error(response, 400, "empty_body", ("files named `image`",))
