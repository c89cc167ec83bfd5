"""The page at /docs: nothing of it comes from elsewhere, and a browser shows all that is described."""

import gzip
import re
import shutil
import subprocess
from hashlib import sha256
from html import unescape
from pathlib import Path

from server.openapi import document
from server.routes.docs import VENDORED
from tests.conftest import MakeApp
from tests.support.needs import lacking
from tests.support.processes.servers import serving

CHROMIUM = shutil.which("chromium")
ALONE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nobody else can be reached
    "--virtual-time-budget=8000",  # milliseconds that the page may think have passed
)


def test_the_page_needs_nothing_from_elsewhere(make_app: MakeApp) -> None:
    client = make_app().test_client()
    page = client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'") and "http" not in policy
    assert "img-src 'self' data: blob:" in policy  # a heatmap that was asked for here is shown from a blob
    used = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
    assert {"docs/swagger-ui-bundle.js", "docs/docs.js", "docs/swagger-ui.css", "openapi.json"} == set(used)
    for address in used:
        answer = client.get(f"/{address}")
        assert answer.status_code == 200


def test_the_parts_of_the_page_are_sent_packed_and_are_what_was_published(make_app: MakeApp) -> None:
    client, vendored = make_app().test_client(), VENDORED.joinpath("README.md").read_text()
    published = dict(reversed(line.split()) for line in vendored.splitlines() if line.startswith("    "))
    assert set(published) == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, expected in published.items():
        plain = client.get(f"/docs/{name}")
        packed = client.get(f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers and packed.headers["Content-Encoding"] == "gzip"
        assert sha256(plain.data).hexdigest() == sha256(gzip.decompress(packed.data)).hexdigest() == expected
        assert len(packed.data) < len(plain.data) / 3 and plain.headers["Vary"] == "Accept-Encoding"
        again = client.get(f"/docs/{name}", headers={"If-None-Match": plain.headers["ETag"]})
        assert again.status_code == 304 and packed.headers["ETag"] != plain.headers["ETag"]


def test_a_browser_without_a_network_shows_every_operation(tmp_path: Path) -> None:
    if CHROMIUM is None:
        lacking("Chromium is not installed")
    with serving(tmp_path, {"EXPLAIN": "off"}) as running:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [str(CHROMIUM), *ALONE, profile, "--dump-dom", f"{running.url}/docs"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    paths = document()["paths"]
    reported = [(method, path, one["summary"]) for path, item in paths.items() for method, one in item.items()]
    shown = re.findall(
        r'class="opblock-summary-method">(\w+)<.*?data-path="([^"]*)".*?class="opblock-summary-description">([^<]*)<',
        done.stdout,
        re.DOTALL,
    )
    assert sorted((method.lower(), path, unescape(about)) for method, path, about in shown) == sorted(reported)
