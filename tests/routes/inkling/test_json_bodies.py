"""JSON bodies: pictures in base64 as clients write it, and options beside them."""

from base64 import b64encode, encodebytes, urlsafe_b64encode
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.routes.bodies.base64_text import STEP, decoded
from tests.support.answers import check_error, check_next
from tests.support.models.stores import SEVEN

B64 = b64encode(SEVEN).decode()
URL_SAFE = urlsafe_b64encode(SEVEN).decode()
WRITTEN = {
    "in one line": B64,
    "in lines": encodebytes(SEVEN).decode(),
    "in lines, as MIME has them": encodebytes(SEVEN).decode().replace("\n", "\r\n"),
    "between white space": f" \t{B64[:50]} {B64[50:]}\n",
    "without padding": B64.rstrip("="),
    "with too much padding": B64.rstrip("=") + "====",
    "padded in another line": B64.rstrip("=") + "\n=\n=\n",
    "URL-safe": URL_SAFE,
    "URL-safe, without padding": URL_SAFE.rstrip("="),
    "a data: URL": f"data:image/png;base64,{B64}",
    "a data: URL in capitals": f"DATA:IMAGE/PNG;BASE64,{B64}",
    "a data: URL with parameters": f"data:image/png;charset=utf-8;name=7.png;base64,{B64}",
    "a data: URL without a type": f"data:;base64,{B64}",
    "a data: URL of another type": f"data:text/plain;base64,{B64}",
    "a data: URL, percent-encoded": f"data:image/png;base64,{quote(B64, safe='')}",
    "a data: URL in lines": f"data:image/png;base64,\n{encodebytes(SEVEN).decode()}",
}


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_base64_is_read_however_it_is_written(client: FlaskClient, path: str, way: str) -> None:
    expected = client.post(path, data=SEVEN).get_json()
    for image in (WRITTEN[way], {"b64": WRITTEN[way]}):
        response = client.post(path, json={"image": image})
        assert response.status_code == 200, response.text
        assert response.get_json() == expected


@pytest.mark.parametrize("way", WRITTEN)
def test_base64_is_read_so_in_tensorflow_serving_too(client: FlaskClient, way: str) -> None:
    sent = [{"signature_name": "serving_bytes", "instances": [{"b64": text}]} for text in (B64, WRITTEN[way])]
    first, second = (client.post("/v1/models/fake:predict", json=one) for one in sent)
    assert first.status_code == second.status_code == 200
    assert first.get_json() == second.get_json()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1000, 1001, 3 * STEP // 4, 3 * STEP + 1, 200_000])
def test_every_byte_comes_back(size: int) -> None:
    raw = np.random.RandomState(size).bytes(size)
    for text in (b64encode(raw).decode(), urlsafe_b64encode(raw).decode().rstrip("="), encodebytes(raw).decode()):
        assert decoded(text) == raw


BROKEN = {
    "the name of a file": ("7.png", ("character 2", "'.png'")),
    "an address": ("https://example.org/7.png", ("character 6", "'://example")),
    "a letter of none": (B64[:40] + "!" + B64[40:], ("character 41", "'!")),
    "a letter beyond ASCII": (B64[:40] + "\u00e9" + B64[40:], ("character 41", "'\u00e9")),
    "half a character": (B64[:40] + "\ud800", ("character 41",)),
    "two in one": ("AAA=" + B64, ("character 4", "'=")),
    "two in one, the first of the size of a step": ("A" * (STEP - 1) + "=" + B64, (f"character {STEP}", "'=")),
    "a letter of none in the second step": ("A" * STEP + "!", (f"character {STEP + 1}", "'!'")),
    "one letter too many in the second step": ("A" * STEP + "\n" + "A", (f"its {STEP + 1} letters", "cut off")),
    "one letter too many": (B64.rstrip("=") + "A" * (5 - len(B64.rstrip("=")) % 4), ("leave one over", "cut off")),
    "a data: URL that is not base64": ("data:image/svg+xml,%3Csvg%3E", ("'data:image/svg+xml'", ";base64")),
    "a data: URL without data": ("data:image/png;base64", ("without a comma",)),
    "the data: URL of an empty canvas": ("data:,", ("'data:,'", "empty canvas")),
    "a data: URL that breaks": ("data:image/png;base64,AAAA!", ("character 5", "'!'")),
}  # fmt: skip


