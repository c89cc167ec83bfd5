"""Who may load and unload models: by setting, by key, and from which pages."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.routes.middleware.scopes import NEEDS, OWN_PAGES
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN

LOAD, UNLOAD, INDEX = ("/v2/repository/models/plain/load", "/v2/repository/models/plain/unload", "/v2/repository/index")
HERE, PAGE = "http://localhost", "https://a.example"


@pytest.fixture
def opened(make_app: MakeApp) -> FlaskClient:
    return make_app(repository="open", cors_origins=f"{PAGE},http://localhost:3000").test_client()


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_without_keys_nobody_changes_models_until_that_is_opened(make_app: MakeApp, path: str) -> None:
    closed = make_app().test_client()
    check_error(closed.post(path), 403, "forbidden", ("INKLING_REPOSITORY=open", "python -m server key"))
    assert closed.get("/v2/models/plain/ready").status_code == 200
    assert closed.post(INDEX).status_code == 200
    assert make_app(repository="open").test_client().post(path).status_code == 200


@pytest.mark.parametrize(("repository", "statuses"), [
    ("keys", {"nobody": 401, "wrong": 401, "web": 403, "boss": 200}),
    ("open", {"nobody": 401, "wrong": 401, "web": 403, "boss": 200}),
    ("off", {"nobody": 403, "wrong": 403, "web": 403, "boss": 403}),
])  # fmt: skip
def test_where_keys_are_on_one_of_scope_admin_is_needed(
    make_app: MakeApp, tmp_path: Path, repository: str, statuses: dict[str, int]
) -> None:
    keys = write_keys(tmp_path / "keys", web="predict,explain", boss="admin")
    client = make_app(repository=repository, keys_file=tmp_path / "keys").test_client()
    for name, status in statuses.items():
        headers = {} if name == "nobody" else bearer(keys.get(name, "ink_wrong"))
        assert client.post(LOAD, headers=headers).status_code == status
    assert client.post(INDEX, headers=bearer(keys["boss"])).status_code == 200


def test_switched_off_it_says_so(make_app: MakeApp) -> None:
    check_error(make_app(repository="off").test_client().post(UNLOAD), 403, "forbidden", ("INKLING_REPOSITORY=off",))


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:4000"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HERE},
    {"Sec-Fetch-Site": ""},
    {"Origin": "https://b.example"},
    {"Origin": "http://localhost:4000"},
    {"Origin": "http://localhost.b.example"},
    {"Origin": "null"},
    {"Origin": "localhost"},
], ids=str)  # fmt: skip
def test_a_page_of_another_site_changes_nothing(opened: FlaskClient, headers: dict[str, str]) -> None:
    for path in (LOAD, UNLOAD, INDEX):
        check_error(opened.post(path, headers=headers), 403, "forbidden", ("another site", "INKLING_CORS_ORIGINS"))
    assert opened.get("/v2/models/plain/ready").status_code == 200


@pytest.mark.parametrize("headers", [
    {},
    {"Origin": ""},
    {"Origin": HERE},
    {"Origin": "https://LOCALHOST"},  # something in front takes TLS off
    {"Sec-Fetch-Site": "same-origin", "Origin": HERE},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://ink.example"},  # something in front asks by another name
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": PAGE},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
], ids=str)  # fmt: skip
def test_programs_the_servers_own_pages_and_listed_ones_may(opened: FlaskClient, headers: dict[str, str]) -> None:
    assert opened.post(LOAD, headers=headers).status_code == 200


def test_a_star_lists_no_page(make_app: MakeApp) -> None:
    client = make_app(repository="open", cors_origins="*").test_client()
    for origin in (PAGE, "*", "null"):
        check_error(client.post(LOAD, headers={"Origin": origin}), 403, "forbidden")


def test_a_foreign_page_is_refused_whatever_key_it_has(make_app: MakeApp, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", boss="admin")
    client = make_app(keys_file=tmp_path / "keys").test_client()
    headers = {**bearer(keys["boss"]), "Sec-Fetch-Site": "cross-site"}
    check_error(client.post(LOAD, headers=headers), 403, "forbidden", ("another site",))


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain?method=saliency"])
def test_pictures_may_come_from_any_page(opened: FlaskClient, path: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://b.example"}
    assert opened.post(path, data=SEVEN, headers=headers).status_code == 200


def test_a_preflight_is_answered(opened: FlaskClient) -> None:
    asking: dict[str, Any] = {"Access-Control-Request-Method": "POST", "Sec-Fetch-Site": "cross-site"}
    assert opened.options(LOAD, headers={"Origin": "https://b.example", **asking}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_job_is_neither_sent_nor_removed_by_a_page_of_another_site(
    make_app: MakeApp, tmp_path: Path, method: str
) -> None:
    client = make_app(jobs=tmp_path / "jobs", job_workers=0).test_client()
    address = "/v1/jobs" + f"/{'0' * 32}" * (method == "DELETE")
    refused = client.open(address, method=method, data=b"PK", headers={"Sec-Fetch-Site": "cross-site"})
    check_error(refused, 403, "forbidden", ("another site",))


def test_every_route_that_changes_something_is_guarded(make_app: MakeApp) -> None:
    """A new one has to be put into the table, or among those that only compute."""
    posted = {rule.endpoint for rule in make_app().url_map.iter_rules() if {"POST", "PUT", "DELETE"} & rule.methods}
    computing = {endpoint for endpoint, needed in NEEDS.items() if needed in ("predict", "explain")}
    assert posted - (computing - {"feedback.feedback", "jobs.add", "jobs.remove"}) == OWN_PAGES
