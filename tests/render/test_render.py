"""What is shown is what was computed: colours, places, words and numbers of an explanation in every format."""

import base64
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from server.parts import Pieces
from server.render import RENDERERS, alt_text, explanation_json, json_text, prediction_json
from server.render.backdrop import backdrop, cells
from server.render.colours import heat, over
from server.render.heatmap import heatmap, marks, paint
from server.render.legend import legend
from server.render.png import DRAWN, drawable
from server.render.wording import number, percent
from server.types import (
    Array,
    Attribution,
    Digit,
    Explainer,
    Explanation,
    ImageSpec,
    InDistribution,
    Model,
    ModelCard,
    Placement,
    Prediction,
    Target,
    Verb,
)

DIGITS = tuple("0123456789")
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Signed:
    n_samples: int = 64
    kernel_width: float = 0.25
    name: ClassVar[str] = "lime"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "A stand-in."
    needs: ClassVar[frozenset[Verb]] = frozenset()
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = ""

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        raise NotImplementedError


@dataclass(frozen=True)
class Unsigned(Signed):
    name: ClassVar[str] = "saliency"
    signed: ClassVar[bool] = False


def stroke() -> Array:
    """A bar of ink, upright, a little left of the middle."""
    pixels = np.zeros((28, 28), np.float32)
    pixels[5:23, 11:14] = 1
    return pixels


def placed(picture: Array, transform: tuple[float, ...] = (1, 0, 0, 0, 1, 0), scale: float = 1) -> Placement:
    a, b, c, d, e, f = transform
    height, width = (round(side * scale) for side in picture.shape[:2])
    return Placement((a, b, c, d, e, f), width, height, lambda: picture, ("centred",))


def explain(
    values: Array,
    *,
    explainer: Explainer | None = None,
    classes: tuple[str, ...] = DIGITS,
    index: int = 7,
    versus: int | None = None,
    placement: Placement | None = None,
    known: bool = True,
    **attribution: Any,
) -> Explanation:
    """Frame "model" unless there is a placement."""
    card = ModelCard(
        "cnn", "1", "sha256:ab", "cnn", classes, ImageSpec(28, 28), 1.0, 6.4, np.zeros((1, 28, 28)), frozenset()
    )
    probabilities = np.full(len(classes), 0.002 / (len(classes) - 1), np.float32)
    probabilities[index] = 0.998
    prediction = Prediction(card, index, probabilities, np.log(probabilities), InDistribution(known, 11.2, 6.4))
    target = Target.of_class(index, classes) if versus is None else Target.contrast(index, versus, classes)
    given: dict[str, Any] = {"unit": "logit", "state": "exact", "rows": 512} | attribution
    paper = placed(np.full((28, 28, 3), 255, np.uint8))
    found = Attribution(values, **given)
    return Explanation(
        id="0123abcd",
        digit=Digit(stroke(), placement or paper),
        prediction=prediction,
        target=target,
        attribution=found,
        explainer=explainer or Signed(),
        seed=0,
        frame="model" if placement is None else "original",
        parts=Pieces.of(stroke()).parts(found),
    )


def spot(value: float = 1.0, row: int = 20, column: int = 20) -> Array:
    values = np.zeros((28, 28), np.float32)
    values[row, column] = value
    return values


def noise() -> Array:
    return np.random.default_rng(0).normal(0.3, 1, (28, 28)).astype(np.float32)


def quarters() -> Array:
    half = np.arange(28) // 14
    return half[:, None] * 2 + half


