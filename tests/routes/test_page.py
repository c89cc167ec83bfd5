"""The page at /, the element at /embed, and their files: who gets what, under which policy."""

import re

import pytest

from server.routes.page import FILES
from tests.conftest import MakeApp

PAGE = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", PAGE),
        ("*/*", "application/json"),  # KServe's client, curl
        ("application/json", "application/json"),
        ("application/json, text/html;q=0", "application/json"),
        (None, "application/json"),
    ],
)
def test_only_who_names_html_gets_the_page(make_app: MakeApp, accept: str | None, kind: str) -> None:
    answer = make_app().test_client().get("/", headers={} if accept is None else {"Accept": accept})
    assert answer.content_type == kind and "Accept" in answer.headers["Vary"]


def test_the_policy_lets_nothing_in_that_is_not_of_this_server(make_app: MakeApp) -> None:
    client = make_app(frame_ancestors="https://a.example,https://b.example").test_client()
    for path, ancestors in (("/", "'none'"), ("/embed", "https://a.example https://b.example")):
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = dict(one.strip().partition(" ")[::2] for one in answer.headers["Content-Security-Policy"].split(";"))
        assert (
            policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
        )
        assert policy["require-trusted-types-for"] == "'script'" and policy["frame-ancestors"] == ancestors
        assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=|//", answer.text.split("<body>")[1])


def test_all_that_the_page_loads_is_there_and_others_may_load_it(make_app: MakeApp) -> None:
    client = make_app().test_client()
    page = client.get("/", headers={"Accept": "text/html"}).text
    used = set(re.findall(r'(?:src|href)="(static/[^"]+)"', page))
    assert used and {address.removeprefix("static/") for address in used} <= set(FILES)
    for name in FILES:
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    imported = {one for name, path in FILES.items() if name.endswith(".js") for one in imports(name, path.read_text())}
    assert imported <= set(FILES)


def imports(name: str, text: str) -> set[str]:
    folder = name.rpartition("/")[0].split("/")
    found = set()
    for address in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
        parts = [*folder]
        for part in address.split("/"):
            parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
        found.add("/".join(parts))
    return found


def test_nothing_else_of_the_folder_is_answered(make_app: MakeApp) -> None:
    client = make_app().test_client()
    for path in ("/static/docs.html", "/static/../app.py", "/static/element/", "/static/vendor/swagger-ui/NOTICE"):
        assert client.get(path).status_code == 404


def test_the_first_visit_needs_less_than_60_kb(make_app: MakeApp) -> None:
    client = make_app().test_client()
    accept = {"Accept-Encoding": "gzip", "Accept": "text/html"}
    loaded = [name for name in FILES if not name.endswith(".ts") and "embed" not in name]
    answers = [client.get("/", headers=accept), *(client.get(f"/static/{name}", headers=accept) for name in loaded)]
    assert sum(len(answer.data) for answer in answers) < 60_000
