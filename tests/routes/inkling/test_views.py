"""Over HTTP: the map of what a version has learned, where a digit lands on it, and what excites each class."""

import io
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.models.card import BrokenVersion, read_card
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN, add_views, write_version

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def client(make_app: MakeApp, tmp_path: Path) -> FlaskClient:
    root = tmp_path / "store"
    add_views(write_version(root, "fake", "1"))
    write_version(root, "plain", "1")
    return make_app(model_store=root, records=tmp_path / "file").test_client()


def test_a_prediction_says_where_its_digit_lands(client: FlaskClient) -> None:
    answer = client.post("/v1/predict?model=fake&neighbours=true", data=SEVEN).get_json()
    found, drawn = answer["neighbours"], client.get("/v1/models/fake/map").get_json()
    assert all(0 <= part <= 1 for part in found["position"])
    assert {one["label"] for one in found["own"]} <= {answer["prediction"]["label"]}
    for one in [*found["own"], *found["next"]]:
        assert drawn["labels"][one["centroid"]] == one["label"] and 0 <= one["distance"] <= 2
    assert len({one["label"] for one in found["next"]}) == 1
    assert "neighbours" not in client.post("/v1/predict?model=fake", data=SEVEN).get_json()


def test_the_map_is_drawn_with_a_mark(client: FlaskClient) -> None:
    drawn = client.get("/v1/models/fake/map").get_json()
    answer = client.get("/v1/models/fake/map?format=svg&mark=0.25,1")
    assert answer.content_type.startswith("image/svg+xml")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    tree = ET.fromstring(answer.data)
    pictures = tree.findall(f".//{SVG}image")
    assert len(pictures) == len(drawn["positions"]) == len(drawn["centroids"])
    for picture, centroid, (x, y) in zip(pictures, drawn["centroids"], drawn["positions"], strict=True):
        assert float(picture.get("x", 0)) == pytest.approx(40 + 640 * x - 15, abs=0.1)
        assert float(picture.get("y", 0)) == pytest.approx(40 + 640 * y - 15, abs=0.1)
        data = b64decode(picture.get("href", "").partition("base64,")[2])
        shown = 1 - np.asarray(Image.open(io.BytesIO(data)), np.float64) / 255
        assert shown == pytest.approx(np.array(centroid), abs=0.01)
    marks = tree.findall(f".//{SVG}circle")
    assert [(mark.get("cx"), mark.get("cy")) for mark in marks] == [("200.0", "680.0")] * 2
    assert not re.search(rb"circle", client.get("/v1/models/fake/map?format=svg").data)


def test_prototypes_are_a_picture_of_all_classes(client: FlaskClient, tmp_path: Path) -> None:
    answer = client.get("/v1/models/fake/prototypes.png")
    picture = Image.open(io.BytesIO(answer.data))
    assert answer.content_type == "image/png"
    assert picture.info["Description"].endswith("by class: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.")
    with np.load(tmp_path / "store" / "fake" / "1" / "assets.extra" / "views.npz") as stored:
        expected = np.kron(1 - stored["prototypes"][6], np.ones((4, 4)))  # the second of the second row
    left, top = 16 + (112 + 16), 16 + (112 + 16 + 20)
    shown = np.asarray(picture.convert("L"), np.float64)[top : top + 112, left : left + 112] / 255
    assert shown == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("path", ["/v1/models/plain/map", "/v1/models/plain/prototypes.png"])
def test_a_version_without_them_says_so(client: FlaskClient, path: str) -> None:
    check_error(client.get(path), 422, "method_not_possible", ("has no views.npz",))


def test_wrong_requests_are_explained(client: FlaskClient) -> None:
    neighbours = client.post("/v1/predict?model=plain&neighbours=true", data=SEVEN)
    check_error(neighbours, 422, "method_not_possible", ("has no views.npz",))
    for mark in ("1.5,0", "a,b", "1", "nan,0"):
        check_error(
            client.get(f"/v1/models/fake/map?format=svg&mark={mark}"), 400, "invalid_option", ("two numbers in 0..1",)
        )
    check_error(client.get("/v1/models/fake/map?mark=0,0"), 400, "invalid_option", ("ask for format=svg",))
    check_error(client.get("/v1/models/fake/map?format=png"), 406, "not_acceptable", ("image/svg+xml",))
    check_error(client.get("/v1/models/none/map"), 404, "unknown_model", ("none",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"positions": np.zeros((3, 2))}, "expected finite numbers for"),
        ({"prototypes": np.zeros((10, 3, 3))}, "and all classes"),
        ({"embeddings": np.full((6, 4), np.nan)}, "expected finite numbers"),
    ],
)
def test_views_that_do_not_fit_break_the_version(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(BrokenVersion, match=said):
        read_card(add_views(write_version(tmp_path, "fake", "1"), **changes))
