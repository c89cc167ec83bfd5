"""Answers in every format: chosen by `format` or Accept, and the very bytes of the renderers."""

import io
import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.explainers import EXPLAINERS
from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.render import RENDERERS
from server.types import Picture
from tests.support.answers import digit
from tests.support.models.stores import SEVEN

JSON, PNG, SVG, NPZ = RENDERERS
BY_NAME = {"json": JSON, "png": PNG, "svg": SVG, "npz": NPZ}


def rendered(client: FlaskClient, media_type: str, **why: Any) -> bytes:
    """What explain() and the renderer give without HTTP."""
    store = client.application.extensions["inkling"].store
    request = ExplainRequest(**{"method": "shapley", **why})
    found = explain(store, Picture(SEVEN), ModelSelector("fake"), request)
    return RENDERERS[media_type](found.value)


def computed(data: bytes) -> bytes:
    """An answer without its links, which are HTTP's alone."""
    before, links, _ = data.partition(b',"links":')
    return before + b"}" if links else data


@pytest.mark.parametrize("method", EXPLAINERS)
@pytest.mark.parametrize("name", BY_NAME)
def test_every_method_in_every_format_and_twice_the_same_bytes(client: FlaskClient, method: str, name: str) -> None:
    first, again = (
        client.post(f"/v1/explain?method={method}&target=0&seed=5&format={name}", data=SEVEN) for _ in range(2)
    )
    assert first.content_type == BY_NAME[name]
    assert computed(first.data) == rendered(client, BY_NAME[name], method=method, target="0", seed=5)
    assert first.data == again.data


def test_the_formats_are_what_they_say(client: FlaskClient) -> None:
    answers = {name: client.post(f"/v1/explain?format={name}", data=SEVEN).data for name in BY_NAME}
    values = np.array(json.loads(answers["json"])["explanation"]["values"], np.float32)
    with np.load(io.BytesIO(answers["npz"]), allow_pickle=False) as stored:
        assert np.array_equal(stored["values"], values)
        assert np.array_equal(stored["image"], digit().pixels)
    with Image.open(io.BytesIO(answers["png"])) as picture:
        assert picture.format == "PNG"
    assert answers["svg"].startswith(b"<svg")


@pytest.mark.parametrize("name", ["png", "svg"])
def test_the_frame_says_where_the_heatmap_lies(client: FlaskClient, name: str) -> None:
    found = {
        frame: client.post(f"/v1/explain?format={name}&frame={frame}", data=SEVEN).data
        for frame in ("original", "model")
    }
    assert found["original"] != found["model"]
    assert found["original"] == client.post(f"/v1/explain?format={name}", data=SEVEN).data
    for frame, data in found.items():
        assert data == rendered(client, BY_NAME[name], frame=frame)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("image/png", PNG),
        ("IMAGE/PNG", PNG),
        ("image/svg+xml", SVG),
        ("application/x-npz", NPZ),
        ("image/*", PNG),
        ("image/png;q=0.4, image/svg+xml;q=0.6", SVG),
        ("image/png;q=0.6, image/svg+xml;q=0.4", PNG),
        ("application/json;q=0.5, image/png", PNG),
        ("application/json;q=0, */*", PNG),
        ("text/html, */*;q=0.1", JSON),
        ("text/html, application/x-npz;q=0.1", NPZ),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", SVG),
    ],
)
def test_accept_chooses_the_format(client: FlaskClient, accept: str | None, media_type: str) -> None:
    response = client.post("/v1/explain", data=SEVEN, headers={} if accept is None else {"Accept": accept})
    assert response.status_code == 200, response.text
    assert response.content_type == media_type
    assert computed(response.data) == rendered(client, media_type)
    assert response.headers["Vary"] == "Accept, Accept-Language"


def test_format_counts_more_than_accept(client: FlaskClient) -> None:
    for accept in ("application/json", "text/html"):
        response = client.post("/v1/explain?format=svg", data=SEVEN, headers={"Accept": accept})
        assert response.content_type == SVG


def test_a_charset_does_not_make_json_another_type(client: FlaskClient) -> None:
    response = client.post("/v1/explain", data=SEVEN, headers={"Accept": "application/json; charset=utf-8"})
    assert response.status_code == 200, response.text
