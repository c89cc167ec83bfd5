"""How often one may ask, and whose pages may."""

import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from limits.storage import MemoryStorage

from server.config import Settings, SettingsError
from server.process.preflight import check
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN
from tests.support.processes.servers import ROOT

PAGE = "https://a.example"


def requested(client: FlaskClient, times: int, **sent: Any) -> list[int]:
    return [client.get("/v1/models", **sent).status_code for _ in range(times)]


def test_beyond_the_limit_retry_after_is_sent(make_app: MakeApp) -> None:
    client = make_app(rate_limit="3/hour").test_client()
    first = client.post("/v1/predict", data=SEVEN)
    assert first.status_code == 200
    assert first.headers["RateLimit-Policy"] == '"hour";q=3;w=3600'
    name, rest, reset = first.headers["RateLimit"].split(";")
    assert (name, rest) == ('"hour"', "r=2") and 0 < int(reset.removeprefix("t=")) <= 3600
    assert requested(client, 3) == [200, 200, 429]
    response = client.post("/v1/explain", data=SEVEN)
    check_error(response, 429, "too_many_requests", ("more than 3 per hour", "address 127.0.0.1", "ask again in"))
    assert 0 < int(response.headers["Retry-After"]) <= 3600
    assert response.headers["RateLimit"].startswith('"hour";r=0;')


def test_several_limits_hold_together(make_app: MakeApp) -> None:
    client = make_app(rate_limit="2/minute;1000/day").test_client()
    assert client.get("/v1/models").headers["RateLimit-Policy"] == '"minute";q=2;w=60, "day";q=1000;w=86400'
    assert requested(client, 2) == [200, 429]
    response = client.get("/v1/models")
    check_error(response, 429, "too_many_requests", ("more than 2 per minute from",))
    assert int(response.headers["Retry-After"]) <= 60


def test_health_metrics_and_preflights_are_not_counted(make_app: MakeApp) -> None:
    client = make_app(rate_limit="1/hour").test_client()
    assert requested(client, 2) == [200, 429]
    for path in ("/", "/livez", "/readyz", "/metrics"):
        response = client.get(path)
        assert response.status_code == 200 and "RateLimit" not in response.headers
    assert client.options("/v1/predict").status_code == 200


def test_a_key_is_counted_wherever_it_asks_from_and_an_address_by_itself(make_app: MakeApp, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", one="predict", two="predict")
    client = make_app(rate_limit="2/hour", keys_file=tmp_path / "keys").test_client()
    here, there = ({"environ_overrides": {"REMOTE_ADDR": f"10.0.0.{number}"}} for number in (1, 2))
    assert requested(client, 1, headers=bearer(keys["one"]), **here) == [200]
    assert requested(client, 2, headers=bearer(keys["one"]), **there) == [200, 429]
    assert requested(client, 1, headers=bearer(keys["two"]), **there) == [200]
    reported = client.get("/v1/models", headers=bearer(keys["one"])).get_json()["error"]
    assert "key one" in reported and keys["one"] not in reported

    open_to_all = make_app(rate_limit="1/hour").test_client()
    assert requested(open_to_all, 2, **here) == [200, 429]
    assert requested(open_to_all, 2, **there) == [200, 429]


@pytest.mark.parametrize(("proxies", "second"), [(0, 429), (1, 200)])
def test_what_a_header_says_of_the_address_counts_behind_proxies_only(
    make_app: MakeApp, proxies: int, second: int
) -> None:
    client = make_app(rate_limit="1/hour", proxies=proxies).test_client()
    for address, status in (("10.0.0.1", 200), ("10.0.0.2", second), ("10.0.0.9, 10.0.0.1", 429)):
        assert requested(client, 1, headers={"X-Forwarded-For": address}) == [status]


def test_what_a_client_puts_before_the_proxys_word_changes_nothing(make_app: MakeApp) -> None:
    client = make_app(rate_limit="1/hour", proxies=1).test_client()
    for number, before in enumerate(
        ("", "10.9.9.9, ", '"10.9.9.9, ', '"10.9.9.9, \\", ', "[::1], ", ",, ", "unknown, ")
    ):
        sent = {"X-Forwarded-For": f"{before}10.0.0.1"}
        assert requested(client, 1, headers=sent) == [429 if number else 200], before


@pytest.mark.parametrize("word", ["rubbish", "", "unknown", "_hidden", "10.0.0.1.2", "10.0.0.1, ", '"10.0.0.1"'])
def test_a_proxy_that_reports_no_address_is_counted_itself(make_app: MakeApp, word: str) -> None:
    client = make_app(rate_limit="1/hour", proxies=1).test_client()
    assert requested(client, 1) == [200]
    assert requested(client, 1, headers={"X-Forwarded-For": word}) == [429]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
    ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ("::ffff:10.0.0.1", "10.0.0.1", True),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
    ("fe80::1%eth0", "fe80::1%eth1", True),
    ("10.0.0.1", "10.0.0.2", False),
])  # fmt: skip
@pytest.mark.parametrize("proxies", [0, 1])
def test_addresses_that_one_caller_can_choose_from_are_one(
    make_app: MakeApp, one: str, other: str, same: bool, proxies: int
) -> None:
    client = make_app(rate_limit="1/hour", proxies=proxies).test_client()

    def sent(address: str) -> dict[str, Any]:
        if proxies:
            return {"headers": {"X-Forwarded-For": address}}
        return {"environ_overrides": {"REMOTE_ADDR": address}}

    assert requested(client, 1, **sent(one)) == [200]
    assert requested(client, 1, **sent(other)) == [429 if same else 200]
    shown = client.get("/v1/models", **sent(one)).get_json()["error"]
    assert ("/64" in shown) == (":" in one and "." not in one)


