"""Signed links: good for one path and a while, by a secret that all workers share."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from server.auth.signed_links import FILE, QUERY, Links, shared_secret
from server.routes.service import EXTENSION
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN

PATH = "/v1/explanations/below/abc.png"


def parts(link: str) -> tuple[str, str]:
    """Path and signature of a link."""
    split = urlsplit(link)
    query = parse_qs(split.query)
    assert list(query) == [QUERY]
    return split.path, query[QUERY][0]


def changed(signature: str, at: int) -> str:
    return signature[:at] + ("A" if signature[at] != "A" else "B") + signature[at + 1 :]


def test_a_link_is_good_until_its_end() -> None:
    path, signature = parts(Links(b"secret", 600, lambda: 1000.9).signed(PATH))
    assert path == PATH
    for now, verdict in ((1000, "good"), (1599.9, "good"), (1600, "expired"), (1e9, "expired")):
        assert Links(b"secret", 600, lambda now=now: now).check(path, signature) == verdict  # type: ignore[misc]


def test_a_link_from_before_the_clock_was_set_back_is_good() -> None:
    link = parts(Links(b"secret", 600, lambda: 1000).signed(PATH))
    assert Links(b"secret", 600, lambda: 0).check(*link) == "good"


def test_an_address_keeps_its_query() -> None:
    links = Links(b"secret", 600, lambda: 1000)
    plain, framed = links.signed(PATH), links.signed(f"{PATH}?frame=model")
    assert framed == plain.replace("?", "?frame=model&")


def test_anything_else_is_forged() -> None:
    links = Links(b"secret", 600, lambda: 1000)
    path, signature = parts(links.signed(PATH))
    assert links.check(path, signature) == "good"
    stem, ending = path.rsplit(".", 1)
    for other in (
        (path.replace("abc", "abd"), signature),
        (stem, f"{ending}.{signature}"),  # signed, but another path
        (f"{path}.", signature),
        (path, changed(signature, 0)),
        (path, changed(signature, 10)),
        (path, signature.upper()),
        (path, signature.partition(".")[2]),
        (path, f".{signature}"),
        (path, ""),
        (path, "."),
        (path, "\ud800é"),
        ("\ud800é", signature),
        ("", f"{path}.{signature}"),
    ):
        assert links.check(*other) == "forged", other
    assert Links(b"Secret", 600, lambda: 1000).check(path, signature) == "forged"
    assert "secret" not in repr(links)


def test_processes_with_one_folder_share_a_secret_that_others_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(lambda _: shared_secret(folder), range(64)))
    assert len(secrets) == 1 and len(secrets.pop()) == 32
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600


def test_without_a_folder_each_has_its_own() -> None:
    assert shared_secret(None) != shared_secret(None)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return write_keys(tmp_path / "keys", predict="predict", explain="explain")


@pytest.fixture
def guarded(make_app: MakeApp, keys: dict[str, str], tmp_path: Path) -> FlaskClient:
    """An application with keys, and pages below and beside LINKED."""
    app = make_app(keys_file=tmp_path / "keys", link_secret="a secret of some length")
    methods = ["GET", "DELETE"]
    app.add_url_rule("/v1/explanations/below/<one>", "kept", lambda one: one, methods=methods)
    app.add_url_rule("/v1/other/<one>", "other", lambda one: one, methods=methods)
    return app.test_client()


def links_of(client: FlaskClient) -> Links:
    links = client.application.extensions[EXTENSION].links
    assert isinstance(links, Links)
    return links


def test_a_signed_link_opens_its_page_without_a_key(guarded: FlaskClient) -> None:
    link = links_of(guarded).signed(PATH)
    assert guarded.get(link).data == b"abc.png"
    assert guarded.head(link).status_code == 200
    assert guarded.get(f"{link}&format=png").status_code == 200


def test_a_signed_link_opens_nothing_else(guarded: FlaskClient) -> None:
    links = links_of(guarded)
    link = links.signed(PATH)
    path, signature = parts(link)
    other = f"{path}?{QUERY}={changed(signature, 10)}"
    for address in (link.replace("abc", "abd"), other, f"{path}?{QUERY}=", "/v1/models"):
        check_error(guarded.get(address), 401, "unauthorized")
    check_error(guarded.get(other), 401, "unauthorized", ("not signed here",))
    check_error(guarded.delete(link), 401, "unauthorized", ("a key",))
    check_error(guarded.get(links.signed("/v1/other/abc")), 401, "unauthorized", ("a key",))
    check_error(guarded.get(links.signed("/v1/models")), 401, "unauthorized", ("a key",))


def test_a_link_that_has_ended_says_so(guarded: FlaskClient) -> None:
    links = links_of(guarded)
    response = guarded.get(Links(links.secret, links.seconds, lambda: 0).signed(PATH))
    check_error(response, 401, "unauthorized", ("expired",))
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="inkling"'


def test_a_link_is_not_renewed_by_following_it(guarded: FlaskClient, keys: dict[str, str]) -> None:
    key, links = bearer(keys["explain"]), links_of(guarded)
    path, _ = parts(guarded.post("/v1/explain", data=SEVEN, headers=key).get_json()["links"]["self"])
    signed_at = int(time.time()) - links.seconds // 2
    before, after = (replace(links, now=lambda at=at: at) for at in (signed_at, signed_at + links.seconds))  # type: ignore[misc]
    by_link = guarded.get(before.signed(path)).get_json()["links"]
    by_key = guarded.get(path, headers=key).get_json()["links"]
    for name, address in by_link.items():
        assert links.check(*parts(address)) == "good"
        assert (after.check(*parts(address)), after.check(*parts(by_key[name]))) == ("expired", "good")


def test_a_wrong_key_is_not_saved_by_a_link(guarded: FlaskClient, keys: dict[str, str]) -> None:
    link = links_of(guarded).signed(PATH)
    assert guarded.get(link, headers=bearer("wrong")).status_code == 401
    assert guarded.get(link, headers=bearer(keys["predict"])).status_code == 403


def test_where_keys_are_off_nothing_is_signed(make_app: MakeApp) -> None:
    assert make_app().extensions[EXTENSION].links is None


def test_workers_that_share_a_folder_know_each_others_links(
    make_app: MakeApp, keys: dict[str, str], tmp_path: Path
) -> None:
    settings = {"keys_file": tmp_path / "keys", "run_dir": tmp_path / "run", "link_seconds": 60}
    first, second = (make_app(**settings).extensions[EXTENSION].links for _ in range(2))
    assert second.check(*parts(first.signed(PATH))) == "good"
