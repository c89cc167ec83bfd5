"""Forms: files and texts named `image` are pictures, other texts are options, and nothing of a form is lost unsaid."""

import tempfile
from base64 import b64encode, encodebytes
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.answers import check_error, check_next, errors_in, post_predict
from tests.support.models.stores import SEVEN, form

EXPLAINING = ("/v1/explain", "/v1/compare?methods=lime,shapley", "/v1/adversarial")
FILE = b'form-data; name="image"; filename="7.png"'
TYPE = "multipart/form-data; boundary=XbX"
B64 = b64encode(SEVEN)


def part(disposition: bytes, content: bytes, *headers: bytes, line: bytes = b"\r\n") -> bytes:
    return line.join([b"--XbX", b"Content-Disposition: " + disposition, *headers, b"", content, b""])


PICTURE = part(FILE, SEVEN)
END = b"--XbX--\r\n"


def text(name: str, value: str) -> bytes:
    return part(f'form-data; name="{name}"'.encode(), value.encode())


def post(client: FlaskClient, body: bytes, kind: str = TYPE, path: str = "/v1/predict") -> TestResponse:
    return client.post(path, data=body, content_type=kind)


@pytest.mark.parametrize(("path", "options"), [
    ("/v1/predict", {"model": "plain"}),
    ("/v1/predict", {"version": "1", "preprocess": "none"}),
    ("/v1/explain", {"method": "lime", "n_samples": "50", "target": "3", "versus": "4", "seed": "7"}),
    ("/v1/explain", {"format": "png", "frame": "model"}),
    ("/v1/explain", {"method": "saliency", "quality": "true", "output": "probability"}),
    ("/v1/compare", {"methods": "lime,shapley", "lime.n_samples": "50"}),
    ("/v1/adversarial", {"method": "fgsm", "target": "3", "format": "npz"}),
])  # fmt: skip
def test_texts_are_options_as_in_the_query(client: FlaskClient, path: str, options: dict[str, str]) -> None:
    in_form = client.post(path, data=form(SEVEN) | options)
    in_query = client.post(path, data=form(SEVEN), query_string=options)
    assert in_form.status_code == 200, in_form.text
    assert in_form.data == in_query.data
    both = client.post(path, data=form(SEVEN) | options, query_string=options)
    assert both.data == in_form.data
    assert in_form.headers.get("ETag") == in_query.headers.get("ETag")
    assert in_form.headers["Content-Type"] == in_query.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/v1/predict", *EXPLAINING])
def test_a_text_that_is_no_option_is_refused_with_the_nearest(client: FlaskClient, path: str) -> None:
    response = client.post(path, data=form(SEVEN) | {"verison": "1"})
    check_error(response, 400, "unknown_option", ("'verison'", "did you mean 'version'?"))


@pytest.mark.parametrize("path", ["/v1/predict", *EXPLAINING])
def test_a_form_that_contradicts_the_query_is_refused(client: FlaskClient, path: str) -> None:
    path = f"{path}{'&' if '?' in path else '?'}version=2"
    response = client.post(path, data=form(SEVEN) | {"version": "1"})
    check_error(response, 400, "invalid_option", ("version", "'1' in the form", "'2' in the query", "once"))


def test_a_text_that_comes_twice_is_refused(client: FlaskClient) -> None:
    response = post(client, PICTURE + text("method", "lime") + text("method", "lime") + END, path="/v1/explain")
    check_error(response, 400, "invalid_option", ("method is given 2 times", "once"))


@pytest.mark.parametrize("place", ["form", "JSON"])
def test_a_key_does_not_belong_in_the_body(make_app: MakeApp, tmp_path: Path, place: str) -> None:
    keys = write_keys(tmp_path / "keys", all="predict")
    guarded = make_app(keys_file=tmp_path / "keys").test_client()
    sent = {"api_key": keys["all"], "image": B64.decode()}
    body: dict[str, Any] = {"json": sent}
    if place == "form":
        body = {"data": sent, "content_type": "multipart/form-data"}
    check_error(guarded.post("/v1/predict", **body), 401, "unauthorized")
    response = guarded.post("/v1/predict", **body, headers=bearer(keys["all"]))
    check_error(response, 400, "key_in_query", (place, "api_key", "Authorization: Bearer"))
    assert keys["all"] not in response.text


