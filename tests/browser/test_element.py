"""Drawing on <inkling-digit>: what is drawn is read, explained, undone, kept, and told to the page around it."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Error, Page, Route, expect

from server.render.colours import heat
from tests.browser.conftest import OpenPage, opening
from tests.browser.hand import (
    ONE,
    SEVEN,
    Line,
    answer_after,
    between,
    count,
    digit,
    draw,
    draw_and_wait,
    explanation_after,
    on_screen,
    pad,
    shares,
)  # fmt: skip
from tests.support.processes.servers import ROOT, serving


def test_a_seven_is_read_and_its_map_lies_on_the_stroke(open_page: OpenPage) -> None:
    page = open_page("/embed?live&lang=en")
    answer = draw_and_wait(page)
    assert answer["prediction"]["label"] == "7" and digit(page, "e.value") == "7"
    assert np.argmax(shares(page)) == 7 and count(page, "digit-prediction") > 1  # while drawing, too
    sure = answer["prediction"]["probability"]
    percent = "> 99.9 %" if sure > 0.9995 else f"{sure:.1%}".replace("%", " %")
    expect(page.locator("inkling-digit .answer")).to_have_text(f"It reads 7 ({percent})")
    assert sure > 0.99
    hottest = np.unravel_index(np.argmax(answer["explanation"]["values"]), (28, 28))
    row, column = (float(place) for place in hottest)
    a, _, c, _, e, f = answer["preprocessing"]["transform"]
    x, y = a * (column + 0.5) + c, e * (row + 0.5) + f
    segment = np.array(answer["explanation"]["segments"])
    rows, columns = np.nonzero(segment == segment[int(row), int(column)])
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    on_stroke = [(px, py) for px, py in SEVEN if left <= (px - c) / a <= right and top <= (py - f) / e <= bottom]
    assert on_stroke, (x, y)
    painted = page.locator("inkling-digit canvas.map").evaluate(
        "(map, [x, y]) => [...map.getContext('2d').getImageData(x / 280 * map.width, y / 280 * map.height, 1, 1).data]",
        [x, y],
    )
    assert painted[3] > 150 and painted[0] > painted[2]  # opaque, and redder than blue


def test_colours_are_those_of_the_server(open_page: OpenPage) -> None:
    page = open_page("/embed")
    levels = np.linspace(-1, 1, 41)
    for signed in (True, False):
        found = page.evaluate(
            "async ([levels, signed]) => { const { heat } = await import('/static/element/heat.js');"
            " return levels.map((level) => heat(level, signed)); }",
            [levels.tolist(), signed],
        )
        colours, opacity = heat(levels, signed)
        np.testing.assert_allclose(found, np.column_stack([colours * 255, opacity]), atol=1e-9)


def test_all_that_was_drawn_can_be_undone_and_done_again(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    buttons = {name: page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo", "Clear")}
    expect(buttons["Undo"]).to_be_disabled()
    draw(page, SEVEN)
    draw(page, ((80, 150), (180, 150)))
    buttons["Clear"].click()
    assert digit(page, "e.strokes.length") == 0
    buttons["Undo"].click()
    assert digit(page, "e.strokes.length") == 2
    buttons["Undo"].click()
    assert digit(page, "e.strokes.length") == 1
    buttons["Redo"].click()
    assert digit(page, "e.strokes.length") == 2
    pad(page).press("Control+z")
    assert digit(page, "e.strokes.length") == 1
    draw(page, ONE)
    expect(buttons["Redo"]).to_be_disabled()


def test_clearing_takes_the_answer_away(open_page: OpenPage) -> None:
    page = open_page("/embed")
    draw_and_wait(page)
    page.get_by_role("button", name="Clear").click()
    assert set(shares(page)) == {0.0} and digit(page, "e.value") == ""
    expect(page.locator("inkling-digit .hint")).to_be_visible()
    expect(page.locator("inkling-digit canvas.map")).to_be_hidden()


def test_another_size_or_pixel_ratio_loses_no_ink(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=", viewport={"width": 700, "height": 700})
    draw(page)
    strokes, before = digit(page, "e.strokes"), inked(page)
    page.set_viewport_size({"width": 330, "height": 700})
    page.context.new_cdp_session(page).send(
        "Emulation.setDeviceMetricsOverride",
        {"width": 700, "height": 330, "deviceScaleFactor": 3, "mobile": True},
    )
    page.wait_for_function("() => document.querySelector('inkling-digit').shadowRoot.querySelector('.pad').width > 600")
    assert digit(page, "e.strokes") == strokes and abs(inked(page) - before) < 0.01


def inked(page: Page) -> float:
    """The part of the pad that has ink."""
    return float(pad(page).evaluate(INKED))


INKED = """(pad) => {
  const copy = new OffscreenCanvas(pad.width, pad.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(pad, 0, 0);
  const { data } = copy.getImageData(0, 0, pad.width, pad.height);
  return data.filter((value, place) => place % 4 === 3 && value > 127).length / pad.width / pad.height;
}"""


def test_the_rubber_takes_ink_away(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    draw(page)
    before = inked(page)
    page.get_by_role("button", name="Eraser").click()
    draw(page, ((60, 60), (200, 60)))
    assert inked(page) < before * 0.75


def test_a_pen_draws_wider_when_it_is_pressed(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    widths = []
    for force in (0.1, 0.9):
        page.get_by_role("button", name="Clear").click() if widths else None
        pen(page, ONE, force)
        widths.append(inked(page))
    assert digit(page, "e.strokes[0].pressed")
    assert widths[1] > widths[0] * 1.3


def pen(page: Page, line: Line, force: float) -> None:
    session = page.context.new_cdp_session(page)
    points = on_screen(page, line)
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        pressed = {"force": force, "buttons": 1} if kind != "mouseReleased" else {"buttons": 0}
        event = {"type": kind, "x": x, "y": y, "pointerType": "pen", "button": "left", "clickCount": 1, **pressed}
        session.send("Input.dispatchMouseEvent", event)


def test_a_finger_draws_and_the_page_does_not_move(open_page: OpenPage) -> None:
    page = open_page("/?lang=en", viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    session = page.context.new_cdp_session(page)
    points = on_screen(page, between(SEVEN, 8))
    before = page.evaluate("scrollY")
    for place, (x, y) in enumerate(points):
        kind = "touchStart" if place == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y, "force": 0.5}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert answer_after(page, "digit-prediction", 0)["prediction"]["label"] == "7"
    assert page.evaluate("scrollY") == before


def test_the_keyboard_draws_too(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=&lang=en")
    pad(page).focus()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    for _ in range(13):
        page.keyboard.press("Shift+ArrowDown")
    page.wait_for_function("() => document.querySelector('inkling-digit').value === '1'")
    drawn = inked(page)
    page.keyboard.press("Delete")
    assert inked(page) < drawn
    spoken = page.locator("inkling-digit .live")
    expect(spoken).to_contain_text("row 17, column 10")


def test_two_bars_ask_why_one_and_not_the_other(open_page: OpenPage) -> None:
    page = open_page("/embed?lang=en")
    draw_and_wait(page)
    rows = page.locator("inkling-digit").get_by_role("button", name="Why")
    rows.nth(7).click()
    assert explanation_after(page, 1)["target"] == {"class": 7, "versus": None, "label": "7"}
    rows.nth(1).click()
    answer = explanation_after(page, 2)
    assert (answer["target"]["class"], answer["target"]["versus"]) == (7, 1)
    expect(page.locator("inkling-digit h2")).to_have_text("Why 7 and not 1")
    assert [rows.nth(index).get_attribute("aria-pressed") for index in (7, 1, 0)] == ["true", "true", "false"]
    rows.nth(1).click()
    assert explanation_after(page, 3)["target"]["versus"] is None


def test_a_late_answer_is_dropped(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    held: list[Route] = []
    page.route("**/v1/predict**", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/v1/predict**"):
        draw(page, ONE)
    draw(page, ((60, 60), (200, 60), (120, 235)))
    seven = answer_after(page, "digit-prediction", 0)
    late = {**seven, "prediction": {"class": 1, "label": "1", "probability": 1.0}}
    with suppress(Error):  # the browser does not wait for it any more
        held[0].fulfill(json=late)
    page.get_by_role("button", name="Eraser").click()
    assert digit(page, "e.value") == seven["prediction"]["label"] and count(page, "digit-prediction") == 1


def test_two_hundred_strokes_hold_little_memory(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    session = page.context.new_cdp_session(page)

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    draw(page, ONE)
    before = heap()
    digit(page, "(e.strokes = Array.from({ length: 200 }, (_, i) => ({ ...e.strokes[0], size: 8 + (i % 20) })), null)")
    for _ in range(5):
        draw(page, SEVEN)
    assert digit(page, "e.strokes.length") == 205
    assert heap() - before < 4e6


def test_what_is_no_digit_and_several_digits_are_told(open_page: OpenPage) -> None:
    page = open_page("/embed?lang=en&methods=")
    notes = page.locator("inkling-digit .notes")
    for x in (30, 210):
        draw(page, ((x, 60), (x + 2, 130), (x, 220)))
    expect(notes).to_contain_text("There is more than one thing here (2)")
    page.get_by_role("button", name="Clear").click()
    for y in range(60, 240, 40):
        draw(page, ((40, y), (240, y)))
        draw(page, ((y, 40), (y, 240)))
    expect(notes).to_contain_text("This does not look like a digit")


def test_a_picture_can_be_pasted_and_dropped(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    draw(page)
    page.evaluate("async () => { window.seven = await document.querySelector('inkling-digit').toBlob(); }")
    for kind, holder in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.get_by_role("button", name="Clear").click()
        assert digit(page, "e.value") == ""
        page.evaluate(GIVEN, [kind, holder])
        page.wait_for_function("() => document.querySelector('inkling-digit').value === '7'")


GIVEN = """([kind, holder]) => {
  const digit = document.querySelector("inkling-digit");
  const data = new DataTransfer();
  data.items.add(new File([window.seven], "seven.png", { type: "image/png" }));
  const event = new Event(kind, { bubbles: true, cancelable: true });
  Object.defineProperty(event, holder, { value: data });
  (kind === "paste" ? digit : digit.shadowRoot.querySelector(".paper")).dispatchEvent(event);
}"""


def test_a_palm_beside_the_pen_draws_nothing(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=", has_touch=True)
    pen(page, ONE, 0.5)
    session = page.context.new_cdp_session(page)
    (x, y), *_ = on_screen(page, ((220, 220),))
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert digit(page, "e.strokes.length") == 1


def test_classes_have_the_names_that_the_net_gives_them(browser: Browser, server_folder: Path) -> None:
    shutil.copytree(ROOT / "model_store" / "mlp", server_folder / "store" / "mlp")
    card = next((server_folder / "store" / "mlp").glob("*/assets.extra/model_card.json"))
    named = json.loads(card.read_text()) | {"classes": [f"digit {label}" for label in "0123456789"]}
    card.write_text(json.dumps(named))
    settings = {"MODEL_STORE": str(server_folder / "store"), "MODEL": "mlp"}
    with serving(server_folder, settings, explain="ready") as running, opening(browser, running) as open_page:
        page = open_page("/embed?lang=en")
        answer = draw_and_wait(page)
        expect(page.locator("inkling-digit .row button").first).to_have_text("digit 0")
        assert answer["prediction"]["label"].startswith("digit")
