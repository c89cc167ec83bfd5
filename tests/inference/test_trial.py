"""What a trial says: whose word is to be taken, in what order, and to which explanations a result belongs."""

from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import binomtest

from server.explainers import EXPLAINERS
from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.inference.trial import BUYS_PRECISION, best, track_record, tried
from server.models.trial import parse_trial
from server.render import json_text
from server.types import Explanation, ModelCard, Picture, TrackRecord
from tests.inference.test_inference import One
from tests.support.models.fakes import EVERYTHING, Linear
from tests.support.models.stores import GRADIENT, SEVEN, card_28
from tests.support.models.trials import TRIED, trial
from tests.support.models.trials import tried as result


def card(*results: dict[str, Any]) -> ModelCard:
    return replace(card_28(), trial=parse_trial(json_text(trial(*results) if results else TRIED)))


@pytest.mark.parametrize(("found", "total"), [(297, 300), (300, 300), (0, 300), (1, 1), (110, 300), (285, 300)])
def test_the_interval_is_wilsons(found: int, total: int) -> None:
    expected = binomtest(found, total).proportion_ci(method="wilson")
    record = TrackRecord({"mark": found}, total, 0.5, 0.2)
    assert record.interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= record.interval[0] <= found / total <= record.interval[1] <= 1


@pytest.mark.parametrize(
    ("found", "yardstick", "flagged"),
    [(95, 0.3, False), (94, 0.3, True), (100, 0.27, True), (100, 0.2701, False), (0, 0.1, True)],
)
def test_what_names_too_few_causes_or_loses_to_the_ink_is_flagged(found: int, yardstick: float, flagged: bool) -> None:
    assert TrackRecord({"mark": found}, 100, yardstick, 0.27).flagged is flagged


def test_belief_goes_by_flags_and_then_by_the_yardstick() -> None:
    assert [one.explainer.name for one in tried(card(), EVERYTHING)] == ["occlusion", "shapley", "lime", "saliency"]
    assert best(card(), EVERYTHING) == EXPLAINERS["occlusion"](patch=5, stride=1)


def test_what_the_version_cannot_do_is_not_best() -> None:
    results = (result("grad_cam", yardstick=0.9), result("rise", yardstick=0.8))
    assert best(card(*results), EVERYTHING).name == "grad_cam"
    assert best(card(*results), GRADIENT).name == "rise"


def test_all_flagged_the_first_of_them_is_best() -> None:
    assert best(card(result("lime", named=1, yardstick=0.2), result("rise", named=1)), EVERYTHING).name == "rise"


def test_without_a_trial_shapley_is_best() -> None:
    assert best(card_28(), EVERYTHING) == EXPLAINERS["shapley"]()
    assert tried(card_28(), EVERYTHING) == []


@pytest.mark.parametrize(
    "changes", [{"revision": 99}, {"options": {"grid": 4, "spin": 1}}, {"options": {"grid": 400}}, {"method": "oracle"}]
)
def test_a_result_of_another_method_than_todays_is_ignored(changes: dict[str, Any]) -> None:
    other = card({**result("shapley"), **changes})
    assert tried(other, EVERYTHING) == []
    assert best(other, EVERYTHING) == EXPLAINERS["shapley"]()
    assert track_record(other, EXPLAINERS["shapley"]()) is None


@pytest.mark.parametrize(
    ("method", "was_tried", "is_asked", "belongs"),
    [
        ("shapley", {}, {}, True),
        ("shapley", {}, {"grid": 5}, False),
        ("shapley", {}, {"baseline": "blur"}, False),
        ("shapley", {"max_rows": 4096}, {"max_rows": 8192}, True),
        ("shapley", {"max_rows": 8192}, {"max_rows": 4096}, False),
        ("lime", {"n_samples": 1000}, {"n_samples": 1000}, True),
        ("lime", {"n_samples": 1000}, {"n_samples": 2000}, True),
        ("lime", {"n_samples": 1000}, {"n_samples": 999}, False),
        ("lime", {}, {"exact": True}, False),
        ("integrated_gradients", {}, {"n_steps": 32, "tolerance": 0.001}, True),
        ("integrated_gradients", {}, {"n_steps": 8}, False),
        ("integrated_gradients", {}, {"tolerance": 0.1}, False),
    ],
)
def test_a_result_belongs_to_equal_options_and_to_more_precision(
    method: str, was_tried: dict[str, Any], is_asked: dict[str, Any], belongs: bool
) -> None:
    found = track_record(card(result(method, **was_tried)), EXPLAINERS[method](**is_asked))
    assert (found is not None) is belongs


def test_of_several_that_belong_the_equal_one_counts() -> None:
    several = card(
        result("lime", named=7, n_samples=500), result("lime", named=9, n_samples=1000), result("lime", n_samples=2000)
    )
    found = track_record(several, EXPLAINERS["lime"](n_samples=1000))
    assert found is not None and found.named_cause == (45, 300)


def test_each_option_that_buys_precision_is_one_of_a_method() -> None:
    options = {name for kind in EXPLAINERS.values() for name in kind.__dataclass_fields__}
    assert set(BUYS_PRECISION) <= options


def explained(method: str, **request: Any) -> Explanation:
    version = One(Linear(card()))
    return explain(version, Picture(SEVEN), ModelSelector("fake"), ExplainRequest(method, **request)).value


def test_an_explanation_has_the_record_of_its_method() -> None:
    found = explained("best").trial
    assert found == TrackRecord(dict.fromkeys(TRIED["methods"][0]["named"], 60), 60, 0.78, 0.27)
    assert explained("occlusion", options={"patch": 5, "stride": 1}).trial == found
    assert explained("occlusion").trial is None
    assert explained("rise", options={"n_samples": 50}).trial is None


def test_a_map_of_probabilities_was_not_tried() -> None:
    assert explained("best", output="probability").explainer.name == "occlusion"
    assert explained("best", output="probability").trial is None


def test_a_record_is_not_in_the_id() -> None:
    """The digest of the card stands for it."""
    untried = One(Linear(card_28()))
    request = ExplainRequest("shapley")
    plain = explain(untried, Picture(SEVEN), ModelSelector("fake"), request).value
    assert plain.trial is None
    assert explained("shapley").trial is not None
    assert explained("shapley").id == plain.id