def test_ports_that_a_proxy_reports_make_no_other_caller(make_app: MakeApp) -> None:
    client = make_app(rate_limit="1/hour", proxies=1).test_client()
    for address, status in (
        ("10.0.0.1:50", 200),
        ("10.0.0.1:51", 429),
        ("[2001:db8::1]:50", 200),
        ("2001:db8::9", 429),
    ):
        assert requested(client, 1, headers={"X-Forwarded-For": address}) == [status]


def test_mistakes_and_guesses_are_counted_for_the_address(make_app: MakeApp, tmp_path: Path) -> None:
    """Also those at what is not counted otherwise: /metrics. Who has a key is not held up by what others guess."""
    keys = write_keys(tmp_path / "keys", web="predict", boss="admin")
    for path, status in (("/v1/models", 401), ("/metrics", 401), ("/nowhere", 404), ("/v1/predict", 405)):
        client = make_app(rate_limit="2/hour", keys_file=tmp_path / "keys").test_client()
        found = [client.get(path, headers=bearer(f"ink_guess{number}")) for number in range(3)]
        assert [one.status_code for one in found] == [status, status, 429]
        check_error(found[-1], 429, "too_many_requests", ("address 127.0.0.1",))
        assert client.get("/v1/models").status_code == 429
        assert client.get("/v1/models", headers=bearer(keys["web"])).status_code == 200
        assert {client.get("/metrics", headers=bearer(keys["boss"])).status_code for _ in range(4)} == {200}
        assert client.get("/livez", headers=bearer("ink_guess")).status_code == 200


