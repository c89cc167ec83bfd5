"""A hand that draws on a pad, and eyes that read what the element says of it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from playwright.sync_api import Locator, Page

PAPER = 280
Line = Sequence[tuple[float, float]]
SEVEN: Line = ((60, 60), (120, 58), (200, 60), (170, 120), (140, 180), (120, 235))
ONE: Line = ((140, 50), (138, 120), (140, 230))


def pad(page: Page) -> Locator:
    return page.locator("inkling-digit canvas.pad")


def draw(page: Page, line: Line = SEVEN) -> None:
    """With the mouse, through points of a paper of 280."""
    points = on_screen(page, line)
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def between(line: Line, steps: int) -> Line:
    """The same line with more points on it."""
    parts = [
        (x + (to_x - x) * step / steps, y + (to_y - y) * step / steps)
        for (x, y), (to_x, to_y) in pairwise(line)
        for step in range(steps)
    ]
    return [*parts, line[-1]]


def on_screen(page: Page, line: Line) -> list[tuple[float, float]]:
    pad(page).scroll_into_view_if_needed()
    box = pad(page).bounding_box()
    assert box is not None
    unit = box["width"] / PAPER
    return [(box["x"] + x * unit, box["y"] + y * unit) for x, y in line]


def draw_and_wait(page: Page, line: Line = SEVEN) -> dict[str, Any]:
    """Draw, and wait for the explanation."""
    before = count(page, "digit-explanation")
    draw(page, line)
    return explanation_after(page, before)


def explanation_after(page: Page, before: int) -> dict[str, Any]:
    return answer_after(page, "digit-explanation", before)


def answer_after(page: Page, name: str, before: int) -> dict[str, Any]:
    """The detail of the event that comes after `before` others of its name."""
    page.wait_for_function("([name, n]) => heard.filter((one) => one.name === name).length > n", arg=[name, before])
    found: dict[str, Any] = page.evaluate("(name) => heard.filter((one) => one.name === name).at(-1).detail", name)
    return found


def count(page: Page, name: str) -> int:
    return int(page.evaluate("(name) => heard.filter((one) => one.name === name).length", name))


def digit(page: Page, expression: str) -> Any:
    """A JavaScript expression of the element `e`."""
    return page.locator("inkling-digit").first.evaluate(f"(e) => {expression}")


def shares(page: Page) -> list[float]:
    """The bars as a screen reader has them."""
    meters = page.locator("inkling-digit").get_by_role("meter")
    return [float(str(one.get_attribute("aria-valuenow"))) for one in meters.all()]
