"""Under which names the server answers, and that no name of a client's choice comes into what it answers."""

import json

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN

LISTED = "ink.example,*.a.example,.b.example,[::1],10.0.0.1"
PROBES = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")


@pytest.mark.parametrize("host", [
    "ink.example", "INK.example:8000", "ink.example.", "a.example", "x.a.example", "y.x.A.example:1", "x.b.example",
    "b.example", "[::1]", "[::1]:8000", "10.0.0.1:80",
])  # fmt: skip
def test_listed_names_are_answered(make_app: MakeApp, host: str) -> None:
    client = make_app(hosts=LISTED).test_client()
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example", "ink.example.evil.example", "xink.example", "x.ink.example", "xa.example", "localhost", "10.0.0.11",
    "[::2]", "a.example.evil", "example",
])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/predict", "/metrics", "/docs", "/nowhere"])
def test_others_are_not(make_app: MakeApp, host: str, path: str) -> None:
    client = make_app(hosts=LISTED).test_client()
    response = client.open(path, method="POST" if path == "/v1/predict" else "GET", headers={"Host": host})
    check_error(response, 421, "misdirected_request", (f"name {host.lower()};", "INKLING_HOSTS"))


@pytest.mark.parametrize(
    "host", ["a b", "a@b", "", "a/b", "a,b", "[::1", "::1", "a:b", "a:123456", "a..b", ".", "\xe4"]
)
@pytest.mark.parametrize("hosts", [None, LISTED])
def test_what_is_no_name_is_a_mistake(make_app: MakeApp, hosts: str | None, host: str) -> None:
    client = make_app(hosts=hosts).test_client()
    for path in ("/v1/models", "/nowhere"):
        response = client.get(path, environ_overrides={"HTTP_HOST": host})
        check_error(response, 400, "bad_request", ("header Host is", "localhost:8000"))


def test_none_is_a_mistake_too(make_app: MakeApp) -> None:
    environ = EnvironBuilder(path="/v1/models").get_environ()
    del environ["HTTP_HOST"]
    app_iter, status, _ = run_wsgi_app(make_app(), environ)
    assert status == "400 BAD REQUEST" and "Host is missing" in json.loads(b"".join(app_iter))["error"]


@pytest.mark.parametrize("host", ["10.244.1.7:8000", "evil.example", "", "a b"])
@pytest.mark.parametrize("path", PROBES)
def test_probes_are_answered_under_any_name(make_app: MakeApp, path: str, host: str) -> None:
    client = make_app(hosts="ink.example").test_client()
    assert client.get(path, environ_overrides={"HTTP_HOST": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "my_service:8000", "[::1]:8000", "localhost"])
def test_unset_all_names_are_answered_and_none_comes_back(make_app: MakeApp, host: str) -> None:
    client = make_app().test_client()
    sent = {"Host": host, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = client.post("/v1/explain?method=saliency", data=SEVEN, headers=sent)
    assert answer.status_code == 200
    links = answer.get_json()["links"]
    assert all(link.startswith("/v1/explanations/") for link in links.values())
    for path in ("/v1//models", "/v2//", "/docs/", "/v1/models/"):
        found = client.get(path, headers=sent)
        assert "Location" not in found.headers and "evil" not in found.text
