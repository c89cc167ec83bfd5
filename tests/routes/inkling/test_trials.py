"""Over HTTP: what a version's trial says goes with every explanation, chooses the method `best`, and is listed."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.render.legend import FRAME
from tests.conftest import MakeApp
from tests.support.answers import check_error, post_explain
from tests.support.models.stores import GRADIENT, SEVEN, form, write_version
from tests.support.models.trials import KINDS, TRIED, trial, tried

BEST = tried("occlusion", patch=5, stride=1)["options"]
ROW = {"instances": [[0.5] * 784]}
TENSOR = {"name": "images", "datatype": "FP32", "shape": [1, 784], "data": [0.5] * 784}


@pytest.fixture(scope="module")
def tried_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fake` was tried as version 2, `failed` and `plain` by other results; version 1 of `fake` was not."""
    root = tmp_path_factory.mktemp("tried")
    write_version(root, "fake", "1")
    write_version(root, "fake", "2", trial=TRIED)
    write_version(root, "failed", "1", trial=trial(tried("saliency", named=10), tried("lime", yardstick=0.1)))
    write_version(root, "plain", "1", GRADIENT, trial=trial(tried("grad_cam", yardstick=0.9), tried("saliency")))
    return root


@pytest.fixture
def client(make_app: MakeApp, tried_store: Path, tmp_path: Path) -> FlaskClient:
    return make_app(model_store=tried_store, records=tmp_path / "file").test_client()


def test_an_answer_says_how_its_method_did(client: FlaskClient) -> None:
    answer = post_explain(client, "?method=shapley")
    summary = answer["trial"].pop("summary")
    low, high = answer["trial"].pop("interval")
    assert low == pytest.approx(0.961, abs=1e-3) and high == pytest.approx(0.993, abs=1e-3)
    assert answer["trial"] == {
        "named_cause": [295, 300],
        "yardstick": 0.6,
        "ink": 0.27,
        "flagged": False,
        "kinds": {kind: [59, 60] for kind in KINDS},
    }
    assert summary == "On nets like this one whose cause is known, shapley named it in 295 of 300 pictures."
    assert answer["alt"].endswith(f" {summary}")


@pytest.mark.parametrize(
    ("method", "english", "chinese"),
    [
        (
            "lime",
            "lime named it in 110 of 300 pictures; do not take its word.",
            "lime 在 300 幅图中有 110 幅指出了原因；请不要相信它。",
        ),
        (
            "saliency",
            "saliency named it in 300 of 300 pictures, but it loses to the ink alone; do not take its word.",
            "saliency 在 300 幅图中有 300 幅指出了原因，但还不如墨迹本身；请不要相信它。",
        ),
    ],
)
def test_a_flagged_method_is_told_to_be_so(client: FlaskClient, method: str, english: str, chinese: str) -> None:
    for lang, told in (("en", english), ("zh", chinese)):
        answer = post_explain(client, f"?method={method}&lang={lang}")
        assert answer["trial"]["flagged"] is True
        assert answer["trial"]["summary"].endswith(told)
        assert answer["alt"].endswith(answer["trial"]["summary"])


@pytest.mark.parametrize(
    "query", ["?version=1", "?method=rise&n_samples=50", "?method=shapley&grid=6", "?method=shapley&output=probability"]
)
def test_what_was_not_tried_says_null(client: FlaskClient, query: str) -> None:
    answer = post_explain(client, query)
    assert answer["trial"] is None
    assert "cause is known" not in answer["alt"]


def test_a_kept_explanation_says_the_same_again(client: FlaskClient) -> None:
    first = post_explain(client, "?method=lime")
    again = client.get(first["links"]["self"])
    assert again.get_json() == first
    assert post_explain(client, "?method=lime") == first


def test_other_dialects_say_it_too(client: FlaskClient) -> None:
    asked = {"parameters": {"method": "best"}}
    served = client.post("/v1/models/fake:explain", json={**ROW, **asked}).get_json()["explanations"][0]
    assert served["explanation"]["method"] == "occlusion"
    assert served["trial"]["named_cause"] == [300, 300]
    outputs = client.post("/v2/models/fake/explain", json={"inputs": [TENSOR], **asked}).get_json()["outputs"]
    certificates = next(one["data"] for one in outputs if one["name"] == "certificates")
    assert '"method":"occlusion"' in certificates[0]
    assert '"named_cause":[300,300]' in certificates[0]


