"""Kept explanations over HTTP: answered again without computing, had by their id in every format, cached as the headers
say."""

import json
import sqlite3
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from server.logs import ACCESS
from server.types import Array, ModelCard
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.openapi.test_openapi import validator
from tests.support.answers import check_error, digit, post_explain
from tests.support.models.fakes import Fake, Linear, Wavy
from tests.support.models.stores import SEVEN, encoded, form, write_version
from tests.support.processes.servers import ROOT, Running

PHOTO = (ROOT / "examples" / "photo.jpg").read_bytes()
FORMATS = {"json": "application/json", "png": "image/png", "svg": "image/svg+xml", "npz": "application/x-npz"}
LINKED = ("png", "svg", "npz")


class Counting:
    """A loader whose models count together the rows that they were asked."""

    def __init__(self) -> None:
        self.models: list[Fake] = []

    def __call__(self, path: Path, card: ModelCard) -> Fake:
        self.models.append(Linear(card, card.verbs))
        return self.models[-1]

    @property
    def rows(self) -> int:
        return sum(model.rows for model in self.models)


@pytest.fixture
def full() -> Counting:
    return Counting()


@pytest.fixture
def app(make_app: MakeApp, full: Counting) -> Flask:
    return make_app(full)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_what_was_explained_before_is_answered_without_computing(client: FlaskClient, full: Counting) -> None:
    first = client.post("/v1/explain?method=lime&seed=3", data=SEVEN)
    computed = full.rows
    assert computed > 0
    again = client.post("/v1/explain?seed=3&method=lime", data=SEVEN)
    assert full.rows == computed
    assert again.data == first.data and again.headers["ETag"] == first.headers["ETag"]
    assert "explain" in first.headers["Server-Timing"] and "explain" not in again.headers["Server-Timing"]
    client.post("/v1/explain?method=lime&seed=4", data=SEVEN)
    assert full.rows > computed


class Restless(Linear):
    """Whose last digits are others each time, as of rows that are put together with those of others."""

    def logits(self, images: Array) -> Array:
        return super().logits(images) + 1e-5 * self.rows


def test_what_is_kept_is_answered_to_the_letter_whatever_the_last_digits_of_the_prediction_are_now(
    make_app: MakeApp, full: Counting
) -> None:
    client = make_app(full, load_twin=lambda path, card: Restless(card, card.verbs)).test_client()
    numbers = [client.post("/v1/predict", data=SEVEN).get_json()["in_distribution"] for _ in range(2)]
    assert numbers[0] != numbers[1]
    first, again = (client.post("/v1/explain?method=lime", data=SEVEN) for _ in range(2))
    got = client.get(first.get_json()["links"]["self"])
    assert first.data == again.data == got.data
    assert first.headers["ETag"] == again.headers["ETag"] == got.headers["ETag"]


@pytest.mark.parametrize("query", ["", "?method=rise&n_samples=50&quality=true", "?frame=model&versus=0&method=lime"])
def test_every_link_gives_what_explain_gave(client: FlaskClient, query: str) -> None:
    first = client.post(f"/v1/explain{query}", data=PHOTO)
    links = first.get_json()["links"]
    assert list(links) == ["self", *LINKED]
    assert all(link.startswith(f"/v1/explanations/{first.get_json()['id']}") for link in links.values())
    joint = "&" if query else "?"
    for name, kind in FORMATS.items():
        posted = client.post(f"/v1/explain{query}{joint}format={name}", data=PHOTO)
        separator = "&" if "?" in links["self"] else "?"
        ways = [
            client.get(f"{links['self']}{separator}format={name}"),
            client.get(links["self"], headers={"Accept": kind}),
            *([client.get(links[name])] if name in links else []),
        ]
        for answer in ways:
            assert (answer.status_code, answer.content_type) == (200, kind)
            assert answer.data == posted.data
            assert answer.headers["ETag"] == posted.headers["ETag"]
    validator("Explanation").validate(first.get_json())


