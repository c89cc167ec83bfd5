"""What somebody who is new to the page does, and what would have left them in doubt."""

import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import OpenPage, opening
from tests.browser.hand import ONE, answer_after, count, digit, draw, draw_and_wait
from tests.browser.test_failures import FAILED, face
from tests.browser.test_page import on_card, wait_for_maps
from tests.support.processes.servers import Running, serving

BUSY = {"error": "busy now", "code": "busy", "request_id": "1"}


def test_an_answer_that_does_not_come_is_told_in_every_part_and_can_be_asked_for_again(open_page: OpenPage) -> None:
    page = open_page(expect=(FAILED,))
    page.route("**/v1/predict**", lambda route: route.fulfill(status=503, json=BUSY, headers={"Retry-After": "0"}))
    draw(page)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(face(page)).to_have_text("The server is busy.")  # and no word of another try, for there will be none
    for part in ("#cards", "#net-cards"):
        expect(page.locator(part)).to_have_text("There is no answer: part 1 says why.")
    page.unroute("**/v1/predict**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("inkling-digit .answer")).to_contain_text("7")
    wait_for_maps(page)


def test_what_was_read_before_is_not_said_of_a_picture_that_cannot_be_read(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/embed?lang=en", expect=(FAILED,))
    draw_and_wait(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    page.locator("inkling-digit input[type=file]").set_input_files(broken)
    expect(face(page)).not_to_have_text("")
    assert digit(page, "e.value") == "" and digit(page, "e.prediction") is None
    expect(page.locator("inkling-digit .answer")).to_have_text("")


def test_a_server_that_only_predicts_is_told_of(browser: Browser, server_folder: Path) -> None:
    with serving(server_folder, {"EXPLAIN": "off"}, explain="off") as running, opening(browser, running) as open_page:
        page = open_page(expect=(FAILED,))
        draw(page)
        expect(face(page)).to_have_text("There is no explanation here: this server only predicts.")


def test_errors_speak_the_language_of_the_page(open_page: OpenPage) -> None:
    page = open_page("/?lang=zh", expect=(FAILED, "ERR_"))
    draw_and_wait(page)
    page.route("**/v1/adversarial**", lambda route: route.abort())
    page.get_by_role("button", name="找找看").click()
    expect(page.locator("#attacking .error")).to_have_text("连不上服务器。")
    page.route("**/v1/explain**", lambda route: route.abort())
    page.get_by_role("button", name="热图（PNG）").click()
    expect(page.locator("#take .error")).to_have_text("连不上服务器。")
    page.get_by_role("button", name="English").click()
    expect(face(page)).to_contain_text("The server cannot be reached.")


def test_maps_that_fail_leave_those_of_the_nets(open_page: OpenPage) -> None:
    page = open_page(expect=(FAILED,))
    page.route(
        "**/v1/compare?methods**", lambda route: route.fulfill(status=503, json=BUSY, headers={"Retry-After": "0"})
    )
    draw_and_wait(page)
    expect(page.locator("#cards .error")).to_have_text("The server is busy.")
    expect(page.locator("#net-cards .card")).to_have_count(3)


def test_a_page_that_opens_while_the_server_is_busy_gets_its_parts(open_page: OpenPage, inkling: Running) -> None:
    page = open_page("/embed", expect=(FAILED,))
    busy = {"status": 503, "json": BUSY, "headers": {"Retry-After": "0"}}
    page.route("**/v1/models", lambda route: route.fulfill(**busy), times=1)
    page.goto(f"{inkling.url}/?lang=en")
    expect(page.locator("#methods label")).not_to_have_count(0)


def test_maps_are_asked_for_again_when_the_server_is_busy(open_page: OpenPage) -> None:
    page = open_page(expect=(FAILED,))
    busy = {"status": 503, "json": BUSY, "headers": {"Retry-After": "0"}}
    page.route("**/v1/compare?models**", lambda route: route.fulfill(**busy), times=1)
    draw_and_wait(page)
    wait_for_maps(page)


def test_old_maps_are_dimmed_while_new_ones_come_and_nothing_jumps(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    wait_for_maps(page)
    tops = "() => [...document.querySelectorAll('section')].map((one) => one.offsetTop)"
    before = page.evaluate(tops)
    page.route("**/v1/explain**", lambda route: None)
    draw(page, ((60, 200), (200, 200)))
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "true")
    assert page.evaluate(tops) == before


def test_the_chosen_net_is_the_one_that_answers(browser: Browser, server_folder: Path) -> None:
    with serving(server_folder, {"MODEL": "mlp"}, explain="ready") as running, opening(browser, running) as open_page:
        page = open_page()
        draw_and_wait(page)
        expect(page.get_by_role("radio", name="MLP")).to_be_checked()
        wait_for_maps(page, 3)
        expect(page.get_by_role("checkbox", name="grad cam")).to_be_disabled()  # it needs a convolution


def test_no_choice_is_ignored(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    for name in ("saliency", "occlusion"):
        page.get_by_role("checkbox", name=name).check()
    wait_for_maps(page, 6)
    expect(page.get_by_role("checkbox", name="rise")).to_be_disabled()
    expect(page.locator("#limit")).to_have_text("These are 6: take one away to choose another.")
    while page.locator("#methods input:checked").count():
        page.locator("#methods input:checked").first.uncheck()
    expect(page.locator("#cards")).to_have_text("Choose a way above.")


def test_rubbing_out_is_told_of_the_drawing_that_was_rubbed(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.get_by_role("button", name="Rub out the strongest place").click()
    told = page.locator("#erasing p[aria-live]")
    expect(told).to_contain_text("7 went from")
    page.get_by_role("button", name="Try a 3").click()
    page.wait_for_function("() => document.querySelector('inkling-digit').value === '3'")
    expect(told).to_have_text("")
    expect(page.locator("#erasing").get_by_role("button", name="Undo")).to_be_disabled()


def test_a_photo_that_the_browser_cannot_show_has_maps(open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    photo = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(photo).line([(80, 60), (200, 60), (130, 230)], 0, 22, joint="curve")
    photo.save(path)
    page = open_page()
    page.evaluate("() => { window.createImageBitmap = () => Promise.reject(new Error('a kind that is not known')); }")
    page.locator("inkling-digit input[type=file]").set_input_files(path)
    assert answer_after(page, "digit-explanation", 0)["prediction"]["label"] == "7"
    wait_for_maps(page)
    expect(page.locator("#take")).to_contain_text("A link holds a drawing, but no photo.")


def test_the_keyboard_and_a_tap_read_a_value(open_page: OpenPage) -> None:
    page = open_page(has_touch=True)
    draw_and_wait(page)
    wait_for_maps(page)
    card = page.locator("#cards .card").first
    card.locator("canvas").first.focus()
    page.keyboard.press("ArrowRight")
    expect(card.locator("output")).to_contain_text("here:")
    other = page.locator("#cards .card").nth(1)
    other.locator("canvas").first.tap(position=on_card(other.locator("canvas").first, 14, 14))
    expect(other.locator("output")).to_contain_text("here:")
    assert other.locator("canvas").first.evaluate("(one) => getComputedStyle(one).touchAction") == "pan-y"


def test_tabs_move_with_the_arrow_keys(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(page.locator("#call")).to_contain_text("urlopen")
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="JavaScript")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.role") != "tab"


def test_what_cannot_be_copied_by_itself_is_offered(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy a link to this").click()
    expect(page.get_by_label("Copy it from here")).to_have_value(re.compile("#ink="))


def test_your_own_picture_can_be_saved(open_page: OpenPage) -> None:
    page = open_page(accept_downloads=True)
    draw(page, ONE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Your picture (digit.png)").click()
    with Image.open(download.value.path()) as saved:
        assert saved.size == (280, 280)


@pytest.mark.parametrize(
    "hostile",
    ["~".join(["k.0.1c.1c.50.50"] * 2000), "k.0.zzzzzzzzzz.1c", "k.0", "k.0.NaN.1c.-", "k.0." + "9" * 400 + ".1"],
)
def test_a_link_that_is_damaged_draws_nothing_and_says_so(open_page: OpenPage, hostile: str) -> None:
    page = open_page("/?lang=en#ink=" + hostile)
    expect(page.get_by_text("This link is damaged")).to_be_visible()
    assert digit(page, "e.strokes.length") == 0 and page.evaluate("location.hash") == ""


def test_a_link_that_is_opened_in_the_same_tab_is_drawn(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.evaluate("() => { location.hash = '#ink=k.0.3w.1e.3u.3c.3w.6e'; }")
    page.wait_for_function("() => document.querySelector('inkling-digit').value === '1'")


def test_the_page_can_be_printed_without_a_report_and_no_report_is_old(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.emulate_media(media="print")
    expect(page.locator("main")).to_be_visible()
    page.emulate_media(media="screen")
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.get_by_role("button", name="One-page report").click()
    page.wait_for_function("() => window.printed")
    draw_and_wait(page, ONE)
    expect(page.locator("#report")).to_have_text("")


def test_a_frame_speaks_the_browsers_language(open_page: OpenPage) -> None:
    page = open_page("/embed", locale="zh-CN")
    expect(page.locator("inkling-digit .hint")).to_contain_text("写一个")
    assert page.evaluate("document.documentElement.lang") == "zh"


def test_the_smallest_change_can_be_found_twice(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="no-preference")
    draw_and_wait(page)
    find = page.get_by_role("button", name="Find it")
    find.click()
    mix = page.get_by_label("How much of the change")
    expect(mix).to_be_visible()
    mix.fill("0")
    for _ in range(3):
        page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    expect(mix).to_have_value("0")  # the animation does not take it out of the hand
    find.click()
    expect(page.locator("#attacking .frames p")).to_contain_text("Changed: now it reads")


def test_nothing_jumps_while_the_next_reasons_are_worked_out(open_page: OpenPage) -> None:
    page = open_page("/?lang=en")
    draw_and_wait(page)
    wait_for_maps(page)
    expect(page.locator("#seen canvas")).to_be_visible()
    before = places(page)
    page.route("**/v1/explain**", lambda route: None)
    draw(page, ((60, 200), (200, 200)))
    answer_after(page, "digit-prediction", count(page, "digit-prediction") - 1)
    assert places(page) == before
    expect(page.locator("inkling-digit .why")).to_have_attribute("aria-busy", "true")


def test_the_samples_stay_where_they_are_when_one_is_taken(open_page: OpenPage) -> None:
    page = open_page("/?lang=en")
    sample = page.get_by_role("button", name="Try a 3")
    expect(page.get_by_role("radio", name="CNN")).to_be_visible()
    before = sample.bounding_box()
    sample.click()
    answer_after(page, "digit-explanation", 0)
    assert sample.bounding_box() == before


def places(page: Page) -> list[float]:
    found: list[float] = page.evaluate(
        "() => [...document.querySelectorAll('section')].slice(0, 2).map((one) => one.offsetTop)"
    )
    return found


def test_a_digit_that_could_be_two_says_so(open_page: OpenPage) -> None:
    page = open_page()

    def doubtful(route: Route) -> None:
        answer = route.fetch()
        several = {"labels": ["7", "1"], "coverage": 0.999, "n": 1000}
        found = answer.json()
        known = {**found["in_distribution"], "ok": True}  # what has a set looks like a digit
        route.fulfill(response=answer, json={**found, "prediction_set": several, "in_distribution": known})

    draw_and_wait(page)
    expect(page.locator("inkling-digit .warning")).to_have_count(0)
    page.route("**/v1/predict**", doubtful)
    draw(page, ONE)
    expect(page.locator("inkling-digit .warning")).to_have_text("It could be 7 or 1.")
    page.unroute_all(behavior="wait")  # else what is still asked fails in the test that comes next
