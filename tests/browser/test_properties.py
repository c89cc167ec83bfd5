"""The element as frameworks and forms use it: properties, attributes, and what was set before its script came."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.hand import ONE, SEVEN, answer_after, digit, draw, pad

FIRST = "document.querySelector('inkling-digit')"


def test_what_was_set_before_the_script_came_is_kept(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    draw(page, ONE)
    later = page.evaluate("""async () => {
      const { InklingDigit } = await import("/static/element/inkling-digit.js");
      const early = Object.assign(document.createElement("inkling-later"), {
        key: "k", model: "mlp", live: true, strokes: document.querySelector("inkling-digit").strokes });
      document.body.append(early);
      customElements.define("inkling-later", class extends InklingDigit {});
      return [early.key, early.getAttribute("model"), early.hasAttribute("live"), early.strokes.length];
    }""")
    assert later == ["k", "mlp", True, 1]
    page.wait_for_function("() => document.querySelector('inkling-later').value === '1'")


@pytest.mark.parametrize("name", ["endpoint", "model", "methods", "versus", "name"])
def test_attributes_are_properties(open_page: OpenPage, name: str) -> None:
    page = open_page("/embed")
    digit(page, f"(e.removeAttribute('{name}'), e.{name} = '1', null)")
    assert digit(page, f"[e.{name}, e.getAttribute('{name}')]") == ["1", "1"]
    digit(page, f"(e.{name} = null)")
    assert digit(page, f"[e.{name}, e.hasAttribute('{name}')]") == [None, False]


def test_an_endpoint_is_extended_whether_it_ends_with_a_slash(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=", expect=("404",))
    digit(page, "(e.endpoint = '/below', null)")
    with page.expect_request("**/below/v1/predict**"):
        draw(page)


def test_an_element_that_is_removed_is_forgotten_and_one_that_comes_back_goes_on(open_page: OpenPage) -> None:
    page = open_page("/embed?lang=en")
    page.route("**/v1/explain**", lambda route: None, times=1)  # no answer before it is removed
    draw(page)
    answer_after(page, "digit-prediction", 0)
    digit(page, "(window.kept = e, e.remove(), e.model = 'mlp', null)")
    assert page.evaluate("() => window.kept.value") == ""  # another net has not read it
    page.evaluate("() => document.body.append(window.kept)")
    assert answer_after(page, "digit-explanation", 0)["model"]["name"] == "mlp"


def test_dark_mode_is_not_listened_to_after_removal(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    digit(page, "(window.kept = e, window.painted = 0, null)")
    pad(page).evaluate(
        """(pad) => {
          const { getContext } = pad;
          pad.getContext = (...kind) => (window.painted++, getContext.apply(pad, kind));
        }"""
    )
    page.evaluate("() => window.kept.remove()")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    before = page.evaluate("() => window.painted")
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("() => window.painted") == before


def test_a_stroke_that_removal_cut_off_is_not_gone_on_with(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    box = pad(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    digit(page, "(window.kept = e, e.remove(), null)")
    page.mouse.up()
    page.evaluate("() => document.body.append(window.kept)")
    draw(page, SEVEN)
    assert digit(page, "e.strokes.length") == 1
    assert round(digit(page, "e.strokes[0].points[0][0]")) == SEVEN[0][0]


def test_another_pixel_ratio_alone_sharpens_the_pad(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=", viewport={"width": 700, "height": 700})
    before = pad(page).evaluate("(pad) => pad.width")
    session = page.context.new_cdp_session(page)
    metrics = {"width": 700, "height": 700, "deviceScaleFactor": 2, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", metrics)
    page.evaluate("() => window.dispatchEvent(new Event('resize'))")  # as zoom does, and the emulation does not
    page.wait_for_function(f"() => {FIRST}.shadowRoot.querySelector('.pad').width === {2 * before}")


def test_a_disabled_fieldset_disables_it(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    page.evaluate(f"""() => {{
      const fieldset = document.createElement("fieldset");
      document.body.append(fieldset);
      fieldset.append({FIRST});
      fieldset.disabled = true;
    }}""")
    draw(page)
    assert digit(page, "e.strokes.length") == 0
    page.evaluate("() => { document.querySelector('fieldset').disabled = false; }")
    draw(page)
    assert digit(page, "e.strokes.length") == 1


def test_the_last_of_two_pictures_stays(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=")
    draw(page)
    name = page.evaluate(f"""async () => {{
      const digit = {FIRST};
      const seven = await digit.toBlob();
      const decode = window.createImageBitmap;
      let held;
      const later = (of) => new Promise((done) => (held = () => done(decode(...of))));
      window.createImageBitmap = (...of) => (held ? decode(...of) : later(of));
      const first = digit.open(new File([seven], "first.png"));
      await digit.open(new File([seven], "second.png"));
      held();
      await first;
      return digit.picture.name;
    }}""")
    assert name == "second.png"


def test_what_a_getter_of_keys_says_is_told(open_page: OpenPage) -> None:
    page = open_page("/embed?methods=&lang=en")
    digit(page, "(e.getToken = async () => { throw new Error('please log in'); }, null)")
    draw(page)
    expect(page.locator("inkling-digit .error")).to_contain_text("please log in")