# method=best


def test_best_is_the_method_with_the_options_that_were_tried(client: FlaskClient) -> None:
    answer = post_explain(client, "?method=best")
    assert (answer["explanation"]["method"], answer["explanation"]["options"]) == ("occlusion", BEST)
    named = post_explain(client, "?method=occlusion&patch=5&stride=1")
    assert answer["id"] == named["id"]
    assert answer == named


def test_best_of_several_pictures_and_of_another_version(client: FlaskClient) -> None:
    results = client.post("/v1/explain?method=best&version=1", data=form(SEVEN, SEVEN)).get_json()["results"]
    assert [one["explanation"]["method"] for one in results] == ["shapley", "shapley"]
    assert post_explain(client, "?method=best&model=plain")["explanation"]["method"] == "saliency"


def test_the_default_stays_shapley(client: FlaskClient) -> None:
    assert post_explain(client)["explanation"]["method"] == "shapley"


@pytest.mark.parametrize(
    ("address", "status", "code", "words"),
    [
        ("/v1/explain?method=best&patch=5", 400, "invalid_option", ("patch", "name the method")),
        ("/v1/explain?method=best&engine=reference", 400, "invalid_option", ("engine", "name the method")),
        ("/v1/explain?method=best&budgt_ms=5", 400, "unknown_option", ("did you mean 'budget_ms'?",)),
        ("/v1/explain?method=bets", 404, "unknown_method", ()),
        ("/v1/compare?methods=best,lime&best.patch=5", 400, "invalid_option", ("patch", "name the method")),
        ("/v1/adversarial?method=best", 404, "unknown_method", ("pgd",)),
    ],
)
def test_mistakes_beside_best_are_told(
    client: FlaskClient, address: str, status: int, code: str, words: tuple[str, ...]
) -> None:
    check_error(client.post(address, data=SEVEN), status, code, words)


def test_best_of_other_dialects_takes_no_options_either(client: FlaskClient) -> None:
    parameters = {"parameters": {"method": "best", "patch": 5}}
    for answer in (
        client.post("/v1/models/fake:explain", json={**ROW, **parameters}),
        client.post("/v2/models/fake/explain", json={"inputs": [TENSOR], **parameters}),
    ):
        check_error(answer, 400, "invalid_option", ("patch", "name the method"))


# Lists


def test_methods_say_what_best_is(client: FlaskClient, make_app: MakeApp) -> None:
    listed = client.get("/v1/methods").get_json()
    assert listed["default"] == "shapley"
    assert listed["best"]["name"] == "best"
    assert listed["best"]["models"] == {
        "failed": {"method": "saliency", "options": {}, "tried": True},
        "fake": {"method": "occlusion", "options": BEST, "tried": True},
        "plain": {"method": "saliency", "options": {}, "tried": True},
    }
    untried = make_app().test_client().get("/v1/methods").get_json()["best"]["models"]["fake"]
    assert (untried["method"], untried["tried"]) == ("shapley", False)


def test_models_list_what_the_trial_of_each_version_found(client: FlaskClient) -> None:
    fake = client.get("/v1/models/fake").get_json()
    assert fake["trials"]["1"] is None
    found = fake["trials"]["2"]
    assert (found["pictures"], found["digits"], found["controls"]) == (60, 500, {"ink": 0.27, "random": -0.02})
    ranks = [(one["rank"], one["method"], one["flagged"]) for one in found["results"]]
    assert ranks == [(1, "occlusion", False), (2, "shapley", False), (3, "lime", True), (4, "saliency", True)]
    first = found["results"][0]
    assert (first["options"], first["named_cause"], first["yardstick"]) == (BEST, [300, 300], 0.78)
    assert first["yardstick_interval"] == pytest.approx([0.75, 0.81])
    assert fake in client.get("/v1/models").get_json()["details"]


