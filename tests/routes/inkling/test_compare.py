"""Several explanations of one picture: that they share what they ask, agree as computed by hand, and differ by what two
versions differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from scipy.stats import spearmanr

from server.errors import OutOfTime
from server.inference.compare import compare, rank_correlations
from server.inference.explain import ExplainRequest
from server.inference.predict import ModelSelector
from server.models.repository.store import LoadedModel, LoadedVersion
from server.protocols import RequestContext
from server.scheduling import ImmediateSession
from server.types import Array, ModelCard, Picture
from tests.conftest import MakeApp
from tests.inference.test_inference import Hourglass, One
from tests.support.answers import MODEL, check_error, digit, errors_in, post_explain
from tests.support.explanations import explanation
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import SEVEN, card_28, encoded, form


class Louder(Linear):
    """Twice the weights of Linear."""

    def directions(self) -> Array:
        return 2 * super().directions()


def by_version(path: Path, card: ModelCard) -> Fake:
    return (Louder if card.version == "10" else Linear)(card, card.verbs)


def compared(client: FlaskClient, query: str) -> dict[str, Any]:
    response = client.post(f"/v1/compare?{query}", data=SEVEN)
    assert response.status_code == 200, response.data
    answer: dict[str, Any] = response.get_json()
    return answer


METHODS = ("shapley", "lime", "saliency", "integrated_gradients", "occlusion")
BLANK = encoded(Image.new("L", (28, 28), 0))


def test_each_member_is_what_explain_says_alone(client: FlaskClient) -> None:
    answer = compared(client, f"methods={','.join(METHODS)}&seed=3&lime.n_samples=400&target=2&versus=5")
    for method, one in zip(METHODS, answer["explanations"], strict=True):
        more = "&n_samples=400" if method == "lime" else ""
        single = post_explain(client, f"?method={method}&seed=3&target=2&versus=5{more}")
        assert one["id"] == single["id"]
        assert np.array(one["explanation"]["values"]) == pytest.approx(
            np.array(single["explanation"]["values"]), abs=1e-5
        )
        assert one["explanation"]["options"] == single["explanation"]["options"]


def test_agreement_is_the_rank_correlation_on_ink(client: FlaskClient) -> None:
    answer = compared(client, f"methods={','.join(METHODS)}")
    ink = digit().pixels > 0
    maps = np.array([np.array(one["explanation"]["values"])[ink] for one in answer["explanations"]])
    assert answer["agreement"]["labels"] == list(METHODS)
    assert np.array(answer["agreement"]["matrix"]) == pytest.approx(spearmanr(maps, axis=1).statistic, abs=1e-6)
    assert len({round(one, 3) for row in answer["agreement"]["matrix"] for one in row}) > len(METHODS)


def test_equal_values_share_their_mean_rank() -> None:
    found, values = explanation(), np.zeros((2, 28, 28))
    pixels = np.zeros((28, 28), np.float32)
    pixels[0, :4] = 1
    values[0, 0, :4], values[1, 0, :4] = (1, 2, 2, 9), (10, 20, 30, 31)  # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4
    ones = [
        replace(found, digit=replace(found.digit, pixels=pixels), attribution=replace(found.attribution, values=one))
        for one in values
    ]
    assert rank_correlations(ones) == pytest.approx(np.array([[1, 0.9**0.5], [0.9**0.5, 1]]))


def test_a_map_that_is_the_same_everywhere_agrees_with_nothing(client: FlaskClient) -> None:
    black = [[0.0] * 28 for _ in range(28)]
    black[14][14] = 1.0  # one pixel of ink has no order
    answer = client.post("/v1/compare?methods=saliency,occlusion", json={"pixels": black}).get_json()
    assert answer["agreement"]["matrix"][0][1] is None
    assert "not defined" in answer["alt"]


def test_pictures_that_two_methods_need_are_computed_once(client: FlaskClient) -> None:
    """Shapley values by enumeration and an occlusion by the same cells need the same pictures."""
    cells = "occlusion.patch=7&occlusion.stride=7&shapley.grid=4&shapley.within=even"
    answer = compared(client, f"methods=shapley,occlusion&{cells}&shapley.baseline=black&occlusion.baseline=black")
    shapley, occlusion = (one["explanation"]["certificate"]["rows"] for one in answer["explanations"])
    assert occlusion > 2
    assert answer["rows"] == shapley - 1  # the picture itself, which the removal test needs too


def test_versions_differ_by_what_their_weights_differ(make_app: MakeApp) -> None:
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    answer = compared(client, "versions=1,10&method=integrated_gradients&baseline=black&target=4")
    assert [one["model"]["version"] for one in answer["explanations"]] == ["1", "10"]
    terms = Linear(MODEL.card).directions()[4] * digit().pixels
    assert np.array(answer["difference"]["values"]) == pytest.approx(terms, abs=1e-5)
    assert answer["difference"]["score"] == pytest.approx(terms.sum(), abs=1e-4)
    assert answer["agreement"]["labels"] == ["version 1", "version 10"]
    assert answer["agreement"]["matrix"][0][1] == pytest.approx(1)


def test_the_difference_of_maps_by_pixel_is_one_by_pixel(make_app: MakeApp) -> None:
    """Shapley values are shared within cells: what is shown of both is shown of their difference."""
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    answer = compared(client, "versions=1,10&method=shapley&target=4")
    assert [one["explanation"]["painted"] for one in answer["explanations"]] == ["values"] * 2
    assert answer["difference"]["painted"] == "values"
    cells = compared(client, "versions=1,10&method=shapley&target=4&within=even")
    assert cells["difference"]["painted"] == "segment_values"


def test_the_same_seed_cancels_in_the_difference(make_app: MakeApp) -> None:
    """RISE draws masks: of two versions that differ by a factor, the difference is exactly the first map again."""
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    answer = compared(client, "versions=1,10&method=rise&n_samples=100&target=4&seed=9")
    first = np.array(answer["explanations"][0]["explanation"]["values"])
    assert np.array(answer["difference"]["values"]) == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("method", ["rise&n_samples=100", "lime&n_samples=100", "smooth_grad&n_samples=10"])
def test_the_difference_of_versions_tells_an_error(make_app: MakeApp, method: str) -> None:
    """That of independent maps, which is too much for maps from one seed, never too little: their errors go one way."""
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    answer = compared(client, f"versions=1,10&method={method}&target=4")
    apart = [np.array(one["explanation"]["stderr"]) for one in answer["explanations"]]
    assert np.array(answer["difference"]["stderr"]) == pytest.approx(np.hypot(*apart), rel=1e-5)
    told = answer["difference"]["segment_stderr"] or np.ravel(answer["difference"]["stderr"])
    assert answer["difference"]["certificate"]["stderr_max"] == pytest.approx(max(told), rel=1e-5)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients"])  # exact; says none
def test_the_difference_of_what_has_no_error_has_none(make_app: MakeApp, method: str) -> None:
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    assert compared(client, f"versions=1,10&method={method}&target=4")["difference"]["stderr"] is None


def test_all_models_explain_the_class_of_the_first(make_app: MakeApp, model_store: Path) -> None:
    def turned(path: Path, card: ModelCard) -> Fake:
        fake = Linear(card, card.verbs)
        return Negative(card, card.verbs) if card.name == "plain" else fake

    client = make_app(load_savedmodel=turned, load_twin=turned).test_client()
    answer = compared(client, "models=fake,plain&method=saliency")
    first, second = answer["explanations"]
    assert first["prediction"]["class"] != second["prediction"]["class"]
    assert first["target"]["class"] == second["target"]["class"] == first["prediction"]["class"]
    assert answer["agreement"]["labels"] == ["fake", "plain"]
    assert answer["difference"] is None


class Negative(Linear):
    def directions(self) -> Array:
        return -super().directions()


def test_several_pictures_are_compared_one_by_one(client: FlaskClient) -> None:
    response = client.post("/v1/compare?methods=shapley,saliency", data=form(SEVEN, b"%PDF-1.7"))
    good, bad = response.get_json()["results"]
    assert good == compared(client, "methods=shapley,saliency")
    assert bad["code"] == "unsupported_image"


def test_quality_comes_with_each(client: FlaskClient) -> None:
    answer = compared(client, "methods=shapley,integrated_gradients&quality=true")
    for one in answer["explanations"]:
        quality = one["explanation"]["quality"]
        assert quality["measures"]["mu_fidelity"]["value"] > 0.9
        assert quality["verdict"].startswith("This map is better than")
        assert quality["passed"] is True
        better = {
            name: (of["better_than_random"], of["better_than_intensity"]) for name, of in quality["measures"].items()
        }
        assert better.pop("max_sensitivity") == (None, None)  # it says nothing of faithfulness
        assert set(better.values()) == {(True, True)}


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("", 400, "invalid_option", ("none of them", "methods=lime,shapley")),
        ("methods=lime,shapley&models=fake,plain", 400, "invalid_option", ("methods and models",)),
        ("methods=lime", 400, "invalid_option", ("2 to 8",)),
        ("methods=lime,lime", 400, "invalid_option", ("different",)),
        ("methods=lime,", 400, "invalid_option", ("methods=",)),
        ("versions=1,2,10", 400, "invalid_option", ("expected 2 different",)),
        ("methods=lime,shapley&method=lime", 400, "invalid_option", ("methods alone",)),
        ("methods=lime,shapley&shapely.grid=5", 400, "unknown_option", ("'shapely.grid'",)),
        ("methods=lime,shapley&lime.n_sample=5", 400, "unknown_option", ("n_samples",)),
        ("methods=lime,shapley&lime.target=3", 400, "invalid_option", ("give target= without lime.",)),
        ("methods=lime,shapley&lime.methods=a", 400, "invalid_option", ("one for all",)),
        ("methods=lime,shapley&n_samples=5", 400, "unknown_option", ("n_samples",)),
        ("methods=lime,shapley&lime.n_samples=5", 400, "invalid_option", ("10",)),
        ("methods=lime,sharpley", 404, "unknown_method", ("sharpley",)),
        ("models=fake,gone", 404, "unknown_model", ("gone",)),
        ("versions=1,7", 404, "unknown_model", ("'7'",)),
        ("models=fake,plain&method=grad_cam", 422, "method_not_possible", ("plain",)),
        ("methods=lime,shapley&format=svg", 406, "not_acceptable", ("image/png",)),
    ],
)
def test_mistakes_are_reported(
    client: FlaskClient, query: str, status: int, code: str, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    check_error(client.post(f"/v1/compare?{query}", data=SEVEN), status, code, words)
    assert errors_in(caplog) == []


@pytest.mark.parametrize("query", ["methods=lime,shapley,rise,integrated_gradients", "models=fake,plain"])
def test_a_picture_without_ink_is_compared_too(client: FlaskClient, query: str) -> None:
    response = client.post(f"/v1/compare?{query}&quality=true&preprocess=none", data=BLANK)
    assert response.status_code == 200, response.data
    answer = response.get_json()
    assert answer["agreement"]["matrix"][0][1] is None
    for one in answer["explanations"]:
        assert "cannot be measured" in one["explanation"]["quality"]["verdict"]
        assert one["explanation"]["quality"]["passed"] is None


def test_error_names_the_requested_budget() -> None:
    """The first explanation takes a second of half a second: nothing is left for the other, and no less than that."""
    model = Hourglass(MODEL.card)
    cases = [(ModelSelector("fake"), ExplainRequest(method)) for method in ("saliency", "integrated_gradients")]
    with pytest.raises(OutOfTime, match="within 500 ms"):
        compare(One(model), Picture(SEVEN), cases, ImmediateSession(RequestContext.within(0.5, model.clock)))


class Moving:
    """A store whose default is another version whenever it is asked."""

    requested = 0

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        self.requested += 1
        card = card_28(name, str(self.requested))
        yield LoadedVersion(card, Path(), twin=Linear(card), explaining=LoadedModel(Linear(card)))


def test_methods_are_compared_on_one_version_also_during_a_swap() -> None:
    methods = ("saliency", "integrated_gradients", "occlusion")
    found = compare(Moving(), Picture(SEVEN), [(ModelSelector("fake"), ExplainRequest(method)) for method in methods])
    assert [one.prediction.card.version for one in found.explanations] == ["1", "1", "1"]


def test_the_alt_text_describes_the_difference(make_app: MakeApp) -> None:
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    answer = compared(client, "versions=1,10&method=integrated_gradients&target=4")
    assert "Difference: version 10 says more" in answer["alt"]


def test_a_method_can_be_compared_with_itself_under_other_options(client: FlaskClient) -> None:
    """`shap` is another name of `shapley`, so that each has its own options."""
    answer = compared(client, "methods=shapley,shap&shap.baseline=mean")
    options = [one["explanation"]["options"]["baseline"] for one in answer["explanations"]]
    assert options == ["typical", "mean"]
    assert answer["agreement"]["labels"] == ["shapley (1)", "shapley (2)"]


# The picture.


def pictured(client: FlaskClient, query: str) -> Image.Image:
    response = client.post(f"/v1/compare?{query}&format=png&frame=model", data=SEVEN)
    assert response.status_code == 200, response.data
    return Image.open(BytesIO(response.data))


def test_maps_of_one_unit_share_a_scale(make_app: MakeApp) -> None:
    """The quieter of two versions, drawn beside the louder, is paler than drawn alone; the louder is as alone."""
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    requested = "method=saliency&target=4"
    beside = np.asarray(pictured(client, f"versions=1,10&{requested}").convert("RGB")).astype(int)
    single = [
        np.asarray(
            Image.open(
                BytesIO(client.post(f"/v1/explain?version={v}&{requested}&format=png&frame=model", data=SEVEN).data)
            )
        )
        for v in (1, 10)
    ]
    width = single[0].shape[1]
    map_ = np.s_[60:420, :]
    colour = [np.ptp(beside[map_][:, k * width : (k + 1) * width], axis=2).mean() for k in range(2)]
    by_itself = [np.ptp(one[map_].astype(int), axis=2).mean() for one in single]
    assert colour[1] == pytest.approx(by_itself[1], rel=0.02)
    assert colour[0] < 0.8 * by_itself[0]


def test_the_difference_is_a_third_map_and_zero_is_paper(make_app: MakeApp) -> None:
    client = make_app(load_savedmodel=by_version, load_twin=by_version).test_client()
    picture = pictured(client, "versions=1,10&method=integrated_gradients&baseline=black&target=4")
    two = pictured(client, "methods=integrated_gradients,saliency")
    assert picture.width * 2 == two.width * 3
    third = np.asarray(picture.convert("RGB"))[:, two.width :][60:420]
    values = np.asarray(third[20:60, 60:100]).reshape(-1, 3)  # the upper left corner has no ink
    assert (values == 255).all()
    assert np.ptp(third.astype(int), axis=2).max() > 60
    assert "version 1: Predicted" in picture.text["Description"]  # type: ignore[attr-defined]


def test_the_same_question_gives_the_same_bytes(client: FlaskClient) -> None:
    ask = "/v1/compare?methods=lime,rise,expected_gradients&format=png"
    assert client.post(ask, data=SEVEN).data == client.post(ask, data=SEVEN).data
