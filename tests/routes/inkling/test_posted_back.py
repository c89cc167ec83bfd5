"""The changed picture as a file: posted back, it gets the very prediction that the answer told, which eight bits of
grey would lose."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.attacks import ATTACKS
from tests.conftest import MakeApp
from tests.support.models.nets import digits
from tests.support.models.stores import SEVEN, encoded
from tests.support.processes.servers import Running, ask
from tests.test_app import loaded

TOLD = ("class", "label", "probability")


def attacks(server: Running, method: str, many: int) -> Iterator[tuple[Any, bytes, bytes]]:
    """What is answered to many digits, with the changed pictures as files of 16 and of 8 bits."""
    for digit in digits()[:many]:
        body = json.dumps({"pixels": digit.tolist()}).encode()
        status, _, answer = ask(f"{server.url}/v1/adversarial?method={method}", body)
        found = answer["adversarial"]
        assert status == 200 and found["found"]
        file = base64.b64decode(found["image"].removeprefix("data:image/png;base64,"))
        levels = np.asarray(Image.open(io.BytesIO(file)))
        assert (levels.shape, levels.dtype) == ((28, 28), np.uint16)
        assert np.array_equal(levels.astype(np.float32) / np.float32(65535), np.array(found["pixels"], np.float32))
        yield answer, file, encoded(Image.fromarray(np.rint(levels / 257).astype(np.uint8)))


def same(server: Running, query: str, file: bytes, told: dict[str, Any]) -> bool:
    """Whether the file is answered with the prediction that was told."""
    return bool(ask(f"{server.url}/v1/predict{query}", file)[2]["prediction"] == {name: told[name] for name in TOLD})


@pytest.mark.parametrize(("method", "many"), [("deepfool", 40), ("pgd", 25)])
def test_the_file_gets_the_prediction_that_was_told_and_one_of_eight_bits_does_not(
    explaining: Running, method: str, many: int
) -> None:
    flips = unchanged = 0
    for answer, file, rounded in attacks(explaining, method, many):
        told = answer["adversarial"]
        assert same(explaining, "?preprocess=none", file, told)
        again = ask(f"{explaining.url}/v1/predict?pixels=true", file)[2]
        if not again["preprocessing"]["steps"]:  # else its noise does not look like a digit of MNIST's
            unchanged += 1
            assert again["preprocessing"]["pixels"] == told["pixels"]
            assert same(explaining, "", file, told)
        label = ask(f"{explaining.url}/v1/predict?preprocess=none", rounded)[2]["prediction"]["label"]
        flips += label == told["label"]
    assert flips < 0.9 * many
    assert unchanged == many if method == "deepfool" else unchanged > 0


@pytest.mark.parametrize("method", ATTACKS)
def test_the_url_itself_is_read_where_pictures_are(client: FlaskClient, method: str) -> None:
    answer = client.post(f"/v1/adversarial?method={method}", data=SEVEN).get_json()
    told = answer["adversarial"]
    sent = {"image": told["image"]}
    as_json, as_form = {"json": sent}, {"data": sent, "content_type": "multipart/form-data"}
    for body in (as_json, as_form):
        again = client.post("/v1/predict?preprocess=none", **body).get_json()
        assert again["prediction"] == {name: told[name] for name in TOLD}
        assert again["probabilities"] == told["probabilities"]


def test_each_of_several_has_its_own_and_none_where_none_was_found(make_app: MakeApp) -> None:
    client = make_app().test_client()
    loaded()
    files = [(io.BytesIO(SEVEN), "1.png"), (io.BytesIO(SEVEN), "2.png")]
    results = client.post("/v1/adversarial", data={"image": files}).get_json()["results"]
    assert results[0]["adversarial"]["image"] == results[1]["adversarial"]["image"] is not None
    near = client.post("/v1/adversarial?method=deepfool&limit=0.1", data=SEVEN).get_json()["adversarial"]
    assert (near["found"], near["image"]) == (False, None)