READ = {
    "a name in latin-1": part(b'form-data; name="image"; filename="Zw\xf6lf.png"', SEVEN),
    "a name in UTF-8": part('form-data; name="image"; filename="数字.png"'.encode(), SEVEN),
    "an encoded name": part(b"form-data; name=\"image\"; filename*=UTF-8''Zw%C3%B6lf.png", SEVEN),
    "a wrongly encoded name": part(b"form-data; name=\"image\"; filename*=UTF-99''%ff%00", SEVEN),
    "an empty name": part(b'form-data; name="image"; filename=""', SEVEN),
    "a name with a quote": part(b'form-data; name="image"; filename="a\\"b;c.png"', SEVEN),
    "a path for a name": part(b'form-data; name="image"; filename="../../etc/passwd"', SEVEN),
    "a name with zeros": part(b'form-data; name="image"; filename="a\0b"', SEVEN),
    "no name of a file": part(b'form-data; name="image"', SEVEN, b"Content-Type: text/plain"),
    "base64, as its headers say": part(FILE, encodebytes(SEVEN), b"Content-Transfer-Encoding: BASE64"),
    "binary, as its headers say": part(FILE, SEVEN, b"Content-Transfer-Encoding: binary"),
    "a text in base64": part(b'form-data; name="image"', B64),
    "a text that is a data: URL": part(b'form-data; name="image"', b"data:image/png;base64," + B64),
    "lines that end with LF": PICTURE.replace(b"--XbX\r\n", b"--XbX\n").replace(b"\r\n\r\n", b"\n\n"),
    "folded headers": part(FILE.replace(b"; ", b";\r\n "), SEVEN),
    "a preamble": b"This is a message in MIME format.\r\n" + PICTURE,
}


@pytest.mark.parametrize("kind", READ)
def test_a_picture_is_read_whatever_its_file_is_called(client: FlaskClient, kind: str) -> None:
    response = post(client, READ[kind] + END)
    assert response.status_code == 200, response.text
    assert response.get_json() == post_predict(client)


@pytest.mark.parametrize(("kind", "boundary"), [
    ('multipart/form-data; boundary="XbX"', b"XbX"),
    ("Multipart/Form-Data; charset=utf-8; BOUNDARY=XbX; x=y", b"XbX"),
    ("multipart/form-data; boundary=XbX ", b"XbX"),
    ('multipart/form-data; boundary="a b(c)+/:?=;"', b"a b(c)+/:?=;"),
    ("multipart/form-data; boundary=----=_Part/1:2?", b"----=_Part/1:2?"),
    ("multipart/form-data; boundary=\xe9", b"\xe9"),
    ("multipart/form-data; boundary=[.*", b"[.*"),
])  # fmt: skip
def test_any_boundary_is_understood(client: FlaskClient, kind: str, boundary: bytes) -> None:
    body = (PICTURE + END).replace(b"--XbX", b"--" + boundary)
    response = client.post("/v1/predict", data=body, environ_overrides={"CONTENT_TYPE": kind})
    assert response.get_json() == post_predict(client)


def test_what_follows_the_last_boundary_does_not_count(client: FlaskClient) -> None:
    assert post(client, PICTURE + END + b"\r\nepilogue").get_json() == post_predict(client)


@pytest.mark.parametrize("parameter", ["", ";boundary=", '; boundary=""', "; charset=utf-8", ";; boundary"])
def test_a_missing_boundary_is_told(client: FlaskClient, parameter: str) -> None:
    response = post(client, PICTURE + END, "multipart/form-data" + parameter)
    check_error(response, 400, "bad_request", ("no boundary", "client library set the header"))


def test_a_wrong_boundary_is_told(client: FlaskClient) -> None:
    response = post(client, PICTURE + END, "multipart/form-data; boundary=other")
    check_error(response, 400, "bad_request", ("--other", "client library set the header"))


@pytest.mark.parametrize("length", range(len(PICTURE) - len(SEVEN) - 30, len(PICTURE + END) - 4, 25))
def test_a_form_that_breaks_off_is_never_half_a_picture(client: FlaskClient, length: int) -> None:
    check_error(post(client, (PICTURE + END)[:length]), 400, "bad_request", ("breaks off", "--XbX--"))


def test_a_form_that_breaks_off_after_a_part_is_told(client: FlaskClient) -> None:
    for body in (PICTURE, PICTURE + b"--XbX", PICTURE + b"--XbX\r\n", PICTURE + PICTURE[:30]):
        check_error(post(client, body), 400, "bad_request", ("breaks off", "--XbX--"))


@pytest.mark.parametrize(
    "name", ["file", "images[]", "image[]", "images", "picture", "photo", "upload", "data", "Image"]
)
def test_a_file_of_another_name_is_told_how_to_be_called(client: FlaskClient, name: str) -> None:
    disposition = f'form-data; name="{name}"; filename="7.png"'.encode()
    check_error(post(client, part(disposition, SEVEN) + END), 400, "empty_body", (f"fields {name}", "named `image`"))
    beside = post(client, PICTURE + part(disposition, SEVEN) + END)
    check_error(beside, 400, "invalid_option", (repr(name), "named `image`"))


