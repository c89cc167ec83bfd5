"""What is said of an explanation in words: what each part is worth, where evidence lies, and how certain that is."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from server.explainers.perturbation import spread
from server.render import alt_text, explanation_json
from server.render.alt import places
from server.render.heatmap import heatmap
from server.render.legend import legend
from server.types import Digit, Explanation, Part
from tests.render.test_render import Signed, Unsigned, explain, noise, placed, quarters, spot, stroke

DROPS = {"upper": (3.0, 2.0, 1.0), "lower": (1.0, 2.0, 3.0), "none": (0.0, -1.0, -2.0)}


def removed(explanation: Explanation, *drops: float) -> Explanation:
    """The explanation after a removal test of the upper, middle and lower part of the stem."""
    tested = [replace(part, drop=drop) for part, drop in zip(explanation.parts, drops, strict=True)]
    return replace(explanation, parts=tuple(sorted(tested, key=lambda part: -(part.drop or 0))))


def full() -> Digit:
    return Digit(np.ones((28, 28), np.float32), placed(np.full((28, 28, 3), 255, np.uint8)))


def test_alt_text_of_a_signed_map() -> None:
    """All shares are of the same whole, whatever side they are on."""
    values = spot(6, 6, 12) + spot(3, 20, 12) + spot(-1, 25, 1)
    assert alt_text(explain(values)) == (
        "Predicted 7 (99.8 %). Why 7, by lime: 90 % of all evidence speaks for 7; the largest share, 60 %, lies on the "
        "upper part of the stem. 10 % speaks against 7; 10 % on empty paper."
    )


def test_alt_text_of_a_contrast_names_both() -> None:
    words = alt_text(explain(spot(1, 20, 12) + spot(-1, 6, 12), index=4, versus=9))
    assert (
        "Why 4, not 9, by lime: 50 % of all evidence speaks for 4; the largest share, 50 %, lies on the lower" in words
    )
    assert "50 % speaks for 9; the largest share, 50 %, lies on the upper part of the stem." in words


def test_alt_text_when_all_speaks_on_one_side() -> None:
    assert "nothing speaks for 0." in alt_text(explain(spot(-1), index=0))
    assert "Nothing speaks against 0." in alt_text(explain(spot(1), index=0))
    assert "Less than 1 % speaks against 0." in alt_text(explain(spot(1) + spot(-0.001, 6, 12), index=0))


def test_what_lies_where_no_ink_is_is_said_to() -> None:
    """A segment's value is put to the ink in it, and only what has none lies on paper."""
    words = alt_text(explain(spread(np.array([3.0, 0, 0, 1]), quarters()), segments=quarters()))
    assert "the largest share, 42 %, lies on the upper part of the stem; 25 % on empty paper." in words


def test_alt_text_tells_the_removal_test() -> None:
    values = spot(1, 6, 12) + spot(-0.2, 20, 12)
    told = {name: alt_text(removed(explain(values, index=4, versus=9), *drops)) for name, drops in DROPS.items()}
    assert "Removal test: without the lower part of the stem, the lead of 4 over 9 falls most, by 3." in told["lower"]
    assert "Map and removal test differ: the map has 0 % on the lower part of the stem." in told["lower"]
    assert "without the upper part of the stem" in told["upper"] and "differ" not in told["upper"]
    assert "the lead of 4 over 9 falls without no single part." in told["none"] and "differ" not in told["none"]
    gap = Part("gap", "top", None, 9.0, (0, 0, 1, 1))
    found = removed(explain(values), *DROPS["lower"])
    closed = alt_text(replace(found, parts=(gap, *found.parts)))
    assert "without the lower part of the stem, the score for 7" in closed  # openings are told beside, not first
    assert "With the gap at the top closed by a stroke, it would fall by 9." in closed
    assert "gap" not in alt_text(replace(found, parts=(*found.parts, replace(gap, drop=2.0))))
    assert "Removal test" not in alt_text(found, removal=False)
    assert "the probability of 7 falls" in alt_text(replace(found, output="probability"))