def lab(srgb: Array, seen: Array | None = None) -> Array:
    """CIELAB of sRGB in [0, 1], written here a second time on purpose; `seen` acts on linear RGB."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ (np.eye(3) if seen is None else seen).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
PROTANOPIA = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])
"""Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1."""


# Colours


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_zero_leaves_any_grey_as_it_is(signed: bool, grey: float) -> None:
    assert over(np.array(grey), np.array(0.0), signed).tolist() == [grey] * 3


def test_sign_is_hue_and_both_arms_are_equally_light() -> None:
    strengths = np.linspace(0.1, 1, 10)
    pro, contra = (lab(over(np.ones(10), sign * strengths, True)) for sign in (1, -1))
    assert (pro[:, 2] > 3).all() and (contra[:, 2] < -3).all()  # yellow-red against blue
    assert np.abs(pro[:, 0] - contra[:, 0]).max() < 3
    assert (np.diff(pro[:, 0]) < 0).all() and (np.diff(contra[:, 0]) < 0).all()


@pytest.mark.parametrize("seen", [DEUTERANOPIA, PROTANOPIA])
def test_the_ends_stay_apart_for_the_colour_blind(seen: Array) -> None:
    pro, contra = (lab(over(np.array(1.0), np.array(level), True), seen) for level in (1.0, -1.0))
    assert np.linalg.norm(pro - contra) > 50
    red, green = (lab(np.array(colour), seen) for colour in ([0.75, 0.3, 0.2], [0.4, 0.5, 0.2]))
    assert np.linalg.norm(red - green) < 35  # a scale that this test must reject


def test_the_unsigned_scale_darkens_all_the_way() -> None:
    lightness = lab(over(np.ones(101), np.linspace(0, 1, 101), False))[:, 0]
    assert (np.diff(lightness) < -0.1).all() and lightness[0] - lightness[-1] > 50


def test_what_is_neither_for_nor_against_is_grey() -> None:
    assert np.ptp(over(np.ones(101), np.linspace(0, 1, 101), False), axis=1).max() < 0.01


# Scale


def test_limits_are_symmetric_for_all_values() -> None:
    values = spot(3.0) + spot(-1.0, 2, 2)
    hot = heatmap(explain(values))
    assert hot.limit == 3 and hot.levels.max() == 1 and hot.levels.min() == pytest.approx(-1 / 3)
    bar = legend(explain(values), hot, False)
    assert {"-3", "0", "+3"} <= {text.words for text in bar.texts}
    assert bar.zero == bar.bar[0] + bar.bar[2] / 2
    assert [(text.x, text.anchor) for text in bar.texts if text.words == "0"] == [(bar.zero, "middle")]
    middle = bar.bar[2] // 2
    assert (bar.bar_colours[middle - 1 : middle + 1] >= 252).all()
    against, pro = bar.bar_colours[0].astype(int), bar.bar_colours[-1].astype(int)
    assert against[2] > against[0] + 100 and pro[0] > pro[2] + 100  # blue on the left, red on the right


def test_an_outlier_is_clipped_and_said() -> None:
    values = noise()
    values[3, 3] = -1000
    hot = heatmap(explain(values))
    assert hot.clipped and hot.limit < 10 and hot.levels[3, 3] == -1
    words = [text.words for text in legend(explain(values), hot, True).texts]
    assert any(f"clipped at ±{number(hot.limit)}, largest 1000" in line for line in words)
    assert not heatmap(explain(np.linspace(-2, 1, 784).reshape(28, 28))).clipped


def test_one_large_segment_is_no_crowd() -> None:
    """The percentile counts segments, not their pixels: the strongest is shown in full, however small it is."""
    segments = quarters()
    segments[20:22, 3:5] = 4
    hot = heatmap(explain(noise(), segments=segments, segment_values=np.array([0.1, 0.2, 0.1, 0.3, -5.0])))
    assert hot.limit == 5 and hot.levels[20, 3] == -1 and hot.levels[3, 20] == pytest.approx(0.04)


@pytest.mark.parametrize("explainer", [Signed(), Unsigned()])
def test_a_map_of_zeros_says_so(explainer: Explainer) -> None:
    explanation = explain(np.zeros((28, 28), np.float32), explainer=explainer)
    hot = heatmap(explanation)
    assert hot.limit == 0 and not hot.levels.any()
    words = [text.words for text in legend(explanation, hot, False).texts]
    assert "0" in words and any("zero everywhere" in line for line in words)
    assert "zero everywhere" in alt_text(explanation)
    assert all(render(explanation) for render in RENDERERS.values())


# Places


def test_cells_are_never_smoothed() -> None:
    explanation = explain(noise())
    blank = Digit(np.zeros((28, 28), np.float32), explanation.digit.placement)
    explanation = replace(explanation, digit=blank)
    picture = paint(heatmap(explanation))
    side = picture.shape[0] // 28
    blocks = picture.reshape(28, side, 28, side, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 300


def test_the_ink_shows_under_nothing_and_is_outlined() -> None:
    picture = paint(heatmap(explain(spot()))).astype(int)
    side = picture.shape[0] // 28
    inside, paper = picture[10 * side + 5, 12 * side + 5], picture[10 * side + 5, 2 * side + 5]
    assert np.ptp(inside) == 0 and 120 < inside[0] < 180 and paper.tolist() == [255] * 3
    assert picture[10 * side + 5, 11 * side].max() < 70  # the left edge of the stroke


def test_segments_are_painted_with_their_own_values() -> None:
    segments, expected = quarters(), np.array([1.0, -1.0, 0.5, 0.0])
    hot = heatmap(explain(np.zeros((28, 28)), segments=segments, segment_values=expected))
    assert (hot.levels == expected[segments]).all()
    picture = paint(hot).astype(int)
    side = picture.shape[0] // 28
    border = picture[3 * side, 14 * side - 1]
    assert np.abs(border - picture[3 * side, 14 * side - 4]).max() > 20


def test_a_minus_marks_what_speaks_against() -> None:
    hot = heatmap(explain(spot(1.0) + spot(-0.9, 4, 4) + spot(-0.1, 6, 6)))
    (mark,) = marks(hot)
    assert (mark.x, mark.y) == hot.backdrop.point(4.5, 4.5)
    assert marks(heatmap(explain(spot(), explainer=Unsigned()))) == []
    expected = np.array([1.0, -1.0, 0.5, 0.0])
    (mark,) = marks(heatmap(explain(spot(), segments=quarters(), segment_values=expected)))
    assert abs(mark.x / hot.backdrop.cell - 21) <= 1 and abs(mark.y / hot.backdrop.cell - 7) <= 1


def turned(degrees: float = 30, scale: float = 9.0, x: float = 640, y: float = 240) -> tuple[float, ...]:
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return cos, -sin, x, sin, cos, y


@pytest.mark.parametrize("transform", [turned(), turned(-100, 6), (20.0, 0.0, 300.0, 0.0, 14.0, 200.0)])
def test_the_heat_lies_where_the_transform_says(transform: tuple[float, ...]) -> None:
    picture = np.full((384, 512, 3), 230, np.uint8)  # the thumbnail of 1200 x 900
    placement = placed(picture, transform, 1200 / 512)
    hot = heatmap(explain(spot(1.0, 20, 6), placement=placement))
    painted = paint(hot)
    a, b, c, d, e, f = transform
    x, y = a * 6.5 + b * 20.5 + c, d * 6.5 + e * 20.5 + f
    at = painted[int(y * 384 / 900), int(x * 512 / 1200)]
    colour, opacity = heat(np.array(1.0), True)
    under = backdrop(explain(spot(), placement=placement)).grey[0, 0]
    assert np.abs(at / 255 - (under + opacity * (colour - under))).max() < 0.01
    coloured = np.argwhere(np.ptp(painted.astype(int), axis=-1) > 30)
    assert len(coloured) == pytest.approx(abs(a * e - b * d) * (512 / 1200) ** 2, rel=0.3)
    assert np.ptp(painted[2, 2].astype(int)) == 0 and painted[2, 2, 0] > painted[int(y * 384 / 900) + 20, 0, 0] - 1


def test_outside_of_the_model_s_view_is_faded_and_plain() -> None:
    placement = placed(np.full((384, 512, 3), 120, np.uint8), (8, 0, 100, 0, 8, 60))
    picture = paint(heatmap(explain(noise(), placement=placement, explainer=Signed()))).astype(int)
    blank = paint(heatmap(explain(spot(), placement=placement))).astype(int)
    assert np.ptp(picture[:50], axis=-1).max() == 0
    assert picture[10, 10, 0] > blank[80, 110, 0] + 20


def test_small_pictures_are_enlarged_without_smoothing() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (28, 28, 3), np.uint8)
    below = backdrop(explain(spot(), placement=placed(picture)))
    times = below.grey.shape[0] // 28
    assert times >= 12 and (below.grey == below.grey[::times, ::times].repeat(times, 0).repeat(times, 1)).all()
    assert below.point(28, 28) == (28 * times, 28 * times)


def test_light_ink_is_shown_as_a_negative() -> None:
    dark = (stroke()[..., None] * 255).repeat(3, axis=-1).astype(np.uint8)
    chalk, pen = (backdrop(explain(spot(), placement=placed(picture))) for picture in (dark, 255 - dark))
    assert chalk.negative and not pen.negative
    assert (chalk.grey == pen.grey).all()
    explanation = explain(spot(), placement=placed(dark))
    words = " ".join(text.words for text in legend(explanation, heatmap(explanation), False).texts)
    assert "inverted" in words


def test_cells_maps_back() -> None:
    under = cells((2, 0, 3, 0, 2, 5), (12, 10), (3, 2))
    assert under[5, 3] == under[6, 4] == 0 and under[7, 5] == 3 and under[10, 6] == 5
    assert under[4, 3] == under[5, 2] == under[5, 7] == under[11, 3] == -1


# Words


def test_numbers_in_words() -> None:
    assert [percent(share) for share in (0.998, 0.99999, 1.0, 0.00001, 0.0)] == [
        "99.8 %", "over 99.9 %", "100 %", "under 0.1 %", "0 %",
    ]  # fmt: skip
    assert [number(value) for value in (1.2, 0.03417, 12345.6, 0.0)] == ["1.2", "0.0342", "12346", "0"]


def test_the_legend_says_what_each_side_means() -> None:
    def words(explanation: Explanation) -> list[str]:
        return [text.words for text in legend(explanation, heatmap(explanation), False).texts]

    plain = words(explain(spot(), index=0, state="converged"))
    assert plain[:2] == ["Predicted 0 (99.8 %) · why 0", "cnn 1 · lime · sampled"]
    assert {"speaks for 0", "speaks against 0"} <= set(plain)
    contrast = words(explain(spot(), index=4, versus=9))
    assert contrast[0].endswith("why 4, not 9") and {"speaks for 4", "speaks for 9"} <= set(contrast)
    assert {"speaks for 6", "speaks for 0"} <= set(words(explain(spot(), index=6, versus=0)))
    looked = words(explain(spot(), explainer=Unsigned(), unit="share"))
    assert {"share of attention", "looked here most", "did not look"} <= set(looked)
    assert looked[0].endswith("· where it looked")
    assert {"more ink helps 7", "more ink hurts 7"} <= set(words(explain(spot(), unit="logit_per_ink")))
    assert any("Warning" in line for line in words(explain(spot(), known=False)))


# JSON


def test_json_has_the_agreed_shape() -> None:
    explanation = explain(spot(0.1), index=0, stderr=np.full((28, 28), 0.25), score=14.1, base_value=-0.3)
    document = json.loads(RENDERERS["application/json"](explanation))
    assert json_text(explanation_json(explanation)) == RENDERERS["application/json"](explanation)
    assert list(document) == [
        "id", "model", "prediction", "probabilities", "prediction_set", "in_distribution", "preprocessing", "target",
        "explanation", "trial", "alt",
    ]  # fmt: skip
    assert document["model"] == {"name": "cnn", "version": "1", "digest": "sha256:ab"}
    assert document["prediction"] == {"class": 0, "label": "0", "probability": 0.998}
    assert document["target"] == {"class": 0, "versus": None, "label": "0"}
    assert document["preprocessing"] == {"steps": ["centred"], "transform": [1, 0, 0, 0, 1, 0], "warnings": []}
    inner = document["explanation"]
    assert inner["options"] == {"n_samples": 64, "kernel_width": 0.25} and inner["segments"] is None
    assert inner["values"][20][20] == 0.1 and (inner["score"], inner["base_value"]) == (14.1, -0.3)
    assert inner["certificate"] == {
        "state": "exact", "convergence_delta": None, "stderr_max": 0.25, "local_r2": None, "rows": 512,
        "stop": None, "top3_probability": None, "uncorrected_delta": None, "bias_max": None,
        "summary": "Exact: the method's own definition, without samples or steps.",
    }  # fmt: skip
    assert prediction_json(explanation.prediction, explanation.digit.placement).keys() == set(list(document)[1:7])


def test_versus_class_0_is_not_none() -> None:
    assert explanation_json(explain(spot(), index=6, versus=0))["target"] == {
        "class": 6, "versus": 0, "label": "6, not 0",
    }  # fmt: skip


def test_json_numbers_read_back_as_the_same_float32() -> None:
    text = RENDERERS["application/json"](explain(noise())).decode()
    assert (np.array(json.loads(text)["explanation"]["values"], np.float32) == noise()).all()
    assert max(len(digits) for digits in re.findall(r"\.(\d+)", text)) <= 12
    assert "-0.0," not in RENDERERS["application/json"](explain(-np.zeros((28, 28), np.float32))).decode()


def test_names_that_are_not_unicode_are_escaped_in_json() -> None:
    """Those of files may hold any byte, which Python keeps as half of a surrogate pair."""
    document = {"name": "cnn\udcff", "values": noise(), "largest": noise().max()}
    reported = json.loads(json_text(document))
    assert reported["name"] == "cnn\udcff" and np.float32(reported["largest"]) == noise().max()
    assert (np.array(reported["values"], np.float32) == noise()).all()


@pytest.mark.parametrize("media_type", RENDERERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_format_passes_on_a_value_that_is_no_number(media_type: str, bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        RENDERERS[media_type](explain(spot(bad)))


def test_what_is_not_known_is_null() -> None:
    stderr = np.full((28, 28), np.nan)
    inner = explanation_json(explain(spot(), stderr=stderr, local_r2=float("nan"), score=None))["explanation"]
    assert inner["certificate"]["stderr_max"] is inner["certificate"]["local_r2"] is inner["score"] is None


def test_an_option_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_width"):
        explanation_json(explain(spot(), explainer=Signed(kernel_width=math.inf)))


# PNG, SVG, npz


def test_png_carries_the_alt_text() -> None:
    explanation = explain(noise(), classes=(*DIGITS[:7], "siebén ·", *DIGITS[8:]))
    image = Image.open(io.BytesIO(RENDERERS["image/png"](explanation)))
    image.load()
    assert image.mode == "RGB"
    assert image.info["Description"] == alt_text(explanation) and "siebén" in image.info["Description"]
    assert image.info["Software"] == "Inkling"


def test_png_holds_the_map_pixel_by_pixel() -> None:
    explanation = explain(np.abs(noise()))  # no minus marks
    hot = heatmap(explanation)
    frame = legend(explanation, hot, False)
    image = np.asarray(Image.open(io.BytesIO(RENDERERS["image/png"](explanation))))
    height, width = hot.backdrop.grey.shape
    assert (image[frame.top : frame.top + height, frame.left : frame.left + width] == paint(hot)).all()


def test_only_letters_that_the_font_has_are_drawn() -> None:
    assert drawable("siebén ± · 七…") == "sieben ± · ?…"
    explanation = explain(noise(), state="partial", known=False)
    written = "".join(text.words for text in legend(explanation, heatmap(explanation), True).texts)
    assert set(written) <= DRAWN


def test_svg_escapes_every_label() -> None:
    classes = (*DIGITS[:7], "<b>\"&'\x00", *DIGITS[8:])
    text = RENDERERS["image/svg+xml"](explain(spot(), classes=classes)).decode()
    root = ElementTree.fromstring(text)
    assert "<b>" not in text and root.find(f"{SVG}b") is None
    (description,) = root.iter(f"{SVG}desc")
    assert description.text is not None and "Predicted <b>\"&' (99.8 %)." in description.text


@pytest.mark.parametrize("explainer", [Signed(), Unsigned()])
def test_svg_is_small_and_self_contained(explainer: Explainer) -> None:
    noisy = np.random.default_rng(2).integers(0, 255, (512, 512, 3), np.uint8)
    photo = placed(noisy, turned(), 2)
    for placement in (None, photo):
        text = RENDERERS["image/svg+xml"](explain(noise(), explainer=explainer, placement=placement)).decode()
        assert len(text) < 150_000
        assert ("<image" in text) == (placement is not None)
        references = re.findall(r'(?:href|src)="([^"]{0,30})|url\(', text)
        assert all(reference.startswith("data:image/") for reference in references)
        assert "<script" not in text and "crispEdges" in text


def test_svg_cells_are_those_of_the_png() -> None:
    """A run of equal cells is one rectangle, zero is none, and the group's matrix is the transform."""
    values = spot(1.0, 2, 2) + spot(1.0, 2, 3) + spot(-1.0, 4, 9)
    placement = placed(np.full((300, 400, 3), 255, np.uint8), turned(30, 8, 200, 20))
    root = ElementTree.fromstring(RENDERERS["image/svg+xml"](explain(values, placement=placement)))
    (group,) = root.iter(f"{SVG}g")
    cells = [tuple(rect.get(key) for key in ("x", "y", "width", "height")) for rect in group.iter(f"{SVG}rect")]
    assert cells == [("2", "2", "2", "1"), ("9", "4", "1", "1")]
    a, b, c, d, e, f = placement.transform
    numbers = [float(number) for number in group.attrib["transform"][len("matrix(") : -1].split()]
    assert numbers == pytest.approx([a, d, b, e, c, f], rel=1e-4)


