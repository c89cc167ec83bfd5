"""A prediction does nothing twice: what is costly in the packages below is counted while one request is answered by the
shipped models."""

import hashlib
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any

import ai_edge_litert.interpreter
import numpy as np
import PIL.Image
import pytest
from flask.testing import FlaskClient
from PIL import ImageOps

import server.models.wrappers.memoized
from tests.conftest import MakeApp
from tests.support.models.nets import card
from tests.support.models.stores import SEVEN, SHIPPED, draw_seven, encoded

PLAIN = encoded(ImageOps.invert(draw_seven(28)))
DARK = encoded(draw_seven(28))  # on light paper
IMAGE: Any = np.random.default_rng(0).random((1, 28, 28), np.float32)
HEAD = json.dumps(
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 28, 28], "parameters": {"binary_data_size": 3136}}]}
).encode()
TEXT = {"content_type": "application/json"}
PNG = {"content_type": "image/png"}
LENGTH = {"headers": {"Inference-Header-Content-Length": str(len(HEAD))}}
ASKED: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "a PNG": ("/v1/predict", {"data": SEVEN, **PNG}, {"decoded": 1}),
    "a PNG that is the model's image": ("/v1/predict", {"data": PLAIN, **PNG}, {"decoded": 1}),
    "a PNG of the model's size": ("/v1/predict", {"data": DARK, **PNG}, {"decoded": 1}),
    "a JPEG": ("/v1/predict", {"data": encoded(draw_seven(80), "JPEG"), "content_type": "image/jpeg"}, {"decoded": 1}),
    "a PNG on the long way": (f"/v1/predict?version={card('mlp').version}", {"data": SEVEN, **PNG}, {"decoded": 1}),
    "a PNG in JSON": (
        "/v1/predict",
        {"data": json.dumps({"image": {"b64": b64encode(SEVEN).decode()}}), **TEXT},
        {"decoded": 1, "parsed": 1},
    ),
    "JSON tensors": (
        "/v1/models/mlp:predict",
        {"data": json.dumps({"instances": IMAGE.tolist()}), **TEXT},
        {"parsed": 1},
    ),
    "binary tensors": ("/v2/models/mlp/infer", {"data": HEAD + IMAGE.tobytes(), **LENGTH}, {"parsed": 1}),
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often pictures were decoded, JSON parsed, interpreters built, and anything hashed."""
    found: Counter[str] = Counter()

    def count(owner: Any, name: str, what: str, holds: Callable[..., bool] = lambda *args: True) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            found[what] += holds(*args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(PIL.Image, "_getdecoder", "decoded", lambda mode, decoder, *_: decoder != "raw")  # raw: it copies an array
    count(json.JSONDecoder, "decode", "parsed")
    count(ai_edge_litert.interpreter.Interpreter, "__init__", "built")
    count(hashlib, "sha256", "hashed")
    count(server.models.wrappers.memoized, "blake2b", "hashed")  # imported by its name there
    return found


@pytest.fixture
def shipped(counted: Counter[str], make_app: MakeApp) -> FlaskClient:
    """The shipped models, whose twins are asked; their start is counted."""
    return make_app(load_twin=None, model_store=SHIPPED, model="mlp").test_client()


@pytest.mark.parametrize(("path", "request_", "expected"), ASKED.values(), ids=ASKED)
def test_a_prediction_does_nothing_twice(
    shipped: FlaskClient, counted: Counter[str], path: str, request_: dict[str, Any], expected: dict[str, int]
) -> None:
    for _ in range(2):  # the first time, too
        counted.clear()
        assert shipped.post(path, **request_).status_code == 200
        assert +counted == Counter(expected)


@pytest.mark.parametrize("axis", ["models=mlp,cnn,lstm&method=saliency", "methods=saliency,shapley"])
def test_a_picture_that_is_compared_is_decoded_once(shipped: FlaskClient, counted: Counter[str], axis: str) -> None:
    counted.clear()
    assert shipped.post(f"/v1/compare?{axis}", data=SEVEN, **PNG).status_code == 200
    assert counted["decoded"] == 1


def test_what_is_counted_is_seen_where_it_happens(shipped: FlaskClient, counted: Counter[str]) -> None:
    assert counted["built"] >= 3 and counted["hashed"] >= 3 and counted["parsed"] >= 3  # each model's at the start
    counted.clear()
    response = shipped.post("/v1/explain?method=saliency", data=SEVEN, **PNG)
    assert response.status_code == 200
    assert counted["hashed"] >= 1  # its id
