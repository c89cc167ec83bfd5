"""Headers: what every answer has, and what pictures and files say of themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.routes.inkling.summaries import LONGEST
from server.routes.middleware.cors import EXPOSED
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.routes.inkling.test_attack import IN_VAIN
from tests.support.answers import post_explain
from tests.support.models.stores import CLASSES, SEVEN, write_version

PAGE = "https://a.example"
KINDS = {"png": "image/png", "svg": "image/svg+xml", "npz": "application/x-npz"}
PREDICTION, CHANGED, ID = "X-Inkling-Prediction", "X-Inkling-Changed-Prediction", "X-Inkling-Id"


def summary(response: TestResponse, name: str = PREDICTION) -> Any:
    assert response.status_code == 200, response.text
    return json.loads(response.headers[name])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"), ("GET", "/docs"), ("GET", "/docs/docs.js"), ("GET", "/openapi.json"), ("GET", "/metrics"),
        ("POST", "/v1/predict"), ("GET", "/v1/predict"), ("GET", "/nowhere"), ("OPTIONS", "/v1/predict"),
        ("GET", "/v1//models"), ("HEAD", "/livez"), ("GET", ""),
    ],
)  # fmt: skip
def test_no_browser_guesses_a_type_and_no_answer_leads_elsewhere(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(path, method=method, environ_overrides={"PATH_INFO": path})
    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert response.headers["X-Request-ID"] and "Location" not in response.headers
    assert (response.mimetype == "text/html") == (path == "/docs")
    assert response.status_code < 300 or response.status_code >= 400


def test_pages_of_other_sites_may_embed_kept_explanations_and_where_origins_are_allowed_all_answers(
    make_app: MakeApp,
) -> None:
    closed, opened = make_app().test_client(), make_app(cors_origins=PAGE).test_client()
    for client in (closed, opened):
        answer = client.get(post_explain(client)["links"]["png"])
        assert answer.headers.getlist("Cross-Origin-Resource-Policy") == ["cross-origin"]
    for path in ("/livez", "/nowhere"):
        assert "Cross-Origin-Resource-Policy" not in closed.get(path).headers
        assert opened.get(path).headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize("query", ["", "?method=lime&frame=model"])
@pytest.mark.parametrize("suffix", KINDS)
def test_an_explanation_that_is_no_json_says_what_it_is_and_where(client: FlaskClient, query: str, suffix: str) -> None:
    reported = post_explain(client, query)
    asked = client.post(f"/v1/explain{query}", data=SEVEN, headers={"Accept": KINDS[suffix]})
    named = client.post(f"/v1/explain{query}{'&' if query else '?'}format={suffix}", data=SEVEN)
    for response in (asked, named):
        assert summary(response) == reported["prediction"]
        assert response.headers[ID] == reported["id"]
        assert response.headers["Content-Location"] == reported["links"][suffix]
    again = client.get(reported["links"][suffix])
    assert again.data == named.data and summary(again) == reported["prediction"] and again.headers[ID] == reported["id"]


def test_json_does_not_say_it_twice(client: FlaskClient) -> None:
    reported = post_explain(client)
    for response in (client.post("/v1/explain", data=SEVEN), client.get(reported["links"]["self"])):
        assert not {PREDICTION, ID, "Content-Location"} & set(response.headers.keys())


def test_what_is_not_kept_has_no_address(make_app: MakeApp) -> None:
    response = make_app(keep="off").test_client().post("/v1/explain?format=png", data=SEVEN)
    assert summary(response)["label"] and response.headers[ID] and "Content-Location" not in response.headers


def test_where_keys_are_on_the_address_is_signed(make_app: MakeApp, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", explain="explain")
    client = make_app(keys_file=tmp_path / "keys").test_client()
    drawn = client.post("/v1/explain?format=png&frame=model", data=SEVEN, headers=bearer(keys["explain"]))
    address = drawn.headers["Content-Location"]
    assert "signature=" in address and client.get(address).data == drawn.data
    # else anyone who has a link could renew it for ever
    assert "Content-Location" not in client.get(address).headers


@pytest.mark.parametrize("query", ["methods=saliency,lime", "models=fake,plain&method=saliency", "versions=1,2"])
def test_a_comparison_says_the_predictions_in_their_order(client: FlaskClient, query: str) -> None:
    reported = client.post(f"/v1/compare?{query}", data=SEVEN).get_json()
    drawn = client.post(f"/v1/compare?{query}&format=png", data=SEVEN)
    assert summary(drawn) == [one["prediction"] for one in reported["explanations"]]
    assert "Content-Location" not in drawn.headers


@pytest.mark.parametrize("suffix", ["png", "npz"])
def test_an_attack_says_what_is_answered_before_and_after(client: FlaskClient, suffix: str) -> None:
    for query, found in (("method=fgsm", True), (IN_VAIN, False)):
        reported = client.post(f"/v1/adversarial?{query}", data=SEVEN).get_json()
        assert reported["adversarial"]["found"] == found
        after = {name: reported["adversarial"][name] for name in reported["prediction"]} if found else None
        drawn = client.post(f"/v1/adversarial?{query}&format={suffix}", data=SEVEN)
        assert (summary(drawn), summary(drawn, CHANGED)) == (reported["prediction"], after)


@pytest.mark.parametrize("label", ["é\r\nSet-Cookie: a=b", "７\x00\x7f\x85", '"\\', "\U0001f600", "x" * 10_000])
def test_a_label_may_be_any_text(make_app: MakeApp, tmp_path: Path, label: str) -> None:
    write_version(tmp_path, "fake", "1", classes=[label] * CLASSES)
    client = make_app(model_store=tmp_path).test_client()
    response = client.post("/v1/explain?format=png", data=SEVEN)
    assert summary(response)["label"] == label[:LONGEST]
    header = response.headers[PREDICTION]
    assert header.isascii() and header.isprintable() and len(header) < 1000


def test_pages_may_read_what_the_answers_say(make_app: MakeApp) -> None:
    client = make_app(cors_origins=PAGE).test_client()
    answers = [
        client.post(f"/v1/{address}", data=SEVEN, headers={"Origin": PAGE})
        for address in ("explain?format=svg", "compare?methods=lime,saliency&format=png", "adversarial?format=png")
    ]
    said = {name for answer in answers for name, _ in answer.headers if name.startswith("X-Inkling")}
    assert said == {PREDICTION, CHANGED, ID}
    for answer in answers:
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed == set(EXPOSED) >= {*said, "Content-Location"}
