"""The page at /: from a drawing to what it was read as, why, and what would have changed that."""

import json
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, Position, expect

from tests.browser.conftest import OpenPage
from tests.browser.hand import digit, draw_and_wait, shares
from tests.support.processes.servers import ROOT


def section(page: Page, name: str) -> object:
    return page.locator(f"#{name}")


def wait_for_maps(page: Page, cards: int = 4) -> None:
    expect(page.locator("#cards .card")).to_have_count(cards, timeout=20_000)
    expect(page.locator("#net-cards .card")).to_have_count(3, timeout=20_000)


def test_methods_and_nets_stand_side_by_side(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Try a 7").click()
    wait_for_maps(page)
    assert page.locator("#cards h3").all_inner_texts() == ["shapley", "lime", "integrated gradients", "grad cam"]
    assert page.locator("#net-cards h3").all_inner_texts() == [
        f"{net} reads 7 (> 99.9 %)" for net in ("CNN", "LSTM", "MLP")
    ]
    expect(page.locator("#cards .card").first).to_contain_text("Exact: nothing was guessed.")
    expect(page.locator("#agreement")).to_contain_text("shapley – lime")
    page.get_by_role("checkbox", name="saliency").check()
    wait_for_maps(page, 5)
    page.get_by_role("checkbox", name="lime").uncheck()
    wait_for_maps(page, 4)
    assert "lime" not in page.locator("#cards h3").all_inner_texts()


def test_equal_units_share_one_scale_with_zero_in_its_middle(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    wait_for_maps(page)
    shapley, lime, gradients = (
        page.locator("#cards .card").nth(place).locator(".legend").first.inner_text() for place in (0, 1, 2)
    )
    assert shapley == gradients != lime  # whose cells hold many pixels each
    low, high = shapley.split()
    assert low.replace("−", "+") == high


def test_a_pointer_reads_the_value_under_it(open_page: OpenPage) -> None:
    page = open_page()
    answer = draw_and_wait(page)
    wait_for_maps(page)
    card = page.locator("#cards .card").first
    column, row = 20, 8
    canvas = card.locator("canvas").first
    canvas.hover(position=on_card(canvas, column + 0.5, row + 0.5))
    value = answer["explanation"]["values"][row][column]
    expect(card.locator("output")).to_have_text(f"here: {precise(page, value)} logit")


def on_card(canvas: Locator, x: float, y: float) -> Position:
    """Where a point of the net's 28 x 28 pixels lies; around them the card has a tenth more of the picture."""
    box = canvas.bounding_box()
    assert box is not None
    unit = box["width"] / 1.1 / 28
    return {"x": box["width"] / 2 + (x - 14) * unit, "y": box["height"] / 2 + (y - 14) * unit}


def precise(page: Page, value: float) -> str:
    return str(page.evaluate("(value) => value.toPrecision(3)", value))


def test_a_threshold_leaves_only_the_strongest(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    wait_for_maps(page)
    before = coloured(page)
    page.get_by_label("Only the strongest").fill("0.8")
    left = f"({COLOURED})(document.querySelector('#cards canvas'))"
    page.wait_for_function(f"() => {left} > 0 && {left} < {before / 2}")
    page.locator("#scale").get_by_label("Strength of the colours").fill("0")
    assert coloured(page) == 0


COLOURED = """(map) => {
  const copy = new OffscreenCanvas(280, 280).getContext("2d", { willReadFrequently: true });
  copy.drawImage(map, 0, 0);
  const { data } = copy.getImageData(0, 0, 280, 280);
  return data.filter((v, i) => i % 4 === 0 && Math.abs(v - data[i + 2]) > 8).length;
}"""


def coloured(page: Page) -> int:
    """Pixels of the first map that are not grey."""
    return int(page.locator("#cards canvas").first.evaluate(COLOURED))


def test_rubbing_out_the_strongest_place_lowers_the_answer(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Try a 0").click()
    wait_for_maps(page)
    page.get_by_role("button", name="Rub out the strongest place").click()
    expect(page.locator("#erasing p[aria-live]")).to_contain_text("0 went from > 99.9 % to")
    assert shares(page)[0] < 0.5
    page.locator("#erasing").get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('inkling-digit').value === '0'")


def test_the_smallest_change_turns_the_answer_over(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    draw_and_wait(page)
    page.get_by_role("button", name="Find it").click()
    caption = page.locator("#attacking .frames p")
    expect(caption).to_contain_text("Changed: now it reads")
    page.get_by_label("How much of the change").fill("0")
    expect(caption).to_have_text("What the net saw")


def test_samples_are_read_as_what_they_are(open_page: OpenPage) -> None:
    page = open_page()
    for label in "0123456789":
        page.get_by_role("button", name=f"Try a {label}").click()
        page.wait_for_function("(label) => document.querySelector('inkling-digit').value === label", arg=label)


def test_another_net_can_be_chosen(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.get_by_role("radio", name="MLP").check()
    page.wait_for_function("() => document.querySelector('inkling-digit').explanation?.model.name === 'mlp'")
    wait_for_maps(page, 3)  # Grad-CAM needs a convolution


def test_a_link_opens_the_same_drawing(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    answer = draw_and_wait(page)
    page.get_by_role("button", name="Copy a link to this").click()
    link = page.evaluate("() => navigator.clipboard.readText()")
    again = open_page(link)
    again.wait_for_function("() => document.querySelector('inkling-digit').explanation")
    found = digit(again, "e.explanation")
    assert found["prediction"]["label"] == "7"
    assert abs(found["explanation"]["score"] - answer["explanation"]["score"]) < 1  # points in whole units


def test_a_link_that_was_cut_opens_an_empty_page(open_page: OpenPage) -> None:
    page = open_page("/?lang=en#ink=k.0.1c.%%%")
    expect(page.locator("inkling-digit .hint")).to_be_visible()
    assert digit(page, "e.strokes.length") == 0


def test_files_and_code_are_of_what_is_seen(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(accept_downloads=True)
    answer = draw_and_wait(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Numbers (JSON)").click()
    assert json.loads(Path(download.value.path()).read_text())["id"] == answer["id"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Map (PNG)").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    sent = bytes(digit(page, "e.toBlob().then(async (blob) => [...new Uint8Array(await blob.arrayBuffer())])"))
    (tmp_path / "digit.png").write_bytes(sent)
    curl = page.locator("#call").inner_text()
    done = subprocess.run(["bash", "-c", curl], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout)["id"] == answer["id"]
    page.get_by_role("tab", name="Python").click()
    code = page.locator("#call").inner_text()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert answer["alt"] in done.stdout.decode()


def test_the_report_has_all_that_it_takes_to_compute_it_again(open_page: OpenPage) -> None:
    page = open_page()
    answer = draw_and_wait(page)
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.get_by_role("button", name="One-page report").click()
    page.wait_for_function("() => window.printed")
    page.emulate_media(media="print")
    report = page.locator("#report")
    expect(report).to_be_visible()
    expect(page.locator("main")).to_be_hidden()
    for part in (answer["alt"], answer["model"]["digest"], answer["id"], "Exact: nothing was guessed.", "curl --data"):
        expect(report).to_contain_text(part)
    pages = page.pdf(format="A4").count(b"/Type /Page\n")
    assert pages <= 1


def test_the_page_speaks_chinese(open_page: OpenPage) -> None:
    page = open_page("/?lang=zh")
    expect(page.get_by_role("heading", name="1. 写")).to_be_visible()
    draw_and_wait(page)
    wait_for_maps(page)
    text = page.locator("main").inner_text() + digit(page, "e.shadowRoot.textContent")
    words = {word for word in text.replace("\n", " ").split() if word.isascii() and word.isalpha() and len(word) > 1}
    assert words <= KEPT, words - KEPT
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="1. Draw")).to_be_visible()
    assert digit(page, "e.strokes.length") == 1


KEPT = {  # names of methods, nets, units and languages
    "CNN", "LSTM", "MLP", "shapley", "lime", "occlusion", "rise", "saliency", "gradient", "input", "smooth", "grad",
    "square", "var", "integrated", "gradients", "expected", "cam", "attention", "curl", "Python", "JavaScript",
    "digit.png", "logit",
}  # fmt: skip


def test_what_the_net_sees_is_shown_and_every_step_has_words(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    expect(page.locator("#seen")).to_contain_text("light and dark exchanged, cut out, put in the middle")
    ink = page.locator("#seen canvas").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((v, i) => i % 4 === 0 && v < 100).length"
    )
    assert 30 < ink < 300
    table = (ROOT / "docs" / "pictures.md").read_text().split("| step | |")[1].split("\n\n")[0]
    steps = {
        step
        for line in table.splitlines()
        for step in re.findall("`([^`]+)`", line.split("|")[1:2][0] if "|" in line else "")
    }
    told = page.evaluate("async () => Object.keys((await import('/static/page/words.js')).WORDS.zh.steps)")
    assert {step for step in steps if "numbers" not in step} == set(told)


def test_a_map_can_be_checked(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.get_by_role("button", name="Check it").click()
    outcomes = re.compile("holds.*is better than|careful.*(not clearly|no) better|be checked.*too few", re.DOTALL)
    expect(page.locator("#check")).to_contain_text(outcomes)


def test_a_digit_lands_among_its_like(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.get_by_role("button", name="Show the map").click()
    label = page.evaluate("document.querySelector('inkling-digit').prediction.prediction.label")
    expect(page.locator("#landing")).to_contain_text(f"It lands among the {label}s")
    image = page.locator("#landing img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") == 720


def test_a_contrast_has_a_digit_at_each_end_of_its_scale(open_page: OpenPage) -> None:
    page = open_page()
    draw_and_wait(page)
    page.locator("inkling-digit").get_by_role("button", name="Why 7?").click()
    page.locator("inkling-digit").get_by_role("button", name="Why 1?").click()
    expect(page.locator("#cards .card").first).to_contain_text(re.compile("for 1.*for 7", re.DOTALL))