# Comparisons


def compared(client: FlaskClient, query: str) -> dict[str, Any]:
    response = client.post(f"/v1/compare?{query}", data=SEVEN)
    assert response.status_code == 200, response.data
    answer: dict[str, Any] = response.get_json()
    return answer


OCCLUSION = "occlusion.patch=5&occlusion.stride=1"


def test_a_comparison_names_the_method_to_believe(client: FlaskClient) -> None:
    answer = compared(client, f"methods=lime,shapley,occlusion,rise&{OCCLUSION}&rise.n_samples=50")
    why = answer["believe"].pop("why")
    assert answer["believe"] == {"index": 2, "method": "occlusion"}
    assert why == (
        "Of these, believe occlusion: it named a known cause in 300 of 300 pictures, and its yardstick is 0.78, that "
        "of the ink alone 0.27."
    )
    assert why in answer["alt"]
    assert [one["trial"] is None for one in answer["explanations"]] == [False, False, False, True]
    chinese = compared(client, f"methods=lime,shapley,occlusion&{OCCLUSION}&lang=zh")
    assert chinese["believe"]["why"].startswith("其中可信的是 occlusion：")
    assert chinese["believe"]["why"] in chinese["alt"]


@pytest.mark.parametrize(
    ("query", "why", "is_in_alt"),
    [
        ("methods=lime,saliency", "Believe none of these", True),
        ("methods=rise,expected_gradients&rise.n_samples=50", "None of these was tried", False),
        ("methods=shapley,lime&version=1", "None of these was tried", False),
        ("models=fake,failed&method=saliency", "these are of different nets", False),
        ("models=fake,failed&method=best", "these are of different nets", False),
        ("versions=1,2&method=saliency", "these are of different nets", False),
    ],
)
def test_or_says_why_there_is_none(client: FlaskClient, query: str, why: str, is_in_alt: bool) -> None:
    answer = compared(client, query)
    assert (answer["believe"]["index"], answer["believe"]["method"]) == (None, None)
    assert why in answer["believe"]["why"]
    assert (answer["believe"]["why"] in answer["alt"]) is is_in_alt
    assert compared(client, f"{query}&lang=zh")["believe"]["why"] != answer["believe"]["why"]


def test_best_can_be_compared(client: FlaskClient) -> None:
    answer = compared(client, f"methods=shapley,best,occlusion&{OCCLUSION}")
    assert [one["explanation"]["method"] for one in answer["explanations"]] == ["shapley", "occlusion", "occlusion"]
    assert answer["believe"]["index"] == 1
    assert answer["believe"]["why"].startswith("Of these, believe occlusion (2): ")


def test_versions_whose_best_methods_differ_have_no_difference(client: FlaskClient) -> None:
    answer = compared(client, "versions=1,2&method=best")
    assert [one["explanation"]["method"] for one in answer["explanations"]] == ["shapley", "occlusion"]
    assert answer["difference"] is None
    assert compared(client, "versions=1,2&method=shapley")["difference"] is not None


def test_the_picture_of_a_comparison_marks_them(client: FlaskClient) -> None:
    """A frame around what is flagged, and a line below the one to believe."""
    picture = client.post(f"/v1/compare?methods=lime,occlusion&{OCCLUSION}&format=png", data=SEVEN).data
    with Image.open(BytesIO(picture)) as image:
        pixels, told = np.asarray(image.convert("RGB")), image.info["Description"]
    assert "Of these, believe occlusion" in told
    left, right = np.split(pixels, 2, axis=1)
    grey = np.frombuffer(bytes.fromhex(FRAME[1:]), np.uint8)
    framed = [(half == grey).all(axis=2).sum() for half in (left, right)]
    assert framed[0] > 1000 > 100 > framed[1]
    heights = []
    for version in (1, 2):  # of which 2 was tried; neither method is flagged
        ask = f"/v1/compare?methods=shapley,occlusion&{OCCLUSION}&version={version}&format=png"
        with Image.open(BytesIO(client.post(ask, data=SEVEN).data)) as image:
            heights.append(image.height)
    assert heights[1] == heights[0] + 18
