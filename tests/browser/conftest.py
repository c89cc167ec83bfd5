"""Fixtures of the browser tests: Chromium, a server with the shipped models, and pages whose console stays clean."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.needs import lacking
from tests.support.processes.servers import Running, serving

ALONE = (  # nobody else can be reached
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip
OpenPage = Callable[..., Page]
expect.set_options(timeout=20_000)  # milliseconds; a busy machine takes some


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ALONE])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def inkling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("inkling"), {}, explain="ready") as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, inkling: Running) -> Iterator[OpenPage]:
    """Opens addresses in contexts with the given options; fails where a page wrote an error that `expected` does not
    hold a part of."""
    with opening(browser, inkling) as open_one:
        yield open_one


@contextmanager
def opening(browser: Browser, running: Running) -> Iterator[OpenPage]:
    contexts, errors, expected = [], list[str](), list[str]()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    def open_one(path: str = "/?lang=en", expect: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        contexts.append(context)
        expected.extend(expect)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path if "://" in path else running.url + path)
        page.wait_for_function("() => document.querySelector('inkling-digit')?.shadowRoot")
        page.evaluate(LISTEN)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [one for one in errors if not any(part in one for part in expected)] == []


LISTEN = """() => {
  window.heard = [];
  for (const name of ["digit-change", "digit-prediction", "digit-explanation", "digit-error"])
    document.addEventListener(name, ({ detail }) => window.heard.push({ name, detail }));
}"""


@pytest.fixture
def server_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    return folder