def test_of_several_pictures_each_has_its_links(client: FlaskClient) -> None:
    answer = client.post("/v1/explain?method=saliency", data=form(SEVEN, PHOTO, b"")).get_json()["results"]
    for one in answer[:2]:
        assert client.get(one["links"]["self"]).get_json() == one
    assert answer[0]["id"] != answer[1]["id"] and "links" not in answer[2]


def test_each_request_chooses_the_frame(client: FlaskClient) -> None:
    address = post_explain(client)["links"]["png"]
    original, model = (client.get(f"{address}?frame={frame}") for frame in ("original", "model"))
    assert client.get(address).data == original.data != model.data
    assert original.headers["ETag"] != model.headers["ETag"]
    assert model.data == client.post("/v1/explain?frame=model&format=png", data=SEVEN).data


def test_a_tag_that_is_still_right_spares_the_body(client: FlaskClient) -> None:
    links = post_explain(client)["links"]
    tags = {kind: client.get(links[kind]).headers["ETag"] for kind in LINKED}
    assert len({*tags.values(), client.get(links["self"]).headers["ETag"]}) == 4
    for sent in (tags["png"], f"W/{tags['png']}", f'"other", {tags["png"]}', "*"):
        answer = client.get(links["png"], headers={"If-None-Match": sent})
        assert (answer.status_code, answer.data) == (304, b""), sent
        assert "Content-Type" not in answer.headers and "render" not in answer.headers["Server-Timing"]
        assert answer.headers["ETag"] == tags["png"] and answer.headers["Cache-Control"] == "private, max-age=3600"
        assert answer.headers["Vary"] == "Accept, Accept-Language"
    for sent in (tags["svg"], '"*"', ""):
        assert client.get(links["png"], headers={"If-None-Match": sent}).status_code == 200, sent
    assert client.get(f"{links['png']}?frame=model", headers={"If-None-Match": tags["png"]}).status_code == 200
    for sent in ("*", '"another"', tags["png"]):
        assert client.get(links["png"], headers={"If-Match": sent}).status_code == 200, sent


def test_answers_have_cache_headers(client: FlaskClient) -> None:
    posted = client.post("/v1/explain", data=SEVEN)
    assert posted.headers["Cache-Control"] == "no-store"
    got = client.get(posted.get_json()["links"]["self"])
    assert got.headers["Cache-Control"] == "private, max-age=3600"
    assert posted.headers["Vary"] == got.headers["Vary"] == "Accept, Accept-Language"


def test_head_is_get_without_the_body(client: FlaskClient) -> None:
    address = post_explain(client)["links"]["png"]
    got, head = client.get(address), client.head(address)
    assert head.data == b"" and head.content_length == len(got.data)
    for name in ("ETag", "Cache-Control", "Content-Type", "Vary"):
        assert head.headers[name] == got.headers[name]
    assert client.head(address, headers={"If-None-Match": got.headers["ETag"]}).status_code == 304


def enlarged(times: int) -> bytes:
    """The digit as the model takes it, as a picture; of any size it gives the same pixels with preprocess=none."""
    levels = np.rint(digit().pixels * 255).astype(np.uint8)
    return encoded(Image.fromarray(levels.repeat(times, axis=0).repeat(times, axis=1)))


def test_each_picture_has_its_own_place_though_they_give_the_same_pixels(client: FlaskClient, full: Counting) -> None:
    address = "/v1/explain?method=lime&preprocess=none"
    small = client.post(address, data=enlarged(1)).get_json()
    computed = full.rows
    large, png = (client.post(f"{address}&format={name}", data=enlarged(2)) for name in ("json", "png"))
    assert full.rows == computed
    reported = large.get_json()
    assert (small["preprocessing"]["transform"], reported["preprocessing"]["transform"]) == (
        [1, 0, 0, 0, 1, 0], [2, 0, 0, 0, 2, 0],
    )  # fmt: skip
    assert {**small, "preprocessing": 0} == {**reported, "preprocessing": 0}
    # by the id one has the picture that was sent last, so that its sender sees no other
    assert client.get(reported["links"]["self"]).data == large.data
    assert client.get(reported["links"]["png"]).data == png.data
    assert client.post(address, data=enlarged(1)).get_json() == small