def test_slopes_are_told_as_sensitivity() -> None:
    values = spot(3, 6, 12) + spot(-1, 1, 26)
    for explainer in (Signed(), Unsigned()):
        words = alt_text(explain(np.abs(values), explainer=explainer, unit="logit_per_ink"))
        assert "the score for 7 reacts most to changes at the upper part of the stem (75 % of all); 25 % is on" in words
        assert "evidence" not in words and "speaks" not in words


def test_inner_views_are_told_as_where_a_net_looked() -> None:
    values = spot(3, 14, 12) + spot(1, 1, 26)
    words = alt_text(explain(values, explainer=Unsigned(), unit="share"))
    assert (
        "Where it looked in the digit, by saliency: mostly in the middle (75 %), then in the upper right (25 %)."
        in words
    )
    assert "evidence" not in words and "speaks" not in words
    box = replace(explain(np.ones((28, 28)), explainer=Unsigned(), unit="score"), digit=full())
    assert "by saliency: almost evenly all over the digit." in alt_text(box)


def test_what_knows_no_columns_is_told_by_rows() -> None:
    rows = np.zeros((28, 28))
    rows[6] = 1 / 28
    words = alt_text(explain(rows, explainer=Unsigned(), unit="share"))
    assert "mostly in the upper third (100 %)." in words
    assert not re.search("left|right", words)


@pytest.mark.parametrize(("second", "is_certain"), [(0.5, True), (0.9, False)])
def test_an_order_that_sampling_may_change_is_said_to_be_uncertain(second: float, is_certain: bool) -> None:
    stderr = np.abs(spot(0.1, 6, 12) + spot(0.1, 20, 12))
    words = alt_text(explain(spot(1, 6, 12) + spot(second, 20, 12), stderr=stderr, state="converged"))
    assert ("The order of the strongest places is not certain at this number of samples." in words) is not is_certain


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"convergence_delta": 0.02, "score": 5.0, "base_value": 1.0}, "the values sum to the score within 0.5 %."),
        (
            {"convergence_delta": 0.0, "uncorrected_delta": -0.04, "score": 5.0, "base_value": 1.0},
            "the values sum to the score within 1 %, before that was corrected; one round of samples cannot say how "
            "certain the order is.",
        ),
        (
            {"stderr": np.ones((28, 28)), "top3_probability": 0.5, "convergence_delta": 0.0, "score": 5.0},
            "all samples that the options ask for were taken; the order of the three strongest values is right with a "
            "probability of 50.0 %.",
        ),
    ],
)
def test_what_converged_is_said_in_words(known: dict[str, Any], expected: str) -> None:
    found = explain(spot(), state="converged", **known)
    document = explanation_json(found)
    assert document["explanation"]["certificate"]["summary"] == f"Approximate: {expected}"
    assert f"Approximate: {expected}" in document["alt"]
    legends = " ".join(text.words for text in legend(found, heatmap(found), False).texts)
    assert "converged" not in legends and re.search("sums within|sampled, top 3 p 0.50", legends)


def test_an_exact_map_needs_no_words_on_its_error() -> None:
    found = explain(spot())
    assert "Approximate" not in alt_text(found) and "Exact" not in alt_text(found)
    assert explanation_json(found)["explanation"]["certificate"]["summary"].startswith("Exact:")


def test_alt_text_warns() -> None:
    words = alt_text(explain(spot(), known=False, state="partial", warnings=("few samples",)))
    assert "This is a partial result" in words and "Note: few samples." in words
    assert "Warning: this does not look like a digit the model was trained on." in words
    calm = alt_text(explain(spot()))
    assert "Warning" not in calm and "partial" not in calm


def test_places_keep_the_sum() -> None:
    assert places(noise(), stroke()).sum() == pytest.approx(noise().sum(dtype=np.float64))
    assert places(spot(2, 27, 0), stroke()).tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0]


def test_places_are_those_of_the_digit() -> None:
    """Its thirds are equal, wherever in the picture it is."""
    for top, left in ((0, 0), (5, 11), (10, 16)):
        pixels = np.zeros((28, 28))
        pixels[top : top + 18, left : left + 12] = 1
        assert places(pixels, pixels).tolist() == [24] * 9