def test_svg_embeds_the_sent_picture_upright() -> None:
    picture = np.full((40, 80, 3), 255, np.uint8)
    picture[:20] = 0
    root = ElementTree.fromstring(RENDERERS["image/svg+xml"](explain(spot(), placement=placed(picture))))
    (image,) = root.iter(f"{SVG}image")
    data = base64.b64decode(image.attrib["href"].split(",")[1])
    embedded = np.asarray(Image.open(io.BytesIO(data)))
    assert embedded.shape == (160, 320) or embedded.shape[1] == 2 * embedded.shape[0]
    assert embedded[:10].mean() < embedded[-10:].mean()


def test_npz_round_trip() -> None:
    expected = np.array([1.0, -1.0, 0.5, 0.0])
    explanation = explain(
        noise(), segments=quarters(), segment_values=expected, stderr=np.ones((28, 28)), index=4, versus=9
    )
    with np.load(io.BytesIO(RENDERERS["application/x-npz"](explanation)), allow_pickle=False) as arrays:
        assert (arrays["values"] == noise()).all() and arrays["values"].dtype == np.float32
        assert (arrays["image"] == stroke()).all() and (arrays["segments"] == quarters()).all()
        assert (arrays["segment_values"] == expected).all() and (arrays["stderr"] == 1).all()
        assert arrays["target_weights"][4] == 1 and arrays["target_weights"][9] == -1
        assert arrays["transform"].tolist() == [1, 0, 0, 0, 1, 0]
        assert arrays["meta"].shape == () and arrays["meta"].dtype.kind == "U"
        meta = json.loads(str(arrays["meta"]))
    full = json.loads(RENDERERS["application/json"](explanation))
    for name in ("values", "stderr", "segments", "segment_values", "segment_stderr"):
        del full["explanation"][name]
    assert meta == full