@pytest.mark.parametrize("way", BROKEN)
def test_error_says_where_base64_breaks(client: FlaskClient, way: str) -> None:
    text, words = BROKEN[way]
    for name, image in (("image", text), ("image.b64", {"b64": text})):
        check_error(
            client.post("/v1/predict", json={"image": image}), 400, "bad_request", (f"{name} is not base64", *words)
        )
    tensor = {"signature_name": "serving_bytes", "instances": [{"b64": text}]}
    check_error(client.post("/v1/models/fake:predict", json=tensor), 400, "invalid_tensor", ("not base64", *words))


@pytest.mark.parametrize("text", ["", "\n", "=", "data:image/png;base64,="])
def test_base64_of_nothing_is_an_empty_picture(client: FlaskClient, text: str) -> None:
    check_error(client.post("/v1/predict", json={"image": text}), 400, "empty_body", ("image is empty",))


@pytest.mark.parametrize("image", [None, 1, [[0]], {"b64": 1}, {"b64": B64, "name": "7"}, {"url": "x"}, {}])
def test_error_shows_what_an_image_is_instead(client: FlaskClient, image: Any) -> None:
    check_error(
        client.post("/v1/predict", json={"image": image}), 400, "bad_request", ("image is", '"b64"', '"pixels"')
    )


@pytest.mark.parametrize(("path", "options"), [
    ("/v1/predict", {"model": "plain", "version": 1}),
    ("/v1/explain", {"method": "lime", "n_samples": 50, "kernel_size": 2.5, "target": 3, "quality": True, "seed": 7}),
    ("/v1/explain", {"format": "svg", "frame": "model"}),
    ("/v1/compare", {"methods": "lime,shapley", "lime.n_samples": 50}),
    ("/v1/adversarial", {"method": "fgsm", "format": "png"}),
])  # fmt: skip
def test_options_beside_the_picture_are_those_of_the_query(
    client: FlaskClient, path: str, options: dict[str, Any]
) -> None:
    query = {name: str(value).lower() if value is True else str(value) for name, value in options.items()}
    in_query = client.post(path, data=SEVEN, query_string=query)
    assert in_query.status_code == 200, in_query.text
    in_json = client.post(path, json={"image": B64, **options})
    assert in_json.data == in_query.data
    assert client.post(path, json={"image": B64, **options}, query_string=query).data == in_query.data


def test_options_may_stand_beside_pixels(client: FlaskClient) -> None:
    pixels = np.eye(28).tolist()
    answer = client.post("/v1/predict", json={"version": "1", "pixels": pixels}).get_json()
    assert answer == client.post("/v1/predict?version=1", json={"pixels": pixels}).get_json()


@pytest.mark.parametrize(("options", "code", "words"), [
    ({"verison": 1}, "unknown_option", ("'verison'", "did you mean 'version'?")),
    ({"version": None}, "invalid_option", ("'version' is None", "text, a number or a boolean")),
    ({"version": [1]}, "invalid_option", ("'version' is [1]", "text, a number or a boolean")),
    ({"version": 2}, "invalid_option", ("'1' in the query", "'2' in the JSON", "once")),
    ({"version": "9" * 5000}, "invalid_option", ("5000 letters", "4096")),
    ({"x" * 10**6: 1}, "unknown_option", ("unknown option",)),
    ({f"x{number}": 1 for number in range(65)}, "bad_request", ("65 fields", "64 options")),
])  # fmt: skip
def test_error_tells_a_wrong_option_in_json(
    client: FlaskClient, options: dict[str, Any], code: str, words: tuple[str, ...]
) -> None:
    response = client.post("/v1/predict?version=1", json={"image": B64, **options})
    check_error(response, 400, code, words)
    assert len(response.data) < 1000
    check_next(client)