def test_quality_is_measured_once_and_answered_on_request(client: FlaskClient, full: Counting) -> None:
    plain, measured = "/v1/explain?method=saliency", "/v1/explain?method=saliency&quality=true"
    first = client.post(plain, data=SEVEN).get_json()
    computed = full.rows
    with_quality = client.post(measured, data=SEVEN).get_json()
    assert full.rows > computed and with_quality["explanation"]["quality"] is not None
    computed = full.rows
    assert client.post(measured, data=SEVEN).get_json() == with_quality
    assert client.post(plain, data=SEVEN).get_json() == first
    assert full.rows == computed
    assert client.get(first["links"]["self"]).get_json() == with_quality


BUDGET = 1.0  # seconds


class Glass(Wavy):
    """Time runs out at its second gradient."""

    calls = 0

    def gradient(self, images: Array, weights: Array) -> Array:
        self.calls += 1
        end = time.monotonic() + BUDGET * (self.calls > 1)
        while time.monotonic() < end:
            pass
        return super().gradient(images, weights)


def test_a_partial_answer_is_not_kept(make_app: MakeApp) -> None:
    client = make_app(lambda path, card: Glass(card, card.verbs)).test_client()
    address = f"/v1/explain?method=integrated_gradients&n_steps=2&tolerance=1e-6&budget_ms={BUDGET * 1000:.0f}"
    partial = client.post(address, data=SEVEN)
    reported = partial.get_json()
    assert reported["explanation"]["certificate"]["state"] == "partial"
    assert reported["links"] is None and "ETag" not in partial.headers
    validator("Explanation").validate(reported)
    check_error(client.get(f"/v1/explanations/{reported['id']}"), 404, "unknown_explanation", ("complete",))