def test_npz_leaves_out_what_is_not_there_and_no_clock_in() -> None:
    content = io.BytesIO(RENDERERS["application/x-npz"](explain(noise())))
    with zipfile.ZipFile(content) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = {entry.filename for entry in archive.infolist()}
    assert not names & {"segments.npy", "segment_values.npy", "stderr.npy"} and "logits.npy" in names


@pytest.mark.parametrize("media_type", RENDERERS)
def test_the_same_explanation_gives_the_same_bytes(media_type: str) -> None:
    placement = placed(np.full((384, 512, 3), 200, np.uint8), turned(), 1200 / 512)
    first, second = (RENDERERS[media_type](explain(noise(), placement=placement)) for _ in range(2))
    assert first == second
    assert first != RENDERERS[media_type](explain(noise() + spot(), placement=placement))


def test_a_predictions_json_reads_back_as_what_it_was_written_from() -> None:
    """For numbers of every size, and odd names."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        found = explain(spot(0.1), classes=('a "q"', "é\n", *DIGITS[2:]), known=bool(rng.integers(2))).prediction
        shares = rng.random(10) ** rng.integers(1, 40) * (rng.random(10) > 0.1) * 10.0 ** rng.integers(-30, 3)
        score, threshold = rng.normal(size=2) * 10.0 ** rng.integers(-12, 18)
        known = InDistribution(bool(score > threshold), score, threshold)
        found = replace(found, index=int(rng.integers(10)), probabilities=shares, in_distribution=known)
        placement = placed(np.zeros((9, 9, 3), np.uint8), tuple(rng.normal(size=6) * (rng.random(6) > 0.5)))
        placement = replace(placement, steps=("inverted", "cropped")[: rng.integers(3)])
        reported = json.loads(json_text(prediction_json(found, placement)))
        assert (np.array(reported["probabilities"], np.float32) == shares.astype(np.float32)).all()
        assert reported["prediction"]["class"] == found.index and reported["prediction"]["label"] == found.label
        assert reported["prediction"]["probability"] == reported["probabilities"][found.index]
        assert reported["in_distribution"]["ok"] == known.ok
        assert (reported["in_distribution"]["score"], reported["in_distribution"]["threshold"]) == (
            pytest.approx(score, rel=1e-8),
            pytest.approx(threshold, rel=1e-8),
        )
        assert reported["preprocessing"]["steps"] == list(placement.steps)
        assert reported["preprocessing"]["transform"] == pytest.approx(placement.transform, rel=1e-8, abs=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_predictions_json_holds_finite_numbers_only(bad: float) -> None:
    found = explain(spot(0.1)).prediction
    placement = placed(np.zeros((9, 9, 3), np.uint8))
    for broken, where in (
        (replace(found, probabilities=np.full(10, bad)), placement),
        (replace(found, in_distribution=InDistribution(True, bad, 1.0)), placement),
        (found, replace(placement, transform=(bad, 0.0, 0.0, 0.0, 1.0, 0.0))),
    ):
        with pytest.raises(ValueError, match="finite"):
            prediction_json(broken, where)
