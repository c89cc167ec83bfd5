"""The page for everyone: no violations of WCAG by axe, a full keyboard path, a phone's width, no colour alone."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.hand import draw_and_wait, pad
from tests.browser.test_page import wait_for_maps

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(page: Page) -> list[Any]:
    page.evaluate(AXE + ";0")  # the policy of the page lets no script tag in
    found = page.evaluate("(rules) => axe.run(document, rules)", RULES)
    assert len(found["passes"]) > 20
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("width", [360, 800, 1300])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_axe_finds_nothing(open_page: OpenPage, width: int, lang: str) -> None:
    scheme = "dark" if lang == "zh" else "light"
    page = open_page(f"/?lang={lang}", viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert violations(page) == []
    draw_and_wait(page)
    wait_for_maps(page)
    assert violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def test_axe_finds_what_is_wrong(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")
    assert [name for name, _ in violations(page)] == ["button-name"]


def test_everything_can_be_reached_and_used_without_a_pointer(open_page: OpenPage) -> None:
    page = open_page()
    pad(page).focus()
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_function("() => document.querySelector('inkling-digit').explanation")
    wait_for_maps(page)
    reached = set()
    page.keyboard.press("Control+Home")
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    wanted = page.evaluate(CONTROLS)
    assert set(wanted) - reached == set()


FOCUSED = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at === null ? "" : at.tagName + (at.getAttribute("aria-label") ?? at.textContent.trim() ?? "").slice(0, 40);
}"""
CONTROLS = """() => {
  const all = [...document.querySelectorAll("button"),
    ...document.querySelector("inkling-digit").shadowRoot.querySelectorAll("button, canvas[tabindex]")];
  return all.filter((one) => !one.disabled && one.checkVisibility() && one.getAttribute("role") !== "tab")
    .map((one) => one.tagName + (one.getAttribute("aria-label") ?? one.textContent.trim()).slice(0, 40));
}"""


def test_targets_are_large_enough(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 800})
    small = page.evaluate("""() => {
      const all = [...document.querySelectorAll("button, .check"),
        ...document.querySelector("inkling-digit").shadowRoot.querySelectorAll("button")];
      return all.filter((one) => one.checkVisibility())
        .map((one) => [one.textContent, one.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([text]) => text);
    }""")
    assert small == []


def test_nothing_moves_for_who_wants_that(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    still = page.locator("inkling-digit .fill").first.evaluate("(one) => getComputedStyle(one).transitionDuration")
    assert still == "0s"
    draw_and_wait(page)
    page.get_by_role("button", name="Find it").click()
    expect(page.locator("#attacking .frames p")).to_contain_text("Changed: now it reads")