def test_what_cannot_be_looked_up_may_be_there(make_app: MakeApp, full: Counting, tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = make_app(full, records=path)
    reported = before.test_client().post("/v1/explain?method=lime", data=SEVEN).get_json()
    before.extensions["inkling"].cache.close()
    client = make_app(full, records=path).test_client()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        found = client.get(f"/v1/explanations/{reported['id']}")
        check_error(found, 503, "not_ready", ("just now",))
        assert found.headers["Retry-After"] == "2"


def test_the_switch_that_keeps_nothing(make_app: MakeApp, full: Counting, tmp_path: Path) -> None:
    client = make_app(full, keep="off", run_dir=tmp_path, records=tmp_path / "file").test_client()
    first = client.post("/v1/explain?method=lime", data=SEVEN)
    reported, computed = first.get_json(), full.rows
    assert reported["links"] is None and first.headers["Cache-Control"] == "no-store"
    validator("Explanation").validate(reported)
    assert client.post("/v1/explain?method=lime", data=SEVEN).data == first.data
    assert full.rows == 2 * computed
    check_error(
        client.get(f"/v1/explanations/{reported['id']}.png"),
        404,
        "unknown_explanation",
        ("keeps no", "INKLING_KEEP=off"),
    )
    assert list(tmp_path.glob("*.sqlite*")) == []


def test_workers_share_what_is_kept_and_a_version_that_is_gone_is_still_explained(
    make_app: MakeApp, tmp_path: Path
) -> None:
    write_version(tmp_path / "models", "fake", "7")
    before = make_app(model_store=tmp_path / "models", records=tmp_path / "file").test_client()
    reported = post_explain(before)
    after = make_app(records=tmp_path / "file").test_client()
    assert "7" not in after.get("/v1/models/fake").get_json()["versions"]
    for address in reported["links"].values():
        assert after.get(address).data == before.get(address).data


def test_the_file_and_its_age_are_settings(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "here"
    client = make_app(records=path, keep_seconds=50).test_client()
    address = post_explain(client)["links"]["self"]
    assert path.is_file()
    assert client.get(address).headers["Cache-Control"] == "private, max-age=50"


def test_without_a_folder_of_its_own_an_application_has_a_temporary_one(make_app: MakeApp) -> None:
    one, other = make_app().test_client(), make_app().test_client()
    address = post_explain(one)["links"]["self"]
    assert one.get(address).status_code == 200 and other.get(address).status_code == 404


def test_what_is_kept_is_answered_while_models_load(make_app: MakeApp, tmp_path: Path) -> None:
    reported = post_explain(make_app(run_dir=tmp_path).test_client())
    client = make_app(explain="off", run_dir=tmp_path).test_client()
    assert post_explain(client) == reported
    check_error(client.post("/v1/explain?seed=9&method=lime", data=SEVEN), 503, "not_ready")


def test_where_keys_are_on_the_links_are_signed(make_app: MakeApp, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", explain="explain")
    client = make_app(keys_file=tmp_path / "keys").test_client()
    first = client.post("/v1/explain?frame=model", data=SEVEN, headers=bearer(keys["explain"]))
    links = first.get_json()["links"]
    png = client.get(links["png"])
    drawn = client.post("/v1/explain?frame=model&format=png", data=SEVEN, headers=bearer(keys["explain"]))
    assert png.data == drawn.data and png.headers["ETag"] == drawn.headers["ETag"]
    assert client.get(links["png"], headers={"If-None-Match": png.headers["ETag"]}).status_code == 304
    assert client.get(f"{links['self']}&format=svg").content_type == "image/svg+xml"
    check_error(client.get(links["png"].partition("?")[0]), 401, "unauthorized")
    under = client.get(links["self"], environ_overrides={"SCRIPT_NAME": "/under"}).get_json()["links"]["png"]
    assert under.startswith("/under/v1/explanations/")
    assert client.get(under.removeprefix("/under"), environ_overrides={"SCRIPT_NAME": "/under"}).status_code == 200
    # links that expire may not be taken for still good
    reported = client.get(links["self"])
    assert reported.headers["Cache-Control"] == "no-store"
    assert "ETag" not in reported.headers and "ETag" not in first.headers


def test_look_ups_are_counted(client: FlaskClient) -> None:
    address = post_explain(client)["links"]["self"]
    post_explain(client)
    client.get(address)
    client.get("/v1/explanations/" + "0" * 32)
    text = client.get("/metrics").text
    assert 'inkling_cache_total{result="hit"} 2.0' in text and 'inkling_cache_total{result="miss"} 2.0' in text


def test_rows_and_gaps_are_counted_where_they_are_computed(
    make_app: MakeApp, full: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(full, access_log="on").test_client()
    with caplog.at_level("INFO", ACCESS):
        reported, *_ = post_explain(client), post_explain(client)
    first, again = (record.__dict__["facts"] for record in caplog.records if record.name == ACCESS)
    assert first["rows"] == reported["explanation"]["certificate"]["rows"] and "rows" not in again
    assert first["explanation"] == again["explanation"] == "shapley"
    assert 'inkling_explanation_gap_count{method="shapley"} 1.0' in client.get("/metrics").text


def test_over_a_real_connection(explaining: Running) -> None:
    with closing(HTTPConnection(urlsplit(explaining.url).netloc, timeout=60)) as connection:

        def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[HTTPResponse, bytes]:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response, response.read()

        reported = json.loads(ask("POST", "/v1/explain", PHOTO)[1])
        png, body = ask("GET", reported["links"]["png"])
        assert body == ask("POST", "/v1/explain?format=png", PHOTO)[1]
        again, nothing = ask("GET", reported["links"]["png"], If_None_Match=png.headers["ETag"])
        assert (again.status, nothing) == (304, b"")
        assert [len(one.headers.get_all("Date")) for one in (png, again)] == [1, 1]
        assert again.headers["ETag"] == png.headers["ETag"] and "Content-Length" not in again.headers
        head, nothing = ask("HEAD", reported["links"]["png"])
        assert (head.status, head.headers["Content-Length"], nothing) == (200, str(len(body)), b"")
        assert ask("GET", reported["links"]["self"])[1] == ask("POST", "/v1/explain", PHOTO)[1]
