"""The element in other people's pages: on a foreign origin, in a frame, in a form, with a theme of its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LISTEN, OpenPage, opening
from tests.browser.hand import SEVEN, digit, draw_and_wait, on_screen
from tests.support.processes.servers import ROOT, free_port, serving

EXAMPLES = ROOT / "examples" / "embed"
THERE = "http://localhost:8000"  # the server in the examples


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def foreign(folder: Path, port: int) -> Iterator[str]:
    """Another origin, which serves the files of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}"
    server.shutdown()
    server.server_close()


def test_the_examples_work_on_another_origin(browser: Browser, server_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {"CORS_ORIGINS": f"http://127.0.0.1:{port}"}
    with serving(server_folder, settings, explain="ready") as running, foreign(tmp_path, port) as site:
        for name in ("element.html", "frame.html"):
            (tmp_path / name).write_text((EXAMPLES / name).read_text().replace(THERE, running.url))
        with opening(browser, running) as open_page:
            page = open_page(f"{site}/element.html", expect=("favicon", "404"))
            draw_and_wait(page)
            expect(page.locator("#amount")).to_have_text("7")  # the event left the shadow
            assert page.evaluate("() => new FormData(document.querySelector('form')).get('amount')") == "7"
            page.locator("form").evaluate("(form) => form.reset()")
            assert page.evaluate("() => new FormData(document.querySelector('form')).get('amount')") == ""
            page.goto(f"{site}/frame.html")
            framed = page.frame_locator("iframe")
            box = framed.locator("inkling-digit canvas.pad").bounding_box()
            assert box is not None
            unit = box["width"] / 280
            points = [(box["x"] + x * unit, box["y"] + y * unit) for x, y in SEVEN]
            page.mouse.move(*points[0])
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*point, steps=6)
            page.mouse.up()
            expect(page.locator("#answer")).to_have_text("You wrote 7.")
            page.wait_for_function("() => parseFloat(document.querySelector('iframe').style.height) > 300")
            page.frames[1].wait_for_function(
                "() => document.documentElement.scrollHeight <= innerHeight"
            )  # no scrolling


@pytest.mark.parametrize("page_name", ["README.md", "README.zh.md", "docs/embedding.md"])
def test_the_lines_that_are_shown_embed_it(
    browser: Browser, server_folder: Path, tmp_path: Path, page_name: str
) -> None:
    blocks = re.findall(r"```html\n(.*?)```", (ROOT / page_name).read_text(), re.DOTALL)
    (block,) = [one for one in blocks if "<inkling-digit" in one]
    with (
        serving(server_folder, {"CORS_ORIGINS": "*"}, explain="ready") as running,
        foreign(tmp_path, free_port()) as site,
        opening(browser, running) as open_page,
    ):
        (tmp_path / "page.html").write_text(f"<!doctype html>{block.replace(THERE, running.url)}")
        page = open_page(f"{site}/page.html", expect=("favicon", "404"))
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        draw_and_wait(page)
        assert told[-1] == "7"


def test_pages_that_are_not_named_get_no_answers(browser: Browser, server_folder: Path, tmp_path: Path) -> None:
    settings = {"FRAME_ANCESTORS": "https://friend.example"}
    with serving(server_folder, settings, explain="ready") as running, foreign(tmp_path, free_port()) as site:
        for name in ("element.html", "frame.html"):
            (tmp_path / name).write_text((EXAMPLES / name).read_text().replace(THERE, running.url))
        with opening(browser, running) as open_page:
            expected = ("CORS", "ERR_FAILED", "frame-ancestors", "favicon", "404")
            page = open_page(f"{site}/element.html", expect=expected)
            page.mouse.click(*on_screen(page, SEVEN)[0])
            expect(page.locator("inkling-digit .error")).to_contain_text("cannot be reached")
            page.goto(f"{site}/frame.html")
            expect(page.frame_locator("iframe").locator("inkling-digit")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_sets_colours_and_parts(open_page: OpenPage, scheme: str) -> None:
    page = open_page("/embed", color_scheme=scheme)
    digit(page, "(e.style.setProperty('--inkling-accent', 'rgb(1, 2, 3)'), null)")
    digit(page, "(e.style.setProperty('--inkling-ink', 'rgb(200, 0, 0)'), null)")
    draw_and_wait(page)
    assert page.locator("inkling-digit .best .fill").evaluate(BACKGROUND) == "rgb(1, 2, 3)"
    page.evaluate("""() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("inkling-digit::part(answer) { color: rgb(4, 5, 6); }");
      document.adoptedStyleSheets = [sheet];
    }""")
    colour = page.locator("inkling-digit .answer").evaluate("(one) => getComputedStyle(one).color")
    assert colour == "rgb(4, 5, 6)"


BACKGROUND = "(one) => getComputedStyle(one).backgroundColor"


def test_two_elements_do_not_disturb_each_other(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    page.evaluate("() => document.body.append(document.createElement('inkling-digit'))")
    draw_and_wait_first(page)
    values = page.evaluate("() => [...document.querySelectorAll('inkling-digit')].map((one) => one.value)")
    assert values == ["7", ""]


def draw_and_wait_first(page: Page) -> None:
    page.evaluate(LISTEN)
    box = page.locator("inkling-digit canvas.pad").first.bounding_box()
    assert box is not None
    unit = box["width"] / 280
    page.mouse.move(box["x"] + 60 * unit, box["y"] + 60 * unit)
    page.mouse.down()
    for x, y in SEVEN[1:]:
        page.mouse.move(box["x"] + x * unit, box["y"] + y * unit, steps=6)
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('inkling-digit').value === '7'")


def test_an_element_that_is_moved_keeps_its_ink(open_page: OpenPage) -> None:
    page = open_page("/embed?lang=en")
    draw_and_wait(page)
    digit(
        page, "(document.body.append(document.createElement('main')), document.querySelector('main').append(e), null)"
    )
    assert digit(page, "e.strokes.length") == 1 and digit(page, "e.value") == "7"
