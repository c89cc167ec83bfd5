"""API keys: the file, which key opens which route, and that a key is never stored, shown or taken from a query."""

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient

from server.auth.keys import SCOPES, Keyring, Scope, new_key, read_keys
from server.config import SettingsError
from server.openapi import document
from server.routes.middleware.scopes import NEEDS, Need, need
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.clock import Clock
from tests.support.models.stores import SEVEN

DIGEST = "ab" * 32


def write_keys(path: Path, **scopes: str) -> dict[str, str]:
    """A file with a key for each name; the keys by name."""
    made = {name: new_key(name, listed) for name, listed in scopes.items()}
    path.write_text("# who may ask\n\n" + "".join(key.line() + "\n" for _, key in made.values()))
    return {name: secret for name, (secret, _) in made.items()}


def test_a_new_key_is_random_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    secrets = [new_key("web", "predict,explain")[0] for _ in range(20)]
    assert len(set(secrets)) == 20 and all(len(secret) >= 43 for secret in secrets)
    secret, key = new_key("web", "explain,predict")
    assert key.line() == f"web {hashlib.sha256(secret.encode()).hexdigest()} predict,explain"
    path = tmp_path / "keys"
    path.write_text(key.line())
    assert read_keys(path) == (key,)
    assert secret not in path.read_text() and secret not in repr(Keyring(path).holder(secret))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no key", "python -m server key")),
        ("# nobody\n", ("no key",)),
        (f"a {DIGEST} predict\nweb\n", ("line 2", "1 words", "name sha256 scope")),
        (f"web {DIGEST} predict explain", ("4 words",)),
        ("web ink_secret predict", ("line 1", "SHA-256")),
        (f"web {DIGEST.upper()} predict", ("SHA-256",)),
        (f"w/b {DIGEST} predict", ("'w/b'", "A-Z")),
        (f"{'w' * 65} {DIGEST} predict", ("at most 64",)),
        (f"web {DIGEST} predict,root", ("'predict,root'", "predict,explain,admin")),
        (f"web {DIGEST} ,", ("scopes",)),
        (f"a {DIGEST} predict\nb {DIGEST} admin", ("digest", "twice")),
        (f"a {DIGEST} predict\na {'cd' * 32} admin", ("the name a twice",)),
    ],
)
def test_error_names_the_line_of_an_unusable_file(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read_keys(path)
    assert all(word in str(raised.value) for word in (str(path), *words))
    assert "ink_secret" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_error_names_an_unreadable_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(SettingsError, match=r"INKLING_KEYS_FILE.*cannot be read"):
        read_keys(tmp_path / "keys")


def test_a_changed_file_counts_within_a_second_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "keys", Clock()
    old = write_keys(path, web="predict")["web"]
    ring = Keyring(path, clock)
    assert ring.holder(old) is not None and ring.holder("ink_other") is None

    new = write_keys(path, other="predict,explain")["other"]
    assert ring.holder(new) is None  # looked at a moment ago
    clock.seconds += 1
    found = ring.holder(new)
    assert found is not None and found.scopes == {"predict", "explain"}
    assert ring.holder(old) is None

    for broken in ("rubbish\n", None):
        path.unlink() if broken is None else path.write_text(broken)
        clock.seconds += 1
        assert ring.holder(new) is not None
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_no_key_is_valid_until_there_is_a_usable_file(tmp_path: Path) -> None:
    clock = Clock()
    ring = Keyring(tmp_path / "keys", clock)
    assert ring.holder("") is None
    secret = write_keys(tmp_path / "keys", web="predict")["web"]
    clock.seconds += 1
    assert ring.holder(secret) is not None


def test_the_place_of_a_key_does_not_show_in_the_time_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stored key is compared once, in constant time, whosever the key is that was sent."""
    compared: list[str] = []

    def spy(one: str, other: str, compare: Callable[[str, str], bool] = hmac.compare_digest) -> bool:
        compared.append(other)
        return compare(one, other)

    secrets = write_keys(tmp_path / "keys", first="predict", middle="explain", last="admin")
    stored = [key.digest for key in read_keys(tmp_path / "keys")]
    ring = Keyring(tmp_path / "keys", Clock())
    monkeypatch.setattr("server.auth.keys.hmac.compare_digest", spy)
    for name, secret in {**secrets, "nobody": "ink_other"}.items():
        compared.clear()
        found = ring.holder(secret)
        assert (found.name if found else "nobody") == name
        assert compared == stored


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """A key for each scope and one for all, by name; `guarded` knows them."""
    return write_keys(tmp_path / "keys", **{scope: scope for scope in SCOPES}, all=",".join(SCOPES))


@pytest.fixture
def guarded(make_app: MakeApp, keys: Mapping[str, str], tmp_path: Path) -> FlaskClient:
    return make_app(keys_file=tmp_path / "keys").test_client()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_every_route_has_a_decision_and_every_decision_a_meaning(make_app: MakeApp) -> None:
    endpoints = {rule.endpoint for rule in make_app().url_map.iter_rules()}
    assert sorted(endpoints - set(NEEDS)) == []
    assert set(NEEDS.values()) <= {"open", "any", *get_args(Scope)}
    assert need("ops.new_route_that_nobody_thought_of") == "admin"


def test_the_description_says_where_a_key_is_needed(make_app: MakeApp) -> None:
    paths = document()["paths"]
    for rule in make_app().url_map.iter_rules():
        for reported in paths[re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", str(rule))].values():
            assert {"401", "403", "429"} <= set(reported["responses"]) or need(rule.endpoint) == "open"
            assert "401" not in reported["responses"] or need(rule.endpoint) != "open"


ROUTES: list[tuple[str, str, Need]] = [
    ("GET", "/", "open"),
    ("GET", "/livez", "open"),
    ("GET", "/readyz", "open"),
    ("HEAD", "/livez", "open"),
    ("OPTIONS", "/v1/predict", "open"),
    ("GET", "/metrics", "admin"),
    ("POST", "/v1/predict", "predict"),
    ("POST", "/v1/explain", "explain"),
    ("POST", "/v1/compare?methods=saliency,occlusion", "explain"),
    ("POST", "/v1/adversarial", "explain"),
    ("GET", "/v1/methods", "any"),
    ("GET", "/v1/models", "any"),
    ("GET", "/v1/models/fake", "any"),
    ("GET", "/v1/models/fake/versions/2", "any"),
    ("POST", "/v1/models/fake:predict", "predict"),
    ("POST", "/v1/models/fake/labels/stable:explain", "explain"),
    ("GET", "/v2/health/live", "open"),
    ("GET", "/v2/health/ready", "open"),
    ("GET", "/v2/models/fake/ready", "any"),
    ("GET", "/v2/models/fake/config", "any"),
    ("POST", "/v2/models/fake/infer", "predict"),
    ("POST", "/v2/models/fake/explain", "explain"),
    ("POST", "/v2/repository/index", "admin"),
    ("POST", "/v2/repository/models/fake/load", "admin"),
    ("GET", "/openapi.json", "open"),
    ("GET", "/docs", "open"),
]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES, ids=lambda one: str(one))
def test_a_key_opens_what_it_is_good_for(
    guarded: FlaskClient, keys: Mapping[str, str], method: str, path: str, needed: Need
) -> None:
    for name in ("nobody", *keys):
        headers = {} if name == "nobody" else bearer(keys[name])
        response = guarded.open(path, method=method, data=SEVEN if method == "POST" else None, headers=headers)
        if needed == "open" or name in (needed, "all") or (needed == "any" and name != "nobody"):
            assert response.status_code not in (401, 403)
            assert "WWW-Authenticate" not in response.headers
        elif name == "nobody":
            check_error(response, 401, "unauthorized", ("Authorization: Bearer", "X-API-Key"))
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="inkling"'
        else:
            check_error(response, 403, "forbidden", (f"key of {name}", f"needs {needed}"))
            assert f'error="insufficient_scope", scope="{needed}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer KEY"}, 200),
        ({"Authorization": "bearer  KEY "}, 200),
        ({"X-API-Key": "KEY"}, 200),
        ({"Authorization": "Basic KEY", "X-API-Key": "KEY"}, 200),
        ({"Authorization": "Basic KEY"}, 401),
        ({"Authorization": "KEY"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer KEYx"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "k\xe9y"}, 401),
        ({"Authorization": "Bearer wrong", "X-API-Key": "KEY"}, 401),
    ],
    ids=str,
)
def test_where_a_key_may_stand(
    guarded: FlaskClient, keys: Mapping[str, str], headers: dict[str, str], status: int
) -> None:
    sent = {name: value.replace("KEY", keys["all"]) for name, value in headers.items()}
    assert guarded.get("/v1/models", headers=sent).status_code == status


def test_a_wrong_key_is_not_the_same_as_none(guarded: FlaskClient) -> None:
    response = guarded.post("/v1/predict", data=SEVEN, headers=bearer("ink_" + "x" * 43))
    check_error(response, 401, "unauthorized", ("nobody here knows this key",))
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="inkling", error="invalid_token"'
    assert "xxx" not in response.text


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "token", "access_token", "Authorization"])
def test_a_key_in_the_query_is_refused_even_beside_a_good_one(
    guarded: FlaskClient, keys: Mapping[str, str], name: str
) -> None:
    response = guarded.get(f"/v1/models?{name}={keys['all']}", headers=bearer(keys["all"]))
    check_error(response, 400, "key_in_query", ("logs", "Authorization: Bearer"))
    assert keys["all"] not in response.text


def test_unknown_paths_need_no_key(guarded: FlaskClient) -> None:
    assert guarded.get("/nowhere").status_code == 404
    assert guarded.get("/v1/predict").status_code == 405


def test_nothing_of_a_body_is_read_before_the_key_is_known(guarded: FlaskClient) -> None:
    class Unread:
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": "1000000000"}
    assert guarded.open("/v1/predict", method="POST", environ_overrides=environ).status_code == 401


def test_without_a_file_no_key_is_needed(client: FlaskClient) -> None:
    assert client.post("/v1/predict", data=SEVEN).status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.post("/v1/predict", data=SEVEN, headers=bearer("whatever")).status_code == 200
