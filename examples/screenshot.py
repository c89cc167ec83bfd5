"""Draw the README's picture of the page: a 5 that a hand draws in Chromium, on a server with the shipped models.

Run from the top of the project: make figures
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.hand import draw
from tests.support.processes.servers import serving

HERE = Path(__file__).parent
FIVE = ((184, 58), (112, 64), (102, 124), (150, 114), (188, 140), (188, 186), (150, 224), (96, 216))
SIZE = {"width": 960, "height": 688}
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is not installed; examples/page.png stays as it is")
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder), {}, explain="ready") as running,
        sync_playwright() as playwright,
    ):
        page = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS]).new_page(viewport=SIZE)
        page.goto(f"{running.url}/?lang=en")
        draw(page, FIVE)
        page.wait_for_function("() => document.querySelector('inkling-digit').explanation")
        page.locator("#seen canvas").wait_for()
        page.mouse.move(0, 0)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=HERE / "page.png")
    Image.open(HERE / "page.png").quantize(128).save(HERE / "page.png", optimize=True)


if __name__ == "__main__":
    main()