def test_a_forged_link_is_counted_too(make_app: MakeApp, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", web="predict")
    client = make_app(rate_limit="1/hour", keys_file=tmp_path / "keys").test_client()
    assert [client.get("/v1/explanations/abc.png?signature=x").status_code for _ in range(2)] == [401, 429]


class Away(MemoryStorage):
    """A storage whose server does not answer."""

    STORAGE_SCHEME = ["away"]  # noqa: RUF012  (the package's own way)

    def incr(self, *_: Any, **__: Any) -> int:
        raise ConnectionError("nobody there")

    def get(self, _: str) -> int:
        raise ConnectionError("nobody there")

    def check(self) -> bool:
        return False


def test_each_process_counts_on_its_own_while_the_storage_is_away(make_app: MakeApp) -> None:
    client = make_app(rate_limit="2/hour", rate_limit_storage="away://").test_client()
    assert requested(client, 3) == [200, 200, 429]


def test_an_unknown_storage_is_refused(make_app: MakeApp) -> None:
    storage = "carrier://user:" + "fish".join(("sword", "@pigeon"))  # so that the shown line has it not
    with pytest.raises(SettingsError, match="INKLING_RATE_LIMIT_STORAGE=carrier://") as raised:
        make_app(rate_limit="2/hour", rate_limit_storage=storage)
    assert "swordfish" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(("storage", "workers", "words"), [
    ("memory://", 2, ("2 workers", "INKLING_WORKERS=1", "redis://")),
    ("memcached://localhost", 1, ("pip install pymemcache",)),
])  # fmt: skip
def test_an_unusable_storage_stops_the_start(storage: str, workers: int, words: tuple[str, ...]) -> None:
    settings = Settings(rate_limit="5/minute", rate_limit_storage=storage)
    with pytest.raises(SettingsError) as raised:
        check(settings, workers)
    assert all(word in str(raised.value) for word in words)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install redis"):
        check(Settings(rate_limit="5/minute", rate_limit_storage="redis://localhost"), 1)


def test_what_is_off_or_alone_starts() -> None:
    check(Settings(), 8)
    check(Settings(rate_limit_storage="redis://localhost"), 8)
    check(Settings(rate_limit="5/minute"), 1)


@pytest.fixture
def pages(make_app: MakeApp) -> FlaskClient:
    return make_app(cors_origins=f"{PAGE},http://localhost:3000", rate_limit="9/hour").test_client()


def test_pages_of_a_listed_origin_may_ask_and_read_what_they_need(pages: FlaskClient) -> None:
    response = pages.post("/v1/predict", data=SEVEN, headers={"Origin": PAGE})
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in response.headers["Vary"]
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed >= {"ETag", "Location", "Retry-After", "X-Request-ID", "Server-Timing", "RateLimit"}
    refused = pages.post("/v1/predict", data=b"", headers={"Origin": PAGE})
    assert refused.status_code == 400 and refused.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_preflight_is_answered_without_a_key(make_app: MakeApp, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", one="predict")
    client = make_app(cors_origins=PAGE, keys_file=tmp_path / "keys").test_client()
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "authorization, content-type"}
    response = client.options("/v1/predict", headers={**asking, **wanted})
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Headers"].lower() == "authorization, content-type"
    refused = client.post("/v1/predict", data=SEVEN, headers={"Origin": PAGE})
    assert refused.status_code == 401 and refused.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://b.example", "https://a.example.evil", "http://a.example", "null"])
def test_pages_of_others_may_not(pages: FlaskClient, origin: str) -> None:
    assert "Access-Control-Allow-Origin" not in pages.get("/v1/models", headers={"Origin": origin}).headers


@pytest.mark.parametrize(("origins", "sent", "reported"), [
    ("*", {}, {"Access-Control-Allow-Origin": "*"}),
    (PAGE, {}, {"Access-Control-Allow-Origin": PAGE}),  # what a cache keeps is good for the page too
    (PAGE, {"Origin": PAGE.upper()}, {"Access-Control-Allow-Origin": PAGE.upper()}),
    (f"https://b.example,{PAGE}", {"Origin": PAGE}, {"Access-Control-Allow-Origin": PAGE, "Vary": "Origin"}),
])  # fmt: skip
def test_a_page_gets_cors_headers(
    make_app: MakeApp, origins: str, sent: dict[str, str], reported: dict[str, str]
) -> None:
    headers = make_app(cors_origins=origins).test_client().get("/livez", headers=sent).headers
    about = {"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Vary"}
    assert {name: value for name, value in headers if name in about} == reported


@pytest.mark.parametrize(("method", "wanted", "methods", "names"), [
    ("POST", "x-api-key, Content-Type, x-other", "GET, HEAD, POST", "Content-Type, x-api-key"),
    ("POST", "", "GET, HEAD, POST", None),
    ("DELETE", "content-type", None, None),
])  # fmt: skip
def test_a_preflight_gets_cors_headers(
    pages: FlaskClient, method: str, wanted: str, methods: str | None, names: str | None
) -> None:
    asking = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": wanted}
    headers = pages.options("/v1/predict", headers={"Origin": PAGE, **asking}).headers
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert headers.get("Access-Control-Allow-Methods") == methods
    assert headers.get("Access-Control-Allow-Headers") == names
    assert headers.get("Access-Control-Max-Age") == (methods and "3600")


def test_a_star_lets_all_pages_ask_and_nothing_set_none(make_app: MakeApp) -> None:
    starred = make_app(cors_origins="*").test_client().get("/livez", headers={"Origin": PAGE})
    assert starred.headers["Access-Control-Allow-Origin"] == "*"
    plain = make_app().test_client().get("/livez", headers={"Origin": PAGE})
    assert not [name for name, _ in plain.headers if name.startswith("Access-Control")]


def test_what_is_off_is_not_even_imported(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from server.app import create_app; from server.config import Settings\n"
        f"create_app(Settings(model_store=pathlib.Path({str(tmp_path)!r}), explain='off'))\n"
        "late = ('limits', 'opentelemetry', *(f'server.routes.middleware.{name}' for name in "
        "('rate_limiter', 'cors', 'tracing')))\n"
        "sys.exit(str([name for name in late if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
