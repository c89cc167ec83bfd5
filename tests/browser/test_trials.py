"""The page and the element ask by the method that the net's trial says to believe, and say so."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import OpenPage, opening
from tests.browser.hand import draw_and_wait
from tests.support.models.stores import add_trial, copy_version, drop_trial
from tests.support.models.trials import TRIED, tried
from tests.support.processes.servers import serving


@pytest.fixture
def open_tried(browser: Browser, tmp_path: Path, server_folder: Path) -> Iterator[OpenPage]:
    """Pages of a server whose only net was tried: `occlusion` is to be believed, with other options than usual."""
    add_trial(copy_version(tmp_path / "store", 1), TRIED)
    settings = {"MODEL_STORE": str(tmp_path / "store"), "MODEL": "mlp"}
    with serving(server_folder, settings, explain="ready") as running, opening(browser, running) as open_one:
        yield open_one


def test_the_page_asks_by_the_best_method_and_takes_its_options_along(open_tried: OpenPage, tmp_path: Path) -> None:
    page = open_tried()
    answer = draw_and_wait(page)
    assert answer["explanation"]["method"] == "occlusion"
    assert answer["explanation"]["options"] == tried("occlusion", patch=5, stride=1)["options"]
    summary = "On nets like this one whose cause is known, occlusion named it in 300 of 300 pictures."
    assert answer["trial"]["summary"] == summary
    expect(page.locator("inkling-digit")).to_contain_text(summary)
    expect(page.locator("#cards .card").nth(1)).to_contain_text("lime named it in 110 of 300 pictures; do not")
    call = page.locator("#call").inner_text()
    assert "method=occlusion&patch=5&stride=1" in call and "baseline" not in call
    with page.expect_download() as download:
        page.get_by_role("button", name="Your picture").click()
    download.value.save_as(tmp_path / "digit.png")
    done = subprocess.run(["bash", "-c", call], cwd=tmp_path, capture_output=True, check=True)
    assert answer["id"] in done.stdout.decode()
    with page.expect_response(lambda response: "quality=true" in response.url) as checked:
        page.get_by_role("button", name="Check it").click()
    assert checked.value.json()["id"] == answer["id"]


def test_methods_of_its_own_are_asked_instead(open_tried: OpenPage) -> None:
    assert draw_and_wait(open_tried("/embed?methods=lime"))["explanation"]["method"] == "lime"


def test_without_a_trial_the_best_is_shapley(browser: Browser, tmp_path: Path, server_folder: Path) -> None:
    drop_trial(copy_version(tmp_path / "store", 1))
    settings = {"MODEL_STORE": str(tmp_path / "store"), "MODEL": "mlp"}
    with serving(server_folder, settings, explain="ready") as running, opening(browser, running) as open_page:
        page = open_page()
        with page.expect_response(lambda response: "v1/explain" in response.url) as asked:
            answer = draw_and_wait(page)
        assert "method=best" in asked.value.url
        assert (answer["explanation"]["method"], answer["trial"]) == ("shapley", None)
