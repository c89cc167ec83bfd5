"""Every failure has a face: a server that is away, busy, locked, or cannot read what it was sent."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import OpenPage, opening
from tests.browser.hand import answer_after, digit, draw, draw_and_wait
from tests.support.processes.servers import ROOT, Running, serving

FAILED = "Failed to load resource"


def face(page: Page) -> Locator:
    return page.locator("inkling-digit .error")


def test_an_absent_server_is_tried_again(open_page: OpenPage) -> None:
    page = open_page("/embed?lang=en", expect=(FAILED,))
    page.context.set_offline(True)
    draw(page)
    expect(face(page)).to_have_text("The server cannot be reached. Trying again in 3 s.")
    assert answer_after(page, "digit-error", 0)["code"] == "offline"
    page.context.set_offline(False)
    expect(face(page)).to_have_text("", timeout=15_000)
    expect(page.locator("inkling-digit .answer")).to_contain_text("7")


def test_a_busy_server_is_asked_again_when_it_says(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=&lang=en", expect=(FAILED,))
    busy = {"error": "x", "code": "busy", "request_id": "1"}
    page.route(
        "**/v1/predict**", lambda route: route.fulfill(status=503, json=busy, headers={"Retry-After": "1"}), times=1
    )
    draw(page)
    expect(face(page)).to_have_text("The server is busy. Trying again in 1 s.")
    expect(page.locator("inkling-digit .answer")).to_contain_text("7")
    expect(face(page)).to_have_text("")


def test_a_file_that_is_no_picture_is_told_with_the_servers_words(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/embed?lang=en", expect=(FAILED,))
    photo = tmp_path / "photo.heic"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    page.locator("inkling-digit input[type=file]").set_input_files(photo)
    expect(face(page)).to_contain_text("HEIC photo; on an iPhone choose Settings")
    expect(page.locator("inkling-digit .hint")).to_have_text("photo.heic cannot be shown here")
    draw_and_wait_after_clear(page)
    expect(face(page)).to_have_text("")


def draw_and_wait_after_clear(page: Page) -> None:
    page.get_by_role("button", name="Clear").click()
    draw_and_wait(page)


def test_a_photo_is_shown_read_and_explained_where_its_ink_is(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/embed?lang=en")
    path = tmp_path / "seven.jpg"
    path.write_bytes(seven_on_paper())
    page.locator("inkling-digit input[type=file]").set_input_files(path)
    answer = answer_after(page, "digit-explanation", 0)
    assert answer["prediction"]["label"] == "7"
    expect(page.locator("inkling-digit canvas.map")).to_be_visible()
    box = page.locator("inkling-digit canvas.map").evaluate(COLOURED)
    assert box is not None and 0.2 < box["left"] < box["right"] < 0.8, box  # where the 7 lies in the photo


COLOURED = """(map) => {
  const { data } = map.getContext("2d").getImageData(0, 0, map.width, map.height);
  const columns = [];
  for (let i = 3; i < data.length; i += 4) if (data[i] > 100) columns.push(((i - 3) / 4) % map.width);
  return columns.length ? { left: Math.min(...columns) / map.width, right: Math.max(...columns) / map.width } : null;
}"""


def seven_on_paper() -> bytes:
    """A wide photo of a 7 in its middle."""
    photo = Image.new("RGB", (1200, 700), (214, 210, 200))
    ImageDraw.Draw(photo).line([(520, 200), (680, 200), (590, 480)], (40, 40, 60), 26, joint="curve")
    file = BytesIO()
    photo.save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def locked(tmp_path: Path) -> tuple[Path, str]:
    """A file of keys, and the key of somebody who may explain."""
    command = [sys.executable, "-m", "server", "key", "page"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    secret = max(done.stderr.split(), key=len)
    path = tmp_path / "keys"
    path.write_text(done.stdout)
    return path, secret


def test_a_key_is_asked_for_and_sent(browser: Browser, server_folder: Path, locked: tuple[Path, str]) -> None:
    path, key = locked
    with (
        serving(server_folder, {"KEYS_FILE": str(path)}, explain="ready") as running,
        opening(browser, running) as open_page,
    ):
        page = open_page("/embed?lang=en", expect=(FAILED,))
        draw(page)
        expect(face(page)).to_have_text("This server answers to those who have a key.")
        digit(page, f"(e.key = {key!r}, null)")
        assert draw_and_wait(page)["prediction"]["label"]
        expect(face(page)).to_have_text("")


def test_a_server_that_stops_is_told_of(browser: Browser, server_folder: Path) -> None:
    with serving(server_folder, {"EXPLAIN": "on"}, explain="ready") as running, opening(browser, running) as open_page:
        page = open_page("/embed?lang=en", expect=(FAILED, "ERR_"))
        draw_and_wait(page)
        terminate(running)
        draw(page, ((60, 200), (200, 200)))
        expect(face(page)).to_have_text("The server cannot be reached. Trying again in 3 s.")


def terminate(running: Running) -> None:
    running.process.terminate()
    running.process.wait(30)


def test_the_page_takes_a_key(browser: Browser, server_folder: Path, locked: tuple[Path, str]) -> None:
    path, key = locked
    with (
        serving(server_folder, {"KEYS_FILE": str(path)}, explain="ready") as running,
        opening(browser, running) as open_page,
    ):
        page = open_page(expect=(FAILED,))
        draw(page)
        expect(face(page)).to_have_text("This server answers to those who have a key.")
        expect(page.locator("#maps")).to_be_hidden()
        page.get_by_label("Your key").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key")).to_contain_text("does not know this key")
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key")).to_be_hidden()
        expect(page.locator("inkling-digit .answer")).to_contain_text("7")  # what was drawn before
        expect(page.locator("#cards .card")).to_have_count(4)
        with page.expect_download() as download:
            page.get_by_role("button", name="Map (PNG)").click()
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_is_too_large_is_told(browser: Browser, server_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "seven.jpg"
    path.write_bytes(seven_on_paper())
    settings = {"MAX_BODY_BYTES": "10000"}
    with serving(server_folder, settings, explain="ready") as running, opening(browser, running) as open_page:
        page = open_page("/embed?lang=en", expect=(FAILED,))
        page.locator("inkling-digit input[type=file]").set_input_files(path)
        expect(face(page)).to_contain_text("the body is larger than 10000 bytes")
