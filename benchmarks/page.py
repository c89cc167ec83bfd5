"""python -m benchmarks.page: how long a person waits at the page, in a real browser; for RESULTS.md."""

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import machine
from benchmarks.results import write_part
from tests.browser.hand import SEVEN, on_screen
from tests.support.processes.servers import serving

STROKES = 30
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
BARS, MAP = 60, 150  # milliseconds at the median, at most
LARGEST = 60_000  # bytes
MARKS = {True: "reached", False: "**missed**"}
LISTEN = """() => {
  window.waited = {};
  const pad = document.querySelector("inkling-digit").shadowRoot.querySelector(".pad");
  pad.addEventListener("pointerup", () => { window.waited = { since: performance.now() }; }, true);
  for (const name of ["digit-prediction", "digit-explanation"])
    document.addEventListener(name, () => { window.waited[name] ??= performance.now() - window.waited.since; });
}"""
TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((one) => !one.name.includes("/v1/")).reduce((sum, one) => sum + one.transferSize, 0)"""


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is not installed")
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), {"WORKERS": "2"}, explain="ready") as running,
        sync_playwright() as playwright,
    ):
        page = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS]).new_page()
        page.goto(f"{running.url}/?lang=en", wait_until="networkidle")
        size = int(page.evaluate(TRANSFERRED))
        page.evaluate(LISTEN)
        waits = [waited(page, place) for place in range(STROKES)]
    write_part("page", written(waits, size, load))


def written(waits: list[dict[str, float]], size: int, load: float) -> str:
    """The part of RESULTS.md."""
    bars, first_map = (median(one[name] for one in waits) for name in ("digit-prediction", "digit-explanation"))
    rows = [
        ("from the end of a stroke to new bars", f"{bars:.0f} ms", f"under {BARS} ms", bars < BARS),
        ("from the end of a stroke to the map", f"{first_map:.0f} ms", f"under {MAP} ms", first_map < MAP),
        ("all that the first visit loads", f"{size / 1e3:.0f} kB", f"under {LARGEST / 1e3:.0f} kB", size < LARGEST),
    ]
    facts = machine()
    return "\n".join(
        [
            "# The page\n",
            "Written by `make bench-page`.\n",
            f"{datetime.now(UTC):%Y-%m-%d}. {facts['processor']}, {facts['cores']} cores; {facts['system']}; no GPU. "
            f"Chromium draws a 7 with a mouse, {len(waits)} times; medians until the element's event, which comes when "
            f"the page shows the answer. The cnn, `shapley`, two workers. Load before the start: {load:.1f}.\n",
            "| | measured | target | |",
            "|---|---|---|---|",
            *(f"| {what} | {value} | {target} | {MARKS[reached]} |" for what, value, target, reached in rows),
        ]
    )


def waited(page: Page, place: int) -> dict[str, float]:
    """The milliseconds until each event after one stroke, a little different each time."""
    page.evaluate("() => document.querySelector('inkling-digit').clear()")
    points = on_screen(page, [(x + place % 7, y + place % 5) for x, y in SEVEN])
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    page.wait_for_function("() => window.waited['digit-explanation']")
    page.wait_for_load_state("networkidle")
    found: dict[str, float] = page.evaluate("() => window.waited")
    return found


if __name__ == "__main__":
    main()