def test_an_option_that_is_sent_as_a_file_is_told(client: FlaskClient) -> None:
    response = post(client, PICTURE + part(b'form-data; name="version"; filename="version"', b"1") + END)
    check_error(response, 400, "invalid_option", ("'version' is a file", "texts"))


REFUSED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "the name of a file as a text": (text("image", "7.png"), ("not base64", "character 2", "with the @")),
    "a name of no encoding": (PICTURE + part(b'form-data; name="m\xf6del"', b""), ("unknown option", "'model'")),
    "a value of no known encoding": (PICTURE + part(b'form-data; name="model"', b"\xff"), ("unknown model",)),
    "a name with a zero": (PICTURE + part(b'form-data; name="mo\0del"', b"x"), ("unknown option", "'model'")),
    "a name like a path": (PICTURE + text("../../model", "x"), ("unknown option", "'model'")),
    "no name": (PICTURE + part(b"form-data", b"x"), ("no name",)),
    "no disposition": (PICTURE + b"--XbX\r\nContent-Type: text/plain\r\n\r\nx\r\n", ("Content-Disposition",)),
    "no headers": (PICTURE + b"--XbX\r\n\r\nx\r\n", ("no Content-Disposition",)),
    "no headers, and a part": (b"--XbX\r\n\r\nx\r\n" + PICTURE, ("no Content-Disposition",)),
    "quoted-printable": (part(FILE, b"=89", b"Content-Transfer-Encoding: quoted-printable"), ("quoted-printable",)),
    "not the base64 of its headers": (part(FILE, b"\x89", b"Content-Transfer-Encoding: base64"), ("not base64",)),
    "a form in the form": (
        part(b'form-data; name="image"', b"--in\r\nA: b\r\n\r\nx\r\n--in--", b"Content-Type: multipart/mixed"),
        ("not base64", "with the @"),
    ),
    "lines that begin with the boundary": (part(FILE, b"\r\n--XbXx" * 10**5), ("--XbX and goes on",)),
    "a boundary within a picture": (part(FILE, SEVEN[:99] + b"\r\n--XbX\r\n" + SEVEN[99:]), ("form",)),
    "many fields": (PICTURE + b"".join(text(f"f{n}", "x") for n in range(10_000)), ("more than 128 parts", "64")),
    "many fields of one name": (PICTURE + text("model", "fake") * 10_000, ("more than 128 parts",)),
    "a long value": (PICTURE + text("model", "x" * 5000), ("'model' has 5000 bytes", "4096")),
    "a long name": (PICTURE + text("m" * 5000, "x"), ("headers", "4096 bytes")),
    "a long header": (PICTURE + part(FILE, SEVEN, b"X: " + b"y" * 10**6), ("headers", "4096 bytes")),
    "many headers": (PICTURE + part(FILE, SEVEN, *[b"X: y"] * 10**5), ("headers", "4096 bytes")),
    "many parameters": (PICTURE + part(b"form-data" + b"; a=b" * 10**5, b""), ("headers", "4096 bytes")),
    "headers without an end": (PICTURE + b"--XbX\r\n" + b"X: y\r\n" * 10**5, ("headers", "blank line")),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_strange_form_is_refused_clearly(client: FlaskClient, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    body, words = REFUSED[kind]
    response = post(client, body + END)
    assert response.status_code in (400, 404)
    check_error(response, response.status_code, response.get_json()["code"], words)
    assert len(response.data) < 2000
    assert not errors_in(caplog)
    check_next(client)


@pytest.mark.parametrize("body", [b"", END])
def test_an_empty_form_is_told(client: FlaskClient, body: bytes) -> None:
    check_error(post(client, body), 400, "empty_body", ("named `image`",))


def test_several_fields_named_image_are_a_list(client: FlaskClient) -> None:
    results = post(client, PICTURE + text("image", B64.decode()) + PICTURE + END).get_json()["results"]
    assert results == [post_predict(client)] * 3


def test_a_large_form_needs_no_temporary_file(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    large = SEVEN + bytes(2_000_000)
    assert post(client, part(FILE, large) + END).get_json() == client.post("/v1/predict", data=large).get_json()


@pytest.mark.parametrize(("body", "words"), [
    (b"image=%89PNG", ("begins with image=", "-F image=@7.png", "--data-binary")),
    (b"model=cnn&image=@7.png", ("begins with model=", "--data-binary")),
    (SEVEN.translate(None, b"\r\n\0"), ("line breaks", "curl -d", "--data-binary")),
])  # fmt: skip
def test_error_tells_how_to_send_what_curl_d_sends_wrongly(
    client: FlaskClient, body: bytes, words: tuple[str, ...]
) -> None:
    check_error(post(client, body, "application/x-www-form-urlencoded"), 400, "bad_request", words)
